"""The chart of sales by month and verdict: plain numbers for a template to draw."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MONTHS = 12

# What the chart shows as one color, from the bottom to the top, and the verdicts in it. Those
# without money are in none.
SERIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "good": ("with a click id", ("attributed", "renewal")),
    "wait": ("waiting", ("waiting",)),
    "bad": ("rejected", ("rejected",)),
    "back": ("refunded or disputed", ("refunded", "partly-refunded", "disputed")),
    "none": ("no click id", ("no-click-id", "not-a-click-id")),
}
TONES = {verdict: tone for tone, (_, verdicts) in SERIES.items() for verdict in verdicts}
"""The series of each verdict; it is the color of its badge, too."""


class Part(NamedTuple):
    """One piece of a column: ``y`` and ``height`` are percent of the chart's height."""

    tone: str
    number: int
    y: float
    height: float


class Column(NamedTuple):
    """One month; ``numbers`` has one for each series."""

    month: dt.date
    total: int
    numbers: dict[str, int]
    parts: tuple[Part, ...]


class Chart(NamedTuple):
    """The columns, oldest first, and the number at the top of the chart."""

    columns: tuple[Column, ...]
    top: int

    @property
    def total(self) -> int:
        """Sales in all columns."""
        return sum(column.total for column in self.columns)

    @property
    def best(self) -> Column:
        """The month with the most sales."""
        return max(self.columns, key=lambda column: column.total)


def months(now: float) -> list[dt.date]:
    """Return the first days of the chart's months, of which the last one has begun at a Unix time."""
    today = dt.datetime.fromtimestamp(now, dt.UTC)
    last = today.year * 12 + today.month - 1
    return [dt.date(n // 12, n % 12 + 1, 1) for n in range(last - MONTHS + 1, last + 1)]


def chart(shown: Sequence[dt.date], sales: Mapping[tuple[int, str], int]) -> Chart:
    """Make the chart of some months from the sales of each month (such as 202603) and verdict."""
    rows = [
        {
            tone: sum(sales.get((month.year * 100 + month.month, one), 0) for one in verdicts)
            for tone, (_, verdicts) in SERIES.items()
        }
        for month in shown
    ]
    top = _round_up(max(sum(row.values()) for row in rows))
    columns = [_column(month, row, top) for month, row in zip(shown, rows, strict=True)]
    return Chart(tuple(columns), top)


def _column(month: dt.date, numbers: dict[str, int], top: int) -> Column:
    parts = []
    y = 100.0
    for tone, number in numbers.items():
        if number:
            height = 100 * number / top
            y -= height
            parts.append(Part(tone, number, round(y, 3), round(height, 3)))
    return Column(month, sum(numbers.values()), numbers, tuple(parts))


def _round_up(number: int) -> int:
    """Return the next number that is easy to read on a scale: 1, 2, 3, 4, 5, 6 or 8 and zeros."""
    size = int(10 ** max(0, len(str(number)) - 1))
    return next(step * size for step in (1, 2, 3, 4, 5, 6, 8, 10) if step * size >= number)
