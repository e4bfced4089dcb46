"""``check``: whether the relay works as it is configured here."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import format_option
from tracknow_static.errors import AccountError, RelayError, SettingsError, StorageError
from tracknow_static.relay import health, logs
from tracknow_static.relay.config import VARIABLES
from tracknow_static.relay.deliver.network import Network
from tracknow_static.relay.deliver.sender import Sender
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.cli import configured, limited
from tracknow_static.relay.operate.conditions import (
    conditions,
    free_space,
    is_disk_low,
    observe,
)
from tracknow_static.relay.operate.output import echo
from tracknow_static.relay.sales.inventory import read_inventory
from tracknow_static.relay.store.backfill_state import ENABLED
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.ingest import Ingest
from tracknow_static.relay.store.migrations import SchemaError, newest_version
from tracknow_static.relay.store.model import without_query
from tracknow_static.relay.stripe_api import key_of
from tracknow_static.tracknow import EVENT_TYPES, counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tracknow_static.relay.config import RelayConfig

# How long the database may take.
_SECONDS = 30.0

OK, WARNING, FAILED = "ok", "warning", "failed"
# What a condition is about, where it is not a delivery.
_SUBJECTS = {"calls-refused": "webhook", "no-click-ids": "sales"}
_THIS = "tracknow-relay check"
_COLORS = {OK: "green", WARNING: "yellow", FAILED: "red"}


@dataclass(frozen=True)
class CheckResult:
    """What was checked, the result (``ok``, ``warning``, ``failed``), and a line for people."""

    what: str
    result: str
    text: str


@click.command(epilog=exit_codes.epilog(attention="a check failed"))
@click.option(
    "--alert", is_flag=True, help="Also send a test message to every URL of TRACKNOW_RELAY_ALERTS."
)
@format_option()
def check(alert: bool, output_format: str) -> None:
    """Check configuration, secrets, database, disk, and the connection to every destination.

    A destination's name is looked up, and a connection with TLS is made and closed: no event is
    sent. With STRIPE_API_KEY, Stripe is asked for the latest events and for the endpoint's state.
    With TRACKNOW_RELAY_SITE, the site's inventory is read.
    """
    config = configured(needs_secrets=True, needs_key=True, needs_alerts=True)
    if alert and not config.alerts:
        accepts = VARIABLES["TRACKNOW_RELAY_ALERTS"].accepts
        raise SettingsError([f"TRACKNOW_RELAY_ALERTS: nothing is set. Accepted: {accepts}."])
    results = list(check_all(config, alert=alert))
    has_failed = any(result.result == FAILED for result in results)
    if output_format == "json":
        output.print_json({"ok": not has_failed, "checks": [asdict(entry) for entry in results]})
    else:
        for entry in results:
            click.secho(f"{entry.result:8}", fg=_COLORS[entry.result], nl=False)
            echo(f"{entry.what}: {entry.text}")
    if has_failed:
        sys.exit(exit_codes.ATTENTION)


def check_all(config: RelayConfig, *, alert: bool = False) -> Iterator[CheckResult]:
    """Yield the results, one check after the other; with ``alert`` test messages are sent."""
    yield _configuration(config)
    yield CheckResult("secrets", OK, counted(len(config.secrets.current()), "signing secret"))
    yield from _modes(config)
    yield from _database(config)
    yield from _destinations(config)
    yield from _stripe(config)
    if config.site:
        yield _site(config.site)
    if config.alerts:
        yield from _alerts(config, test=alert)


def _configuration(config: RelayConfig) -> CheckResult:
    names = sorted(
        name
        for variable in VARIABLES.values()
        for name in (variable.name, f"{variable.name}_FILE")
        if os.environ.get(name)
    )
    mode = {"live": "live events", "test": "test events", "both": "live and test events"}
    text = f"{', '.join(names)}; forwards {mode[config.livemode]}"
    if config.forward == "attributed":
        text += " of sales that carry a click id"
    return CheckResult("configuration", OK, text)


def _modes(config: RelayConfig) -> Iterator[CheckResult]:
    """Check who else may read the files with secrets and personal data."""
    files: list[tuple[str, Path | None]] = [("secret file", config.secrets.file)]
    files.append(("database file", Database.from_config(config).path))
    for what, file in files:
        if file is None or not file.is_file():
            continue
        mode = stat.S_IMODE(file.stat().st_mode)
        # A group may be the relay's own, as in a service that root has set up.
        if mode & 0o027:
            text = f"{file} has mode {mode:04o}: other users may use it. chmod 640 fixes that"
            yield CheckResult(what, WARNING, text)
        else:
            yield CheckResult(what, OK, f"{file} is closed to others")


def _database(config: RelayConfig) -> Iterator[CheckResult]:
    database = Database.from_config(config, create=False)
    ingest = Ingest.from_config(config, database)
    where = logs.hide(database.url.render_as_string(hide_password=True))
    if database.path is not None and not database.path.exists():
        yield from _future_file(database.path, config)
        return
    try:
        with limited(database, _SECONDS):
            # First what raises: the other reports a database out of reach by its code alone.
            needs = conditions(observe(database, config), config)
            found = health.examine(ingest).checks
        if found["database"] != "ok":
            text = f"{where} cannot be written: {found['database']}"
            yield CheckResult("database", FAILED, text)
        else:
            text = f"{where} can be written, its schema has version {newest_version()}"
            yield CheckResult("database", OK, text)
        free = database.free_bytes()
        if free is not None:
            yield _disk(free, config)
        for condition in needs:
            if condition.code != "disk-low":
                result = FAILED if condition.stalls else WARNING
                # What helps may be this command; its other lines are the help then.
                text = condition.text if condition.command == _THIS else str(condition)
                yield CheckResult(_SUBJECTS.get(condition.code, "delivery"), result, text)
    except (StorageError, SchemaError) as error:
        yield CheckResult("database", FAILED, f"{where}: {logs.hide(str(error))}")
    finally:
        database.close()


def _disk(free: int, config: RelayConfig) -> CheckResult:
    result = FAILED if is_disk_low(free, config) else OK
    return CheckResult("disk", result, free_space(free, config))


def _future_file(path: Path, config: RelayConfig) -> Iterator[CheckResult]:
    """Check whether `serve` can make the file: a command that only looks makes none."""
    folder = next(parent for parent in path.parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        yield CheckResult("database", FAILED, f"{path} cannot be made in {folder}")
        return
    text = f"{path} does not exist yet: serve makes it. If it did exist, its volume is away"
    yield CheckResult("database", WARNING, text)
    yield _disk(shutil.disk_usage(folder).free, config)


def _destinations(config: RelayConfig) -> Iterator[CheckResult]:
    network = Network.make(
        private=config.allow_insecure_destinations,
        connect_timeout=config.connect_timeout,
        timeout=config.timeout,
    )
    for url in config.destinations:
        with contextlib.closing(Sender(url, network)) as sender:
            response = sender.reach()
        shown = without_query(url)
        if response.error is None:
            text = f"{shown} is reached in {response.took_ms} ms"
            yield CheckResult("destination", OK, text)
        else:
            text = f"{shown}: {response.error}: {response.detail}"
            yield CheckResult("destination", FAILED, text)


def _stripe(config: RelayConfig) -> Iterator[CheckResult]:
    """Check whether missed events can be fetched, and what is known of the endpoint."""
    if config.api_key is None:
        return
    from tracknow_static.relay.backfill import endpoints
    from tracknow_static.relay.backfill.listing import Lists

    try:
        lists = Lists(key_of(config), config)
        now = int(time.time())
        lists.events(EVENT_TYPES, now - 3600, now + 3600)
    except AccountError as error:
        yield CheckResult("stripe", FAILED, f"missed events cannot be fetched. {error}")
        return
    yield CheckResult("stripe", OK, "the API key can fetch missed events")
    state, unknown = endpoints.look(config)
    if unknown:
        text = f"whether Stripe has disabled the endpoint is unknown. {unknown}"
        yield CheckResult("endpoint", WARNING, text)
    else:
        result = OK if state == ENABLED else FAILED
        yield CheckResult("endpoint", result, f"the relay's endpoint at Stripe is {state}")


def _site(place: str) -> CheckResult:
    """Check whether the site's inventory can be read."""
    try:
        found = counted(len(read_inventory(place).surfaces), "route")
    except RelayError as error:
        return CheckResult("site", FAILED, f"TRACKNOW_RELAY_SITE: {error}")
    return CheckResult("site", OK, f"{logs.hide(place)} has {found} to Stripe")


def _alerts(config: RelayConfig, *, test: bool) -> Iterator[CheckResult]:
    """Check whether Apprise knows the URLs, or send a test to each."""
    from tracknow_static.relay.alerts.send import TEST, Message, Order, name_of, named, send

    body = "This is a test. Messages like this one come when the relay needs your attention."
    messages = [Message(TEST, f"{name_of(config)}: test", body)] if test else []
    orders = [Order(url, messages) for url in config.alerts]
    done = "a test was sent" if test else "Apprise knows it (`check --alert` sends a test)"
    for number, (order, (error,)) in enumerate(zip(orders, send(orders), strict=True), 1):
        text = f"{named(number, order.url)}: {error or done}"
        yield CheckResult("alerts", FAILED if error else OK, text)
