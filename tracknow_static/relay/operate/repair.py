"""``migrate``, ``replay``, ``resume``, ``retire`` and ``purge``: what changes the store by hand."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import Number, format_option
from tracknow_static.errors import SettingsError, StorageError
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.cli import CHANGING, configured, limited, opened
from tracknow_static.relay.operate.options import check_period, filters, known_destination
from tracknow_static.relay.operate.output import echo
from tracknow_static.relay.sales.ledger import CATCH_UP_SECONDS, Ledger, forget
from tracknow_static.relay.store import destinations, queries
from tracknow_static.relay.store import purge as purging
from tracknow_static.relay.store import replay as replaying
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import Filter, without_query
from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.model import Purged, Replayed

_KEPT = "kept"

_dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Only report what would be done; change nothing."
)


@click.command(epilog=exit_codes.epilog(exit_codes.FAILED))
@format_option()
def migrate(output_format: str) -> None:
    """Bring the database's schema to this version.

    An SQLite file is migrated when it is opened. Before PostgreSQL is migrated, stop older relays.
    """
    database = Database.from_config(configured())
    try:
        with limited(database, CHANGING):
            before, after = database.migrate()
    finally:
        database.close()
    if output_format == "json":
        output.print_json({"before": before, "after": after})
    elif before == after:
        echo(f"The schema already has version {after}.")
    else:
        echo(f"The schema was migrated from version {before} to {after}.")


@click.command(
    epilog=exit_codes.epilog(
        exit_codes.FAILED, attention="nothing could be replayed, or an ID is not stored"
    )
)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@filters
@click.option(
    "--destination",
    metavar="URL",
    help="Deliver to this destination only, and also events that it was never sent.",
)
@click.option(
    "--rate",
    type=Number(0, 10_000),
    default=20.0,
    show_default=True,
    help="Deliveries a second, so that the destination is not flooded; 0 for all at once.",
)
@click.option(
    "--all", "everything", is_flag=True, help="Replay every event; needed without filters."
)
@_dry_run_option
@format_option()
def replay(
    ids: tuple[str, ...],
    destination: str | None,
    rate: float,
    everything: bool,
    dry_run: bool,
    output_format: str,
    **given: Any,
) -> None:
    """Deliver events again, oldest first: dead letters, or what was delivered already.

    A running relay delivers them; without one, run `drain`. A destination recognizes an event
    that it already has by its id.
    """
    if not (ids or everything or any(given.values())):
        raise click.UsageError("Select events: IDs, --state, --type, --since, … or --all.")
    check_period(given["since"], given["until"])
    config = configured()
    url = _configured_destination(config, "--destination", destination) if destination else None
    with opened(config, seconds=CHANGING) as database:
        unknown = queries.unknown(database, ids)
        wanted = Filter(ids=ids, **given)
        if url and wanted.state not in (None, _KEPT):
            # A state is that of a delivery: what another destination did not accept is not meant.
            wanted = replace(wanted, destination=url)
        with output.progress("replaying", quiet=output_format == "json") as advance:
            done = replaying.replay(
                database,
                wanted,
                rate=rate,
                destinations=(url,) if url else (),
                dry_run=dry_run,
                progress=advance,
            )
    if output_format == "json":
        output.print_json({**_replayed_json(done, dry_run=dry_run), "unknown": unknown})
    else:
        _print_replayed(done, rate=rate, dry_run=dry_run)
    for event_id in unknown:
        echo(f"No event {event_id!r} is stored.", err=True)
    if unknown or not done.deliveries:
        sys.exit(exit_codes.ATTENTION)


def _replayed_json(done: Replayed, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "events": done.events,
        "deliveries": done.deliveries,
        "not_replayed": {
            "purged": done.purged,
            "thin": done.thin,
            "in_flight": done.in_flight,
            "unconfigured": done.unconfigured,
            "unsigned": done.unsigned,
            "unattributed": done.unattributed,
        },
    }


def _print_replayed(done: Replayed, *, rate: float, dry_run: bool) -> None:
    would = "Would be due again" if dry_run else "Due again"
    last = (done.deliveries - 1) / rate if rate and done.deliveries else 0.0
    takes = f", the last one in {output.duration(last)}" if last else ""
    deliveries, events = counted(done.deliveries, "delivery"), counted(done.events, "event")
    echo(f"{would}: {deliveries} of {events}{takes}.")
    unattributed = "no click id, or waiting for its session: name it, or use --skipped-because"
    for number, thing, because in (
        (done.purged, "event", "payload purged"),
        (done.thin, "event", "thin, which Tracknow cannot read"),
        (done.unattributed, "event", unattributed),
        (done.in_flight, "delivery", "in flight now"),
        (done.unsigned, "delivery", "no signature, for TRACKNOW_RELAY_SIGNED_DESTINATIONS"),
        (done.unconfigured, "delivery", "destination not configured: see `tracknow-relay retire`"),
    ):
        if number:
            echo(f"Not replayed: {counted(number, thing)} ({because}).")


@click.command(epilog=exit_codes.epilog(exit_codes.FAILED, attention="nothing was paused"))
@click.argument("destination", metavar="[URL]", required=False)
@click.option("--all", "everything", is_flag=True, help="Resume every paused destination.")
@format_option()
def resume(destination: str | None, everything: bool, output_format: str) -> None:
    """Deliver to a paused destination again, once its configuration is fixed."""
    if (destination is None) != everything:
        raise click.UsageError("Name the destination to resume: its URL, or --all.")
    with opened(configured(), seconds=CHANGING) as database:
        if destination is not None:
            wanted = [known_destination(database, destination)]
        else:
            wanted = [entry.destination for entry in queries.status(database).destinations]
        with output.progress("resuming", quiet=output_format == "json") as advance:
            resumed = [
                url for url in wanted if destinations.resume(database, url, progress=advance)
            ]
    if output_format == "json":
        output.print_json({"resumed": resumed})
    else:
        for url in resumed:
            echo(f"Resumed: {without_query(url)}")
    if not resumed:
        echo("Nothing was paused.", err=True)
        sys.exit(exit_codes.ATTENTION)


@click.command(epilog=exit_codes.epilog(exit_codes.FAILED, attention="nothing was waiting"))
@click.argument("destination", metavar="URL")
@click.option("--to", metavar="URL", help="Move the deliveries to this destination.")
@click.option("--give-up", is_flag=True, help="Remove the deliveries: they are never sent.")
@_dry_run_option
@format_option()
def retire(
    destination: str, to: str | None, give_up: bool, dry_run: bool, output_format: str
) -> None:
    """Move or give up what waits for a destination that is no longer configured.

    After a change of the namespace, --to moves what the old one did not accept to the new one;
    dead letters are included.
    """
    if (to is None) != give_up:
        raise click.UsageError("Name the destination to move to with --to, or use --give-up.")
    config = configured()
    with opened(config, seconds=CHANGING) as database:
        url = known_destination(database, destination)
        if url in config.destinations:
            raise click.UsageError(
                f"{without_query(url)} is still configured. First remove it from "
                "TRACKNOW_RELAY_DESTINATIONS, or change TRACKNOW_NAMESPACE."
            )
        target = None if to is None else _configured_destination(config, "--to", to)
        with output.progress("retiring", quiet=output_format == "json") as advance:
            done = replaying.retire(database, url, to=target, dry_run=dry_run, progress=advance)
    if output_format == "json":
        output.print_json({"dry_run": dry_run, **asdict(done)})
    else:
        moved = _were(done.moved, "delivery", dry_run=dry_run)
        echo(f"{moved} moved, {done.given_up} given up.")
        if done.in_flight:
            in_flight = _were(done.in_flight, "delivery", dry_run=False)
            echo(f"{in_flight} in flight: run this again in a minute.")
    if not (done.moved or done.given_up):
        sys.exit(exit_codes.ATTENTION)


def _configured_destination(config: RelayConfig, option: str, text: str) -> str:
    """Return the configured destination that a user means, whole or without the query."""
    found = [url for url in config.destinations if text in (url, without_query(url))]
    if len(found) == 1:
        return found[0]
    accepted = ", ".join(map(without_query, config.destinations))
    raise SettingsError([f"{option}: {text!r} is not accepted. Accepted: {accepted}."])


@click.command(
    epilog=exit_codes.epilog(
        exit_codes.FAILED, attention="with --customer or --event: there is no such payload"
    )
)
@click.option(
    "--delivered-days",
    type=Number(0),
    help="Days after which delivered events are purged (TRACKNOW_RELAY_RETENTION_DELIVERED_DAYS).",
)
@click.option(
    "--dead-days",
    type=Number(0),
    help="The same for dead letters and kept events (TRACKNOW_RELAY_RETENTION_DEAD_DAYS).",
)
@click.option(
    "--customer",
    "customers",
    multiple=True,
    metavar="ID",
    help="Erase this customer's payloads (cus_…) instead, whatever their age (repeatable).",
)
@click.option(
    "--event",
    "event_ids",
    multiple=True,
    metavar="ID",
    help="Erase the payload of this event (evt_…) instead (repeatable).",
)
@_dry_run_option
@format_option()
def purge(
    delivered_days: float | None,
    dead_days: float | None,
    customers: tuple[str, ...],
    event_ids: tuple[str, ...],
    dry_run: bool,
    output_format: str,
) -> None:
    """Remove payloads that are older than the retention; a running relay does so every hour.

    What recognizes a duplicate stays, and nothing that is still to be delivered is removed. With
    --customer or --event only those payloads are erased, and what was still to be delivered of
    them is not delivered any more.
    """
    if customers or event_ids:
        if delivered_days is not None or dead_days is not None:
            raise click.UsageError("--customer and --event erase at any age: leave out the days.")
        _erase(customers, event_ids, dry_run=dry_run, as_json=output_format == "json")
        return
    config = configured()
    quiet = output_format == "json"
    with (
        opened(config, seconds=CHANGING) as database,
        output.progress("purging", quiet=quiet) as advance,
    ):
        if not dry_run:
            _catch_up(database, config)
        done = purging.purge(
            database,
            delivered_days=(
                config.retention_delivered_days if delivered_days is None else delivered_days
            ),
            dead_days=config.retention_dead_days if dead_days is None else dead_days,
            references_days=config.retention_references_days,
            dry_run=dry_run,
            progress=advance,
        )
        days = config.retention_sales_days
        sales = 0 if done.waits else forget(database, days=days, dry_run=dry_run)
    if output_format == "json":
        output.print_json(
            {
                "dry_run": dry_run,
                "payloads": done.events,
                "bytes": done.size,
                "references": done.references,
                "waits": done.waits,
                "sales": sales,
            }
        )
    else:
        _print_purged(done, sales, dry_run=dry_run)


def _catch_up(database: Database, config: RelayConfig) -> None:
    """Let the ledger read amounts and click ids, which only payloads show."""
    ledger = Ledger(database, click_id=config.click_id_pattern)
    try:
        ledger.catch_up(CATCH_UP_SECONDS)
    except StorageError as error:
        if error.code != "disk_full":
            raise
        database.compact()  # makes room of what was set aside
        ledger.catch_up(CATCH_UP_SECONDS)


def _print_purged(done: Purged, sales: int, *, dry_run: bool) -> None:
    if done.waits:
        echo(
            "Nothing was purged: the clock jumped since the last purge, or none ran for days. "
            "If the clock is right, the next purge after a day removes what is old."
        )
        return
    payloads = _were(done.events, "payload", dry_run=dry_run)
    echo(f"{payloads} purged ({done.size / 1e6:.1f} MB).")
    if done.references:
        echo(f"{_were(done.references, 'click id', dry_run=dry_run)} of customers removed.")
    if sales:
        echo(f"{_were(sales, 'sale', dry_run=dry_run)} removed from the ledger.")


def _erase(
    customers: tuple[str, ...], event_ids: tuple[str, ...], *, dry_run: bool, as_json: bool
) -> None:
    config = configured()
    with opened(config, seconds=CHANGING) as database:
        if not dry_run:
            _catch_up(database, config)
        done = purging.erase(database, customers=customers, event_ids=event_ids, dry_run=dry_run)
    if as_json:
        output.print_json(
            {
                "dry_run": dry_run,
                "payloads": done.events,
                "bytes": done.size,
                "not_delivered": done.unsent,
            }
        )
    else:
        payloads = _were(done.events, "payload", dry_run=dry_run)
        echo(f"{payloads} erased ({done.size / 1e6:.1f} MB).")
        if done.unsent:
            events = counted(done.unsent, "event")
            echo(f"{events} of them had not been delivered everywhere.")
    if not done.events:
        sys.exit(exit_codes.ATTENTION)


def _were(number: int, thing: str, *, dry_run: bool) -> str:
    verb = "would be" if dry_run else "was" if number == 1 else "were"
    return f"{counted(number, thing)} {verb}"
