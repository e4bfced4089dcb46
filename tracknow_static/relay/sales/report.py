"""The ledger in sums: sales, money and verdicts of a period."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Integer,
    Text,
    column,
    func,
    null,
    select,
    values,
)

from tracknow_static.relay.sales.verdicts import (
    CODES,
    WITH_CLICK_ID,
    corrected_verdict,
    may_be_corrected,
    of_period,
)
from tracknow_static.relay.store.schema import sales

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Select

    from tracknow_static.relay.store.database import Database

# Verdicts without money.
NO_MONEY = frozenset({"unpaid", "payment-failed", "expired", "test"})
# References have a line of their own each; those with the most sales are what a report is for.
MOST_REFERENCES = 100


# In the order of a sum's fields.
_KEYS = (
    sales.c.month,
    sales.c.payment_link,
    sales.c.reference,
    sales.c.verdict,
    sales.c.currency,
)


class Sum(NamedTuple):
    """Sales of one kind: their number, and their money in the currency's minor unit.

    Those that are ``awaited`` are charges whose sessions may still come.
    """

    month: str
    payment_link: str
    reference: str
    verdict: str
    currency: str
    awaited: bool
    number: int
    amount: int
    refunded: int


@dataclass(frozen=True)
class Line:
    """What several sums come to; ``money`` and ``refunded`` map a currency to minor units.

    ``sales`` are paid; the session of those that are ``awaited`` may still come.
    """

    key: str
    sales: int
    awaited: int
    with_click_id: int
    money: dict[str, int]
    refunded: dict[str, int]
    verdicts: dict[str, int]

    @property
    def share(self) -> float | None:
        """The part of :attr:`judged` sales that carry a click id, from 0 to 1; None without any."""
        return self.with_click_id / self.judged if self.judged else None

    @property
    def judged(self) -> int:
        """The paid sales of which it is known whether they carry a click id."""
        return self.sales - self.awaited


def sums(
    database: Database,
    *,
    since: float | None = None,
    until: float | None = None,
    by_reference: bool = False,
) -> list[Sum]:
    """Return the sums of a period, by month and payment link, or by reference."""
    keys = (
        (sales.c.reference, sales.c.verdict, sales.c.currency)
        if by_reference
        else (sales.c.verdict, sales.c.payment_link, sales.c.currency, sales.c.month)
    )
    grouped = {key.name for key in keys}
    shown = [key if key.name in grouped else null().label(key.name) for key in _KEYS]
    numbers = (
        func.count().label("number"),
        func.sum(sales.c.amount).label("amount"),
        func.sum(sales.c.refunded).label("refunded"),
    )
    statement = of_period(select(*shown, *numbers).group_by(*keys), since, until)
    verdict = corrected_verdict(database)
    moved = of_period(
        select(*shown, *numbers, verdict.label("corrected"))
        .where(may_be_corrected(database))
        .group_by(*keys, verdict),
        since,
        until,
    )
    if by_reference:
        largest = of_period(select(sales.c.reference), since, until)
        largest = (
            largest.where(sales.c.reference.is_not(None))
            .group_by(sales.c.reference)
            .order_by(func.count().desc(), sales.c.reference)
            .limit(MOST_REFERENCES)
        )
        statement = statement.where(sales.c.reference.in_(largest))
        moved = moved.where(sales.c.reference.in_(largest))
    with database.read() as connection:
        found = _added(connection, statement, moved)
    return [Sum(*key, *numbers) for key, numbers in sorted(found.items()) if numbers[0]]


def _added(
    connection: Connection, statement: Select[Any], moved: Select[Any]
) -> dict[tuple[str, str, str, str, str, bool], list[int]]:
    """Read the sums, and move what deliveries have changed from one verdict to another."""
    found: dict[tuple[str, str, str, str, str, bool], list[int]] = defaultdict(lambda: [0, 0, 0])

    def add(row: Sequence[Any], verdict: str, sign: int, *, awaited: bool = False) -> None:
        month, payment_link, reference, _, currency, number, amount, refunded = row[:8]
        name = f"{month // 100}-{month % 100:02d}" if month else ""
        cell = found[name, payment_link or "", reference or "", verdict, currency or "", awaited]
        cell[0] += sign * number
        # PostgreSQL adds up whole numbers as decimal ones; without an amount there is no sum.
        cell[1] += sign * int(amount or 0)
        cell[2] += sign * int(refunded or 0)

    for row in connection.execute(statement):
        add(row, row[3], 1)
    for row in connection.execute(moved):
        add(row, row[3], -1)
        add(row, row[8], 1, awaited=row[3] == "no-click-id" != row[8])
    return found


def months(database: Database, wanted: Sequence[dt.date]) -> dict[tuple[int, str], int]:
    """Return how many sales each month has, by month (such as 202603) and verdict.

    ``wanted`` are the first days of months. Each number is counted in an index, without reading a
    sale: milliseconds of a million.
    """
    rows = [
        (month.year * 100 + month.month, verdict, *_seconds(month))
        for month in wanted
        for verdict in CODES
    ]
    columns = (
        column("month", Integer),
        column("verdict", Text),
        column("begin", BigInteger),
        column("end", BigInteger),
    )
    cells = values(*columns, name="cells").data(rows).cte("cells")
    number = (
        select(func.count())
        .where(
            sales.c.verdict == cells.c.verdict,
            sales.c.created >= cells.c.begin,
            sales.c.created < cells.c.end,
        )
        .scalar_subquery()
    )
    verdict = corrected_verdict(database)
    begin = min(row[2] for row in rows)
    moved = (
        select(sales.c.month, sales.c.verdict, verdict.label("corrected"), func.count())
        .where(may_be_corrected(database), sales.c.created >= begin)
        .group_by(sales.c.month, sales.c.verdict, verdict)
    )
    found: dict[tuple[int, str], int] = defaultdict(int)
    with database.read() as connection:
        for month, kind, count in connection.execute(
            select(cells.c.month, cells.c.verdict, number)
        ):
            found[month, kind] += count
        for month, kind, corrected, count in connection.execute(moved):
            found[month, kind] -= count
            found[month, corrected] += count
    return found


def _seconds(month: dt.date) -> tuple[int, int]:
    """Return when a month begins and ends, in Unix seconds."""
    next_month = dt.date(month.year + month.month // 12, month.month % 12 + 1, 1)
    begin, end = (
        int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) for day in (month, next_month)
    )
    return begin, end


def lines(found: Iterable[Sum], by: str) -> list[Line]:
    """Sum up by ``month``, ``payment_link`` or ``reference``, or all in one by ``total``."""
    groups: dict[str, list[Sum]] = defaultdict(list)
    for part in found:
        groups["" if by == "total" else getattr(part, by)].append(part)
    return [_line(key, group) for key, group in sorted(groups.items())]


def _line(key: str, group: list[Sum]) -> Line:
    verdicts: dict[str, int] = defaultdict(int)
    money: dict[str, int] = defaultdict(int)
    refunded: dict[str, int] = defaultdict(int)
    for part in group:
        verdicts[part.verdict] += part.number
        if part.verdict not in NO_MONEY and part.currency:
            money[part.currency] += part.amount
            if part.refunded:
                refunded[part.currency] += part.refunded
    paid = sum(number for verdict, number in verdicts.items() if verdict not in NO_MONEY)
    awaited = sum(one.number for one in group if one.awaited)
    known = sum(number for verdict, number in verdicts.items() if verdict in WITH_CLICK_ID)
    return Line(
        key=key,
        sales=paid,
        awaited=awaited,
        with_click_id=known - awaited,
        money=dict(money),
        refunded=dict(refunded),
        verdicts=dict(sorted(verdicts.items())),
    )
