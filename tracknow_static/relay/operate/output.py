"""How commands print: lines and tables for people, JSON and CSV for scripts, times, progress.

Text from outside is cleaned here, whatever printed it: it can neither steer a terminal nor fake a
line, and is no formula for a spreadsheet program.
"""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from tracknow_static.tracknow import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
# How a cell begins that spreadsheet programs take for a formula, once it is cleaned
# (owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@")
_LONGEST = 60


class Styled(str):
    """Text of our own with colors, which a table shows as it is."""

    __slots__ = ()


def styled(text: str, color: str | None) -> Styled:
    """Return text of our own in a color."""
    return Styled(click.style(text, fg=color))


def echo(text: str, *, err: bool = False, color: str | None = None) -> None:
    """Print a line for people; the commands in it get this command's own ``--env-file``."""
    context = click.get_current_context(silent=True)
    file = context.find_root().params.get("env_file") if context else None
    if file is not None:
        option = f"--env-file {shlex.quote(str(file))}"
        text = text.replace("`tracknow-relay ", f"`tracknow-relay {option} ")
    click.secho(clean(text.replace("\n", " ")), err=err, fg=color)


def print_json(data: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(data, indent=2))


def print_csv(names: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Print rows under the names of their columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _csv_cell(value) for name, value in row.items()})
    click.echo(text.getvalue(), nl=False)


def _csv_cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their columns; columns of numbers align right."""
    rows = [[cell if isinstance(cell, Styled) else clean(cell) for cell in row] for row in rows]
    numeric = [
        all(click.unstyle(row[number]).isdigit() for row in rows) for number in range(len(columns))
    ]
    widths = [
        max(len(click.unstyle(row[number])) for row in [columns, *rows])
        for number in range(len(columns))
    ]
    for row in [[click.style(name, bold=True) for name in columns], *rows]:
        cells = []
        for cell, width, is_number in zip(row, widths, numeric, strict=True):
            padding = " " * (width - len(click.unstyle(cell)))
            cells.append(padding + cell if is_number and rows else cell + padding)
        click.echo("  ".join(cells).rstrip())


def shortened(text: str) -> str:
    """Return a text that widens no table: JSON and CSV have the rest."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


@contextlib.contextmanager
def progress(
    what: str, *, quiet: bool, total: int | None = None
) -> Iterator[Callable[[int], None]]:
    """Show how far a long task is, on a terminal only.

    Provides the function that is called with the number done so far; each call gives the command
    more time.
    """
    from tracknow_static.relay.operate.cli import restart

    if quiet or not sys.stderr.isatty():
        yield lambda _done: restart()
        return
    of_total = "" if total is None else f" of {total:,}"

    def show(done: int) -> None:
        restart()
        click.echo(f"\r{what}: {done:,}{of_total}", nl=False, err=True)

    try:
        yield show
    finally:
        click.echo("\r\x1b[K", nl=False, err=True)


def sentence(text: str) -> str:
    """End a text as a sentence, and begin it as one unless it begins with a URL."""
    begin = text[:1] if "://" in text.partition(" ")[0] else text[:1].upper()
    return f"{begin}{text[1:].rstrip('.')}."


def time_of(seconds: float | None) -> str | None:
    """Write a time for scripts: ISO 8601, UTC, milliseconds."""
    if seconds is None:
        return None
    text = dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def moment(seconds: float, timespec: str = "minutes") -> str:
    """Write a time for people, in UTC."""
    text = dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(" ", timespec)
    return text.removesuffix("+00:00")


def duration(seconds: float | None) -> str:
    """Write a length of time for people."""
    if seconds is None:
        return "-"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
    return f"{seconds // _DAY:.0f} d"
