"""What to reverse at Tracknow, and marks of what a person has reversed there: it has no API for it.

A mark is kept under the id of the charge, so that a ledger that is made anew has it still. It
notes how much had gone back until then, and when the charge was disputed last. What goes back
later, and a later dispute, is to be reversed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)

from tracknow_static.relay.sales.objects import DISPUTE
from tracknow_static.relay.sales.verdicts import of_period
from tracknow_static.relay.store.facts import (
    REVERSED,
    REVERSED_DISPUTE,
    forget_reversed,
    note_fact,
)
from tracknow_static.relay.store.schema import facts, parts, sale_objects, sales

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, ScalarSelect

    from tracknow_static.relay.store.database import Database

_BACK = ("refunded", "partly-refunded")
_DISPUTED = "disputed"
_TO_REVERSE = (*_BACK, _DISPUTED)


class Refund(NamedTuple):
    """A sale with a click id whose money went back, wholly or in part, or is disputed.

    ``at`` is when it was refunded, or when the dispute began; Unix seconds. Of what was
    ``refunded``, ``reversed`` is marked as reversed; both are in the currency's minor unit.
    """

    at: int
    reference: str
    charge: str
    verdict: str
    currency: str
    amount: int
    refunded: int
    sale: str
    reversed: int


class Marked(NamedTuple):
    """The refunds that were marked, or whose marks were removed, and ids that have none."""

    refunds: list[Refund]
    unknown: list[str]


def find(
    database: Database,
    *,
    since: float | None = None,
    until: float | None = None,
    everything: bool = False,
) -> list[Refund]:
    """Return what to reverse, the oldest first; with ``everything`` also what is marked."""
    statement = select(*_COLUMNS).where(sales.c.verdict.in_(_TO_REVERSE))
    if not everything:
        statement = statement.where(_IS_OPEN)
    statement = of_period(statement, since, until, _AT).order_by(_AT, sales.c.id)
    with database.read() as connection:
        return [Refund(*row) for row in connection.execute(statement)]


def count(database: Database, *, since: float | None = None, until: float | None = None) -> int:
    """Return how many of the sales that were made in a period are to be reversed."""
    statement = select(func.count()).where(sales.c.verdict.in_(_TO_REVERSE), _IS_OPEN)
    with database.read() as connection:
        return int(connection.execute(of_period(statement, since, until)).scalar_one())


def newest(
    database: Database,
    number: int,
    *,
    before: tuple[int, str] | None = None,
    everything: bool = False,
) -> list[Refund]:
    """Return some of what to reverse, the newest first; with ``everything`` also what is marked.

    ``before`` is time and sale of the last one that was seen.
    """
    # What was refunded is read in the order of an index, without those of another verdict. What is
    # disputed is read whole: it is rare, and when a dispute began is not among the sale's columns.
    back = select(*_COLUMNS).where(
        literal_column("refunded > 0"), func.coalesce(sales.c.verdict, "").in_(_BACK)
    )
    disputed = select(*_COLUMNS).where(sales.c.verdict == _DISPUTED)
    branches = []
    for part, at in ((back, sales.c.refunded_at), (disputed, _AT)):
        wanted = part if everything else part.where(_IS_OPEN)
        if before is not None:
            wanted = wanted.where(tuple_(at, sales.c.id) < tuple_(*before))
        first = wanted.order_by(at.desc(), sales.c.id.desc()).limit(number)
        branches.append(select(first.subquery()))
    found = union_all(*branches).subquery()
    statement = select(found).order_by(found.c.at.desc(), found.c.id.desc()).limit(number)
    with database.read() as connection:
        return [Refund(*row) for row in connection.execute(statement)]


def mark_reversed(database: Database, ids: Collection[str], *, undo: bool = False) -> Marked:
    """Mark what went back of charges or sales until now as reversed; ``undo`` removes the marks.

    An id is unknown that is not to be reversed, and with ``undo`` was not marked either.
    """

    def work(connection: Connection) -> list[Refund]:
        found = {refund.sale: refund for refund in _by_ids(connection, ids, marked=undo)}
        charges = {refund.charge for refund in found.values()}
        if undo:
            forget_reversed(connection, charges)
        else:
            for refund in found.values():
                note_fact(connection, REVERSED + refund.charge, str(refund.refunded))
                if refund.verdict == _DISPUTED:
                    note_fact(connection, REVERSED_DISPUTE + refund.charge, str(refund.at))
        return [found[sale] for sale in sorted(found)]

    refunds = database.run(work)
    known = {name for refund in refunds for name in (refund.sale, refund.charge)}
    return Marked(refunds, [name for name in dict.fromkeys(ids) if name not in known])


def _by_ids(connection: Connection, ids: Collection[str], *, marked: bool) -> list[Refund]:
    """Return the sales with these ids, or of charges with them; ``marked`` ones of any verdict."""
    found: list[Refund] = []
    for part in parts(ids):
        statement = select(*_COLUMNS).where(
            sales.c.charge.is_not(None), or_(sales.c.id.in_(part), sales.c.charge.in_(part))
        )
        wanted = [sales.c.verdict.in_(_TO_REVERSE)]
        if marked:
            wanted.append(_noted(REVERSED).is_not(None))
        found += [Refund(*row) for row in connection.execute(statement.where(or_(*wanted)))]
    return found


def _noted(name: str) -> ScalarSelect[Any]:
    """Return the number in a fact about the sale's charge."""
    statement = select(cast(facts.c.value, BigInteger))
    named = facts.c.name == literal(name).concat(sales.c.charge)
    return statement.where(named).correlate(sales).scalar_subquery()


_DISPUTED_AT = (
    select(func.max(func.coalesce(sale_objects.c.created, sale_objects.c.seen)))
    .where(sale_objects.c.charge == sales.c.charge, sale_objects.c.kind == DISPUTE)
    .correlate(sales)
    .scalar_subquery()
)
_AT = func.coalesce(
    case((sales.c.verdict == _DISPUTED, _DISPUTED_AT)), sales.c.refunded_at, sales.c.created
)
_REVERSED = func.coalesce(_noted(REVERSED), 0)
_IS_OPEN = or_(
    sales.c.refunded > _REVERSED,
    and_(sales.c.verdict == _DISPUTED, func.coalesce(_noted(REVERSED_DISPUTE), -1) < _AT),
)
_COLUMNS = (
    _AT.label("at"),
    sales.c.reference,
    func.coalesce(sales.c.charge, "").label("charge"),
    sales.c.verdict,
    func.coalesce(sales.c.currency, "").label("currency"),
    func.coalesce(sales.c.amount, 0).label("amount"),
    sales.c.refunded,
    sales.c.id,
    _REVERSED.label("reversed"),
)
