"""``check``: whether the relay works as it is configured here."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.text import Text

from tracknow_static.relay import health, logs
from tracknow_static.relay.config import VARIABLES
from tracknow_static.relay.deliver.sender import Network, Sender, shown
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.common import (
    NEEDS_A_PERSON,
    configured,
    json_option,
    print_json,
)
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.database import Database, StorageError
from tracknow_static.relay.store.ingest import Ingest
from tracknow_static.relay.store.migrations import SchemaError
from tracknow_static.relay.store.model import PAUSED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tracknow_static.relay.config import RelayConfig

OK, WARNING, FAILED = "ok", "warning", "failed"
_STYLES = {OK: "green", WARNING: "yellow", FAILED: "red"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what, how it is (``ok``, ``warning``, ``failed``), and why."""

    what: str
    result: str
    text: str


@click.command(short_help="Check configuration, database and the way out.")
@json_option
def check(as_json: bool) -> None:
    """Check configuration, secrets, database, disk, and the way to every destination.

    A destination's name is looked up, and a connection with TLS is made and closed: no event is
    sent. Exits with 1 when something failed, with 2 when the configuration is wrong.
    """
    config = configured(secrets_needed=True)
    findings = list(look(config))
    if as_json:
        rows = [{"what": it.what, "result": it.result, "text": it.text} for it in findings]
        print_json({"ok": not _failed(findings), "checks": rows})
    else:
        out = output.console()
        for it in findings:
            line = Text.assemble(
                (f"{it.result:8}", _STYLES[it.result]), f"{it.what}: ", output.clean(it.text)
            )
            out.print(line, soft_wrap=True)
    if _failed(findings):
        sys.exit(NEEDS_A_PERSON)


def look(config: RelayConfig) -> Iterator[Finding]:
    """Give what is found, one thing after the other."""
    yield _configuration(config)
    yield from _secrets(config)
    yield from _modes(config)
    yield from _database(config)
    yield from _destinations(config)


def _failed(findings: list[Finding]) -> bool:
    return any(it.result == FAILED for it in findings)


def _configuration(config: RelayConfig) -> Finding:
    names = sorted(
        name
        for one in VARIABLES.values()
        for name in (one.name, f"{one.name}_FILE")
        if os.environ.get(name)
    )
    mode = {"live": "live events", "test": "test events", "both": "live and test events"}
    return Finding("configuration", OK, f"{', '.join(names)}; forwards {mode[config.livemode]}")


def _secrets(config: RelayConfig) -> Iterator[Finding]:
    number = len(config.secrets.current())
    counted = f"{number} signing secret{'s' if number > 1 else ''}"
    odd = sum(not one.startswith("whsec_") for one in config.secrets.current())
    if odd:
        text = f"{counted}, {odd} of them without whsec_, as Stripe's begin"
        yield Finding("secrets", WARNING, text)
    else:
        yield Finding("secrets", OK, counted)


def _modes(config: RelayConfig) -> Iterator[Finding]:
    """Look who else may read the files with secrets and personal data."""
    files: list[tuple[str, Path | None]] = [("secret file", config.secrets.file)]
    files.append(("database file", Database.from_config(config).path))
    for what, file in files:
        if file is None or not file.exists():
            continue
        mode = stat.S_IMODE(file.stat().st_mode)
        # A group may be the relay's own, as in a service that root has set up.
        if mode & 0o027:
            text = f"{file} has mode {mode:04o}: too many may use it. chmod 640 mends that"
            yield Finding(what, WARNING, text)
        else:
            yield Finding(what, OK, f"{file} is closed to others")


def _database(config: RelayConfig) -> Iterator[Finding]:
    database = Database.from_config(config)
    ingest = Ingest.from_config(config, database)
    where = logs.hide(database.url.render_as_string(hide_password=True))
    try:
        status = queries.status(database)
        found = health.examine(ingest).checks
        if found["database"] != "ok":
            yield Finding("database", FAILED, f"{where} cannot be written: {found['database']}")
        else:
            text = f"{where} can be written, its schema has version {status.schema_version}"
            yield Finding("database", OK, text)
        free = database.free_bytes()
        if free is not None:
            enough = free >= ingest.min_free_bytes
            text = f"{free / 1e6:,.0f} MB are free, {config.min_free_mb:,} are needed"
            yield Finding("disk", OK if enough else FAILED, text)
        for one in status.destinations:
            if one.state == PAUSED and one.destination in config.destinations:
                text = f"{shown(one.destination)} is paused: {one.paused_because}"
                yield Finding("delivery", FAILED, text)
            elif one.dead:
                text = f"{shown(one.destination)} has {one.dead} dead letters"
                yield Finding("delivery", WARNING, text)
            elif one.pending and one.destination not in config.destinations:
                text = f"{one.pending} wait for {shown(one.destination)}, which is not configured"
                yield Finding("delivery", WARNING, text)
    except (StorageError, SchemaError) as error:
        yield Finding("database", FAILED, f"{where}: {logs.hide(str(error))}")
    finally:
        database.close()


def _destinations(config: RelayConfig) -> Iterator[Finding]:
    network = Network.make(
        private=config.allow_insecure_destinations,
        connect_timeout=config.connect_timeout,
        timeout=config.timeout,
    )
    for url in config.destinations:
        with contextlib.closing(Sender(url, network)) as sender:
            answer = sender.reach()
        if answer.error is None:
            yield Finding("destination", OK, f"{shown(url)} is reached in {answer.took_ms} ms")
        else:
            yield Finding("destination", FAILED, f"{shown(url)}: {answer.error}: {answer.detail}")
