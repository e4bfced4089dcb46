"""What the commands share: configuration, the opened database, points in time, filters, progress."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from tracknow_static.errors import SettingsError
from tracknow_static.relay import logs
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.deliver.sender import shown
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import Filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEEDS_A_PERSON = 1

_AGE = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def configured(*, secrets_needed: bool = False) -> RelayConfig:
    """Read the configuration and set the log up.

    Only what verifies signatures needs the signing secret: without it the other commands work
    too, also for a user who may not read its file. Raises :class:`SettingsError`.
    """
    config = RelayConfig.from_environ(needs_secrets=secrets_needed)
    logs.setup(config, everything=True)
    return config


@contextlib.contextmanager
def opened(config: RelayConfig) -> Iterator[Database]:
    """Open the database, and close it at the end."""
    database = Database.from_config(config)
    try:
        database.open()
        yield database
    finally:
        database.close()


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


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which events are meant."""
    for option in reversed(
        (
            click.option(
                "--state", type=click.Choice(queries.STATES), help="How far they have come."
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
    ):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def filter_of(
    ids: tuple[str, ...] = (),
    destination: str | None = None,
    **given: Any,
) -> Filter:
    """Make the filter from the options of :func:`filters`."""
    return Filter(ids=ids, destination=destination, **given)


def known_destination(database: Database, text: str) -> str:
    """Give the destination that a user means: its URL, whole or without the query.

    Raises :class:`SettingsError` when none or several are meant.
    """
    urls = [one.destination for one in queries.status(database).destinations]
    if text in urls:
        return text
    found = [url for url in urls if shown(url) == text]
    if len(found) == 1:
        return found[0]
    raise SettingsError(
        [f"destination: {text!r} is not accepted. Accepted: {', '.join(urls) or 'none is known'}."]
    )


def print_json(data: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(data, indent=2))


@contextlib.contextmanager
def progress(
    what: str, *, quiet: bool, total: int | None = None
) -> Iterator[Callable[[int], None]]:
    """Show how far a long work has come, to a person at a terminal only.

    Gives the function that is told how much is done so far.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown_progress:
        task = shown_progress.add_task(what, total=total)
        yield lambda done: shown_progress.update(task, completed=done)
