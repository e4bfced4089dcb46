"""Reading the ledger: sales with the verdicts that their deliveries leave them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select, tuple_, union, union_all

from tracknow_static.relay.sales.derive import Sale
from tracknow_static.relay.store import ledger_state
from tracknow_static.relay.store.filters import in_state
from tracknow_static.relay.store.schema import deliveries, events, sale_objects, sales

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, CompoundSelect, Connection, Select

    from tracknow_static.relay.store.database import Database

CODES = {
    "attributed": "It carries a click id, and the destinations accepted everything.",
    "waiting": "A delivery is pending or retried, its events are not forwarded, or it is a new "
    "charge whose Checkout Session may still come.",
    "rejected": "It carries a click id; a destination refused it: a delivery is a dead letter, or was "
    "answered with success: false.",
    "renewal": "A later charge of a customer whose first session carried a click id.",
    "unpaid": "No money yet: a delayed payment method.",
    "payment-failed": "The delayed payment failed.",
    "expired": "The checkout was never completed.",
    "refunded": "It carries a click id, and all of the money went back.",
    "partly-refunded": "It carries a click id, and some of the money went back.",
    "disputed": "It carries a click id, and the bank took the money back, or may.",
    "no-click-id": "It carries no click id.",
    "not-a-click-id": "What it carries is a placeholder, such as undefined, or does not match "
    "TRACKNOW_RELAY_CLICK_ID_PATTERN.",
    "not-received": "Stripe has it, and this relay never received it: `tracknow-relay backfill "
    "--sessions` lists these sales.",
    "test": "It was made in Stripe's test mode.",
}
"""Every verdict with its meaning; the codes are stable."""

WITH_CLICK_ID = frozenset(
    {"attributed", "renewal", "waiting", "rejected", "refunded", "partly-refunded", "disputed"}
)
"""The verdicts of sales that carry a click id."""

_WITHOUT = ("no-click-id", "not-a-click-id")
# Rows that are looked at for each purchase wanted: renewals lie between them.
_LOOK = 20
_DEPEND = ("attributed", "renewal")
_NO_CLICK_ID = "no-click-id"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which sales are meant; conditions that are not given do not restrict.

    ``since`` and ``until`` (exclusive) bound the time of the sale at Stripe, in Unix seconds.
    """

    verdicts: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    payment_link: str | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Page:
    """Some sales, the newest first; ``cursor`` asks for the next page, None on the last one."""

    sales: tuple[Sale, ...]
    cursor: str | None


def find(database: Database, wanted: Wanted, *, limit: int = 50, cursor: str | None = None) -> Page:
    """Find sales, the newest first.

    Raises ``ValueError`` for a cursor that no page gave.
    """
    # One more than asked for shows whether more follow.
    after = None if cursor is None else parse_cursor(cursor)
    statement = _newest(database, wanted, after, limit + 1)
    with database.read() as connection:
        rows = connection.execute(statement).all()
    found = tuple(map(_sale, rows[:limit]))
    last = found[-1] if len(rows) > limit else None
    return Page(found, f"{last.created} {last.id}" if last else None)


def unfinished(database: Database, click_id: re.Pattern[str] | None) -> str:
    """Return why the ledger does not show everything yet, as a sentence; empty if it does."""
    with database.read() as connection:
        state = ledger_state.load(connection)
        unread = select(events.c.id).where(
            events.c.received_at >= ledger_state.unread_since(connection)
        )
        behind = state is None or connection.execute(unread.limit(1)).first() is not None
    if state is not None and state.pattern != (click_id.pattern if click_id else ""):
        return (
            "The ledger was made with another TRACKNOW_RELAY_CLICK_ID_PATTERN. Restart the relay, "
            "or run `tracknow-relay sales --rebuild`."
        )
    return "The ledger has not read the newest events yet." if behind else ""


def without_click_id(connection: Connection, number: int) -> int | None:
    """Return since when sales carry no click id, if the last ``number`` carry none.

    In Unix seconds; None if one carries it, if there are fewer sales, or if no earlier one carried
    one. A renewal is left out: it shows nothing about the site of today.
    """
    latest = (
        select(sales.c.verdict, sales.c.created, sales.c.mode, sales.c.renews)
        .order_by(sales.c.created.desc(), sales.c.id.desc())
        .limit(number * _LOOK)
    )
    seen: list[int] = []
    for row in connection.execute(latest):
        # Only a Checkout Session has a mode of its own.
        if row.mode is None or row.renews is not None:
            continue
        if row.verdict in WITH_CLICK_ID:
            return None
        if row.verdict in _WITHOUT:
            seen.append(row.created)
            if len(seen) == number:
                break
    if not number or len(seen) < number:
        return None
    earlier = select(sales.c.id).where(sales.c.verdict.in_(WITH_CLICK_ID)).limit(1)
    return seen[-1] if connection.execute(earlier).first() else None


def has_other_accounts(database: Database) -> bool:
    """Whether the ledger has a sale of a connected account, or of another one of an organization."""
    statement = select(sales.c.id).where(sales.c.account.is_not(None)).limit(1)
    with database.read() as connection:
        return connection.execute(statement).first() is not None


def by_id(database: Database, sale: str) -> Sale | None:
    """Return one sale, or None."""
    corrected = corrected_verdict(database).label("corrected")
    statement = select(sales, corrected).where(sales.c.id == sale)
    with database.read() as connection:
        row = connection.execute(statement).first()
    return None if row is None else _sale(row)


def _sale(row: Any) -> Sale:
    return Sale(*row[: len(Sale._fields)])._replace(verdict=row.corrected)


def _newest(
    database: Database, wanted: Wanted, after: tuple[int, str] | None, limit: int
) -> Select[Any]:
    """Return the statement for the newest sales that are wanted, of those after a place.

    Each verdict is a statement of its own: an index has its sales in this order, so that no more
    are read than are shown, however many there are.
    """
    corrected = corrected_verdict(database)
    every = _restricted(select(sales, corrected.label("corrected")), wanted)
    if after is not None:
        every = every.where(tuple_(sales.c.created, sales.c.id) < tuple_(*after))
    newest = (sales.c.created.desc(), sales.c.id.desc())
    if not wanted.verdicts and wanted.payment_link is None:
        return every.order_by(*newest).limit(limit)
    verdicts = wanted.verdicts or tuple(CODES)
    parts = [
        every.where(sales.c.verdict == verdict, corrected == verdict).order_by(*newest)
        for verdict in verdicts
    ]
    if changed := {"waiting", "rejected"}.intersection(verdicts):
        # As an expression no index gives this order: the few ids are looked up, and sorted.
        by_id = (func.coalesce(sales.c.created, 0).desc(), sales.c.id.desc())
        parts.append(
            every.where(may_be_corrected(database), corrected.in_(changed)).order_by(*by_id)
        )
    found = union_all(*(select(part.limit(limit).subquery()) for part in parts)).subquery()
    return select(found).order_by(found.c.created.desc(), found.c.id.desc()).limit(limit)


def _restricted(statement: Select[Any], wanted: Wanted) -> Select[Any]:
    statement = of_period(statement, wanted.since, wanted.until)
    if wanted.payment_link is not None:
        statement = statement.where(sales.c.payment_link == wanted.payment_link)
    if wanted.reference is not None:
        statement = statement.where(sales.c.reference == wanted.reference)
    return statement


def of_period(
    statement: Select[Any],
    since: float | None,
    until: float | None,
    column: ColumnElement[Any] = sales.c.created,
) -> Select[Any]:
    """Return the statement for what a time is in, from ``since`` until before ``until``."""
    if since is not None:
        statement = statement.where(column >= since)
    return statement if until is None else statement.where(column < until)


def corrected_verdict(database: Database) -> ColumnElement[str]:
    """Return the verdict as an expression: deliveries and the present time make it another one.

    What is pending, rejected, dead or new is few, and found in an index of its own.
    """
    depends = sales.c.verdict.in_(_DEPEND)
    return case(
        (depends & sales.c.id.in_(_refused()), "rejected"),
        (depends & sales.c.id.in_(_with_deliveries("pending")), "waiting"),
        ((sales.c.verdict == _NO_CLICK_ID) & sales.c.id.in_(_awaited(database)), "waiting"),
        else_=sales.c.verdict,
    )


def may_be_corrected(database: Database) -> ColumnElement[bool]:
    """Return the condition without which :func:`corrected_verdict` is the stored one."""
    ids = (*_refused().selects, _with_deliveries("pending"), _awaited(database))
    few: CompoundSelect[Any] = union(*ids)
    # As an expression no index serves it: the few ids are looked up, not the many sales.
    return sales.c.id.in_(few) & func.coalesce(sales.c.verdict, "").in_((*_DEPEND, _NO_CLICK_ID))


def _refused() -> CompoundSelect[Any]:
    """Return the ids of sales of which a destination refused an event."""
    return union(_with_deliveries("dead"), _with_deliveries("rejected"))


def _with_deliveries(state: str) -> Select[Any]:
    """Return the ids of sales of which an event has a delivery in this state."""
    return (
        select(sale_objects.c.sale)
        .join(events, events.c.object_id == sale_objects.c.id)
        .join(deliveries, deliveries.c.event_id == events.c.id)
        .where(in_state(state), sale_objects.c.sale.is_not(None))
    )


def _awaited(database: Database) -> Select[Any]:
    """Return the ids of charges that came so lately that their sessions may still follow."""
    return (
        select(sale_objects.c.id)
        .join(events, events.c.object_id == sale_objects.c.id)
        .where(
            events.c.received_at > database.now() - database.session_wait,
            events.c.type == "charge.succeeded",
            sale_objects.c.sale == sale_objects.c.id,
        )
    )


def parse_cursor(cursor: str) -> tuple[int, str]:
    """Return time and id of the last sale of a page; raise ``ValueError`` for anything else."""
    at, _, sale = cursor.partition(" ")
    # Of a number that no database holds, and of what else Python accepts as one, nothing follows.
    if not re.fullmatch(r"-?[0-9]{1,15}", at) or not sale.isprintable():
        raise ValueError(f"cursor: {cursor!r} is not one that a page gave.")
    return int(at), sale
