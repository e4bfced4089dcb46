"""``status``, ``list`` and ``show``: reading the store; all of them work while the relay runs."""

from __future__ import annotations

import sys
from typing import Any

import click

from tracknow_static.errors import SettingsError
from tracknow_static.relay.operate import output as shown
from tracknow_static.relay.operate.common import (
    NEEDS_A_PERSON,
    configured,
    filter_of,
    filters,
    json_option,
    known_destination,
    opened,
    print_json,
)
from tracknow_static.relay.store import queries


@click.command(short_help="Show what waits, and what needs a person.")
@click.option(
    "--strict",
    is_flag=True,
    help="Exit with 1 when there is a dead letter or a paused destination.",
)
@json_option
def status(strict: bool, as_json: bool) -> None:
    """Show every destination: what waits, what was delivered, what is dead or paused."""
    with opened(configured()) as database:
        found = queries.status(database)
    if as_json:
        print_json(shown.status_json(found))
    else:
        shown.status_text(found)
    if strict and shown.needs_a_person(found):
        sys.exit(NEEDS_A_PERSON)


@click.command("list", short_help="List events.")
@filters
@click.option("--destination", metavar="URL", help="Has a delivery to this destination.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="At most so many.",
)
@click.option("--newest", is_flag=True, help="The newest first, instead of the oldest.")
@click.option(
    "--after",
    "cursor",
    metavar="CURSOR",
    help="Go on where a list of the same order ended.",
)
@json_option
def list_(
    destination: str | None,
    limit: int,
    newest: bool,
    cursor: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """List events, oldest first or with --newest, by state, type, time, reference or destination."""
    with opened(configured()) as database:
        url = known_destination(database, destination) if destination else None
        try:
            page = queries.find(
                database,
                filter_of(destination=url, **given),
                limit=limit,
                cursor=cursor,
                newest=newest,
            )
        except ValueError as error:
            raise SettingsError([f"--after: {error}"]) from None
    if as_json:
        print_json({"events": [shown.event_json(one) for one in page.events], "next": page.cursor})
        return
    if not page.events:
        click.echo("No event is like that.")
        return
    shown.events_text(page.events)
    if page.cursor:
        click.echo(f"More: {'--newest ' if newest else ''}--after '{page.cursor}'")


@click.command(short_help="Show one event and every attempt.")
@click.argument("event_id", metavar="ID")
@click.option(
    "--payload",
    is_flag=True,
    help="Write the stored bytes to standard output, and nothing else. They hold personal data.",
)
@json_option
def show(event_id: str, payload: bool, as_json: bool) -> None:
    """Show one event with its deliveries and every attempt.

    Exits with 1 when there is no such event, or no payload any more.
    """
    with opened(configured()) as database:
        event = queries.event(database, event_id)
    if event is None:
        click.echo(f"Error: no event {event_id!r} is stored.", err=True)
        sys.exit(NEEDS_A_PERSON)
    if payload:
        if event.payload is None:
            click.echo(f"Error: the payload of {event_id} was purged.", err=True)
            sys.exit(NEEDS_A_PERSON)
        sys.stdout.buffer.write(event.payload)
    elif as_json:
        data = shown.event_json(event, history=True)
        size = None if event.payload is None else len(event.payload)
        print_json({**data, "payload_bytes": size})
    else:
        shown.event_text(event)
