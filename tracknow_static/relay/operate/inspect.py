"""``status``, ``list`` and ``show``: reading the store; all of them work while the relay runs."""

from __future__ import annotations

import sys
from typing import Any

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import format_option
from tracknow_static.errors import SettingsError
from tracknow_static.relay.operate import output, stored
from tracknow_static.relay.operate.cli import configured, opened
from tracknow_static.relay.operate.conditions import conditions, observe
from tracknow_static.relay.operate.options import (
    Age,
    check_period,
    filters,
    known_destination,
)
from tracknow_static.relay.operate.output import echo
from tracknow_static.relay.store import destinations, queries
from tracknow_static.relay.store.model import Filter


@click.command(
    epilog=exit_codes.epilog(
        exit_codes.FAILED, attention="with --strict: something needs your attention"
    )
)
@click.option(
    "--strict",
    is_flag=True,
    help="Exit with 1 when something needs your attention: a dead letter, a rejected delivery, a "
    "destination that is paused or down, a delivery older than --max-age, too little space on the "
    "disk, only refused calls of the webhook, or only sales without a click id.",
)
@click.option(
    "--max-age",
    type=Age(),
    default="1h",
    show_default=True,
    help="How long a delivery may wait: 45m, 2h, 3d.",
)
@format_option()
def status(strict: bool, max_age: float, output_format: str) -> None:
    """Show every destination: what waits, what was delivered, what is dead or paused."""
    config = configured()
    with opened(config) as database:
        found = queries.status(database)
        needs = conditions(observe(database, config), config, max_age=max_age)
    if output_format == "json":
        output.print_json(stored.status_json(found, needs))
    else:
        stored.status_text(found, needs)
    if strict and needs:
        sys.exit(exit_codes.ATTENTION)


@click.command("list", epilog=exit_codes.epilog(exit_codes.FAILED))
@filters
@click.option(
    "--destination", metavar="URL", help="Events with a delivery to this destination only."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Maximum number of events.",
)
@click.option("--newest", is_flag=True, help="The newest first, instead of the oldest.")
@click.option(
    "--after",
    "cursor",
    metavar="CURSOR",
    help="Continue where a list of the same order ended.",
)
@format_option()
def list_(
    destination: str | None,
    limit: int,
    newest: bool,
    cursor: str | None,
    output_format: str,
    **given: Any,
) -> None:
    """List events, oldest first or with --newest, by state, type, time, reference or destination."""
    check_period(given["since"], given["until"])
    with opened(configured()) as database:
        url = known_destination(database, destination) if destination else None
        try:
            page = queries.find(
                database,
                Filter(destination=url, **given),
                limit=limit,
                cursor=cursor,
                newest=newest,
            )
        except UnicodeEncodeError:
            raise
        except ValueError as error:
            raise SettingsError([f"--after: {error}"]) from None
        paused = destinations.paused(database)
    if output_format == "json":
        rows = [stored.event_json(event, paused) for event in page.events]
        output.print_json({"events": rows, "next": page.cursor})
        return
    if not page.events:
        echo("No event matches.")
        return
    stored.events_text(page.events)
    if page.cursor:
        echo(f"More: {'--newest ' if newest else ''}--after '{page.cursor}'")


@click.command(
    epilog=exit_codes.epilog(
        exit_codes.FAILED, attention="there is no such event, or its payload was purged"
    )
)
@click.argument("event_id", metavar="ID")
@click.option(
    "--payload",
    is_flag=True,
    help="Write the stored bytes to standard output, and nothing else. They hold personal data.",
)
@format_option()
def show(event_id: str, payload: bool, output_format: str) -> None:
    """Show one event with its deliveries and every attempt."""
    config = configured()
    with opened(config) as database:
        event = queries.event(database, event_id)
        paused = destinations.paused(database)
    if event is None:
        echo(f"Error: no event {event_id!r} is stored.", err=True)
        sys.exit(exit_codes.ATTENTION)
    if payload:
        if event.payload is None:
            echo(f"Error: the payload of {event_id} was purged.", err=True)
            sys.exit(exit_codes.ATTENTION)
        sys.stdout.buffer.write(event.payload)
    elif output_format == "json":
        data = stored.event_json(event, paused, history=True)
        size = None if event.payload is None else len(event.payload)
        output.print_json({**data, "payload_bytes": size})
    else:
        stored.event_text(event, config.signed_destinations, paused)
