"""``serve``, ``worker`` and ``drain``: the three ways to run the relay."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

from tracknow_static.relay import logs
from tracknow_static.relay.deliver.dispatcher import Courier
from tracknow_static.relay.deliver.sender import shown
from tracknow_static.relay.operate.common import (
    NEEDS_A_PERSON,
    configured,
    json_option,
    opened,
    print_json,
    progress,
)
from tracknow_static.relay.operate.housekeeping import Housekeeper
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.database import StorageError
from tracknow_static.relay.store.model import PAUSED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.deliver.dispatcher import Drained
    from tracknow_static.relay.store.database import Database

_log = logging.getLogger(__name__)

_grace_option = click.option(
    "--grace",
    type=click.FloatRange(0, 600),
    default=20.0,
    show_default=True,
    help="Seconds that deliveries in flight get to end when told to stop.",
)


@click.command(short_help="Take events in and deliver them.")
@click.option("--bind", metavar="HOST:PORT", help="Address to listen on (TRACKNOW_RELAY_BIND).")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes. One does thousands of events a second.",
)
@click.option("--no-deliver", is_flag=True, help="Only take events in; a worker delivers them.")
@_grace_option
def serve(bind: str | None, workers: int, no_deliver: bool, grace: float) -> None:
    """Take Stripe's events in, and deliver them.

    The webhook is at /stripe/webhook; /healthz, /readyz and /metrics are for monitoring. SIGTERM
    answers what has come in, ends what is being delivered, and exits.
    """
    if bind is not None:
        os.environ["TRACKNOW_RELAY_BIND"] = bind
    if no_deliver:
        os.environ["TRACKNOW_RELAY_DELIVER"] = "false"
    config = configured(secrets_needed=True)
    _look_first(config)
    from tracknow_static.relay.operate import server

    server.serve(config, workers=workers, grace=grace)


def _look_first(config: RelayConfig) -> None:
    """Say now what would else be found by the first event; leave nothing open for the fork.

    A server that is away for a while is no reason not to start: events are answered with 503
    until it is back, and Stripe sends them again.
    """
    try:
        with opened(config):
            pass
    except StorageError as error:
        if config.database.startswith("sqlite"):
            raise
        click.echo(f"Warning: the database is out of reach: {logs.hide(str(error))}", err=True)


@click.command(short_help="Deliver until told to stop.")
@_grace_option
def worker(grace: float) -> None:
    """Deliver until told to stop, without taking events in.

    For a host that does nothing else, or beside `serve --no-deliver`. Any number may run.
    """
    config = configured()
    with opened(config) as database, _told_to_stop() as stop:
        housekeeper = Housekeeper(config, database)
        housekeeper.start()
        _log.info("worker delivers to %d destinations", len(config.destinations))
        ended = Courier.from_config(config, database).run(stop, grace=grace)
        housekeeper.stop()
        _log.info("worker has ended")
    if not ended:
        click.echo("Some deliveries did not end in time; they are repeated.", err=True)


@click.command(short_help="Deliver what is due and return: for cron.")
@click.option(
    "--seconds",
    type=click.FloatRange(1, 86_400),
    default=50.0,
    show_default=True,
    help="Stop after this time; what is in flight may end later.",
)
@json_option
def drain(seconds: float, as_json: bool) -> None:
    """Deliver what is due now, purge what is old, and return: for cron.

    Drains that overlap each other, or a running server, share the work. Exits with 1 when a
    delivery went to the dead letters or a destination is paused.
    """
    config = configured()
    with opened(config) as database, _told_to_stop() as stop:
        waiting = sum(one.pending for one in queries.status(database).destinations)
        with (
            progress("delivering", quiet=as_json, total=waiting) as advance,
            _watched(database, waiting, advance, quiet=as_json),
        ):
            drained = Courier.from_config(config, database).drain(seconds, stop=stop)
        Housekeeper(config, database).purge()
        status = queries.status(database)
    _tell(drained, as_json=as_json)
    paused = [one for one in status.destinations if one.state == PAUSED]
    for one in paused:
        click.echo(f"Paused: {shown(one.destination)}: {one.paused_because}", err=True)
    if drained.dead or paused:
        sys.exit(NEEDS_A_PERSON)


def _tell(drained: Drained, *, as_json: bool) -> None:
    counts = {
        "delivered": drained.delivered,
        "retried": drained.retried,
        "dead": drained.dead,
        "lost": drained.lost,
        "left": drained.left,
    }
    if as_json:
        print_json(counts)
    elif sys.stdout.isatty() or any(counts.values()):
        # Silent when there was nothing: cron sends a mail for every line.
        click.echo(
            ", ".join(f"{name} {number}" for name, number in counts.items() if number)
            or "nothing due"
        )


@contextlib.contextmanager
def _watched(
    database: Database, waiting: int, advance: Callable[[int], None], *, quiet: bool
) -> Iterator[None]:
    """Look twice a second how many are left, if somebody sees it."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            with contextlib.suppress(StorageError):
                left = sum(one.pending for one in queries.status(database).destinations)
                advance(max(0, waiting - left))

    thread = threading.Thread(target=look, name="relay-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """Give the event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def told(_number: int, _frame: Any) -> None:
        stop.set()

    before = {one: signal.signal(one, told) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
