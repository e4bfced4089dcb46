"""``status``, ``list`` and ``show``: reading the store; all of them work while the relay runs."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import format_option
from tracknow_static.errors import SettingsError
from tracknow_static.relay.operate import output, stored
from tracknow_static.relay.operate.cli import configured, opened
from tracknow_static.relay.operate.conditions import conditions, observe
from tracknow_static.relay.operate.output import echo
from tracknow_static.relay.store import destinations, queries
from tracknow_static.relay.store.filters import STATES
from tracknow_static.relay.store.model import KEPT_REASONS, Filter, without_query

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.relay.store.database import Database

_AGE = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


class Age(click.ParamType[float]):
    """A length of time in seconds, such as ``2h``."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read the text."""
        if isinstance(value, float):
            return value
        age = _AGE.fullmatch(str(value).strip())
        if age:
            return float(int(age[1]) * _UNITS[age[2]])
        return self.fail(f"{value!r} is not accepted. Accepted: 45m, 2h, 3d.", param, ctx)


class When(click.ParamType[float]):
    """A point in time as Unix seconds: an age such as ``2h``, or a date with or without a time."""

    name = "when"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read the text; a time without zone is UTC."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        age = _AGE.fullmatch(text)
        now = dt.datetime.now(dt.UTC)
        if age:
            return now.timestamp() - int(age[1]) * _UNITS[age[2]]
        with contextlib.suppress(ValueError, OverflowError):
            found = dt.datetime.fromisoformat(text.upper())  # it knows "Z", not "z"
            found = found if found.tzinfo else found.replace(tzinfo=dt.UTC)
            return found.timestamp()
        return self.fail(
            f"{text!r} is not accepted. Accepted: an age such as 45m, 2h, 3d, "
            "or a date such as 2026-03-31 or 2026-03-31T18:00Z (UTC).",
            param,
            ctx,
        )


def check_period(since: float | None, until: float | None) -> None:
    """Raise :class:`SettingsError` when a period ends before it begins."""
    if since is not None and until is not None and until < since:
        problem = f"--until: {output.time_of(until)} is before --since, {output.time_of(since)}."
        raise SettingsError([f"{problem} Accepted: a time after --since."])


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that select events; their values make a :class:`Filter`."""
    options = (
        click.option("--state", type=click.Choice(STATES), help="State of the delivery."),
        click.option(
            "--skipped-because",
            type=click.Choice(KEPT_REASONS),
            help="Reason for which an event is not forwarded.",
        ),
        click.option(
            "--type",
            "types",
            multiple=True,
            metavar="TYPE",
            help="Type, such as charge.succeeded (repeatable).",
        ),
        click.option(
            "--since", type=When(), help="Received at or after: 2h, 3d, 2026-03-31T18:00Z."
        ),
        click.option("--until", type=When(), help="Received before."),
        click.option(
            "--reference",
            metavar="ID",
            help="Click id; charges that belong to it are found too.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def known_destination(database: Database, text: str) -> str:
    """Return the destination that a user means: its URL, whole or without the query.

    Raises :class:`SettingsError` when none or several are meant.
    """
    urls = [entry.destination for entry in queries.status(database).destinations]
    if text in urls:
        return text
    found = [url for url in urls if without_query(url) == text]
    if len(found) == 1:
        return found[0]
    accepted = ", ".join(map(without_query, urls)) or "none is known"
    raise SettingsError([f"destination: {text!r} is not accepted. Accepted: {accepted}."])


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
