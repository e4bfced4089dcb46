"""``serve``, ``worker`` and ``drain``: the three forms in which the relay runs."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import Number, format_option
from tracknow_static.errors import StorageError
from tracknow_static.relay import logs
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.cli import CHANGING, configured, limited, opened
from tracknow_static.relay.operate.output import echo
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.model import PAUSED, without_query
from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tracknow_static.relay.background_thread import BackgroundThread
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.deliver.dispatcher import Drained
    from tracknow_static.relay.store.database import Database

_log = logging.getLogger(__name__)

_grace_option = click.option(
    "--grace",
    type=Number(0, 600),
    default=20.0,
    show_default=True,
    help="Seconds that deliveries in flight get to end after SIGTERM.",
)


@click.command(epilog=exit_codes.epilog(exit_codes.FAILED))
@click.option("--bind", metavar="HOST:PORT", help="Address to listen on (TRACKNOW_RELAY_BIND).")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Number of processes. One handles thousands of events a second.",
)
@click.option("--no-deliver", is_flag=True, help="Only receive events; a worker delivers them.")
@_grace_option
def serve(bind: str | None, workers: int, no_deliver: bool, grace: float) -> None:
    """Receive Stripe's events, and deliver them.

    The webhook is at /stripe/webhook; /healthz, /readyz and /metrics are for monitoring. With
    TRACKNOW_RELAY_STATUS_PASSWORD, /status is a page for people. On SIGTERM it answers what has
    arrived, ends what is being delivered, and exits.
    """
    if bind is not None:
        os.environ["TRACKNOW_RELAY_BIND"] = bind
    if no_deliver:
        os.environ["TRACKNOW_RELAY_DELIVER"] = "false"
    config = configured(needs_secrets=True, needs_key=True, needs_alerts=True)
    _try_database(config)
    from tracknow_static.relay.operate import server

    server.serve(config, workers=workers, grace=grace)


def _try_database(config: RelayConfig) -> None:
    """Report now what the first event would find otherwise; leave nothing open for the fork.

    A server that is away for a while is no reason not to start: events are answered with 503
    until it is back, and Stripe sends them again.
    """
    try:
        with opened(config, create=True):
            pass
    except StorageError as error:
        if config.database.startswith("sqlite"):
            raise
        echo(f"Warning: the database is out of reach: {logs.hide(str(error))}", err=True)


@click.command(epilog=exit_codes.epilog(exit_codes.FAILED))
@_grace_option
def worker(grace: float) -> None:
    """Deliver until SIGTERM, without receiving events.

    For a host that does nothing else, or beside `serve --no-deliver`. Any number may run. SIGHUP
    does not end it.
    """
    from tracknow_static.relay.background import Bookkeeper, Housekeeper
    from tracknow_static.relay.deliver.dispatcher import Dispatcher
    from tracknow_static.relay.store.ingest import Ingest

    config = configured(needs_key=True, needs_alerts=True)
    with (
        opened(config, create=True, whole=False) as database,
        _stop_signals(ignores_hang_up=True) as stop,
    ):
        dispatcher = Dispatcher.from_config(config, database)
        ingest = Ingest.from_config(config, database, on_commit=dispatcher.wakeup.wake)
        others: list[BackgroundThread] = [
            Housekeeper(config, database, flush=ingest.flush),
            Bookkeeper(config, database),
        ]
        if config.backfills:
            from tracknow_static.relay.backfill.thread import Backfiller

            others.append(Backfiller(config, ingest))
        if config.alerts:
            from tracknow_static.relay.alerts.thread import AlertThread

            others.append(AlertThread(config, database))
        for thread in others:
            thread.start()
        _log.info("worker delivers to %s", counted(len(config.destinations), "destination"))
        ended = dispatcher.run(stop, grace=grace)
        for thread in others:
            thread.stop()
        _log.info("worker has ended")
    if not ended:
        echo("Some deliveries did not end in time; their events are sent again.", err=True)


@click.command(
    epilog=exit_codes.epilog(
        exit_codes.FAILED,
        attention="a delivery became a dead letter or was rejected, or a destination is paused",
    )
)
@click.option(
    "--seconds",
    type=Number(1, 86_400),
    default=50.0,
    show_default=True,
    help="Stop after this time; what is in flight may end later.",
)
@format_option()
def drain(seconds: float, output_format: str) -> None:
    """Deliver what is due now, purge what is old, and return: for cron.

    Drains that run at the same time, or beside a running server, share the work.
    """
    from tracknow_static.relay.background import Housekeeper
    from tracknow_static.relay.deliver.dispatcher import Dispatcher
    from tracknow_static.relay.sales.forward import decide
    from tracknow_static.relay.sales.ledger import CATCH_UP_SECONDS, Ledger

    config = configured(needs_alerts=True)
    quiet = output_format == "json"
    with opened(config, whole=False) as database, _stop_signals() as stop:
        ledger = Ledger(database, click_id=config.click_id_pattern)
        with limited(database, CHANGING):
            if config.forward == "attributed":
                ledger.catch_up(CATCH_UP_SECONDS)
                while decide(database, wait=config.forward_wait):
                    pass
            due = _due(database)
        with (
            output.progress("delivering", quiet=quiet, total=due) as advance,
            _watched(database, due, advance, quiet=quiet),
        ):
            drained = Dispatcher.from_config(config, database).drain(seconds, stop=stop)
        with limited(database, CHANGING):
            ledger.catch_up(CATCH_UP_SECONDS)
            Housekeeper(config, database).purge()
            status = queries.status(database)
        if config.alerts:
            from tracknow_static.relay.alerts.thread import send_once

            send_once(config, database, stop)
    _print_drained(drained, as_json=quiet)
    paused = [entry for entry in status.destinations if entry.breaker.state == PAUSED]
    for entry in paused:
        because = entry.breaker.paused_because or ""
        echo(f"Paused: {without_query(entry.destination)}: {because}", err=True)
    if drained.dead or drained.rejected or paused:
        sys.exit(exit_codes.ATTENTION)


def _due(database: Database) -> int:
    return sum(entry.due for entry in queries.status(database).destinations)


def _print_drained(drained: Drained, *, as_json: bool) -> None:
    counts = {
        "delivered": drained.delivered,
        "rejected": drained.rejected,
        "retried": drained.retried,
        "dead": drained.dead,
        "lost": drained.lost,
        "left": drained.left,
    }
    if as_json:
        output.print_json(counts)
    elif sys.stdout.isatty() or any(counts.values()):
        # Silent when there was nothing: cron sends a mail for every line.
        echo(
            ", ".join(f"{name} {number}" for name, number in counts.items() if number)
            or "nothing due"
        )


@contextlib.contextmanager
def _watched(
    database: Database, due: int, advance: Callable[[int], None], *, quiet: bool
) -> Iterator[None]:
    """Show twice a second how many are delivered, on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            with contextlib.suppress(StorageError):
                advance(max(0, due - _due(database)))

    thread = threading.Thread(target=look, name="relay-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _stop_signals(*, ignores_hang_up: bool = False) -> Iterator[threading.Event]:
    """Provide the event that SIGTERM and SIGINT set.

    SIGHUP is the end of a terminal, or from a program that has files reopened.
    """
    stop = threading.Event()

    def handle(_number: int, _frame: Any) -> None:
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    if ignores_hang_up and hasattr(signal, "SIGHUP"):  # not on Windows
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
