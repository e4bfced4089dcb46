"""Purging: removing what is no longer needed, and nothing that recognises a duplicate."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, text, tuple_, update

from tracknow_static.relay.store.model import PENDING, Purged
from tracknow_static.relay.store.schema import (
    attempts,
    customer_references,
    deliveries,
    events,
    tallies,
)
from tracknow_static.relay.store.storing import write_tallies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from tracknow_static.relay.store.database import Database

# Events in one transaction: short enough that commits of new events hardly wait.
_CHUNK = 200
_DAY = 86_400.0
# Counters of processes that are gone are added up after this time.
_OWNER_SECONDS = 7 * _DAY


def purge(
    database: Database,
    delivered_days: float,
    dead_days: float,
    references_days: float,
    dry_run: bool,
    progress: Callable[[int], None] | None,
) -> Purged:
    """Remove what is old enough, chunk by chunk."""
    with database.read() as connection:
        now = database.read_clock(connection)
    limits = (now - delivered_days * _DAY, now - dead_days * _DAY)
    number = size = 0
    after: tuple[float, str] = (-1.0, "")
    while True:
        with database.read() as connection:
            rows = _old(connection, after, max(limits))
        if not rows:
            break
        after = (rows[-1].received_at, rows[-1].id)
        sizes = {row.id: row.size or 0 for row in rows}
        gone = _purge_chunk(database, rows, limits, dry_run)
        number += len(gone)
        size += sum(sizes[one] for one in gone)
        if progress is not None:
            progress(number)
    forgotten = _forget_customers(database, now - references_days * _DAY, dry_run)
    if not dry_run:
        _add_up(database, now - _OWNER_SECONDS)
        _give_back(database)
    return Purged(number, size, forgotten)


def _old(connection: Connection, after: tuple[float, str], before: float) -> Sequence[Any]:
    statement = (
        select(
            events.c.id,
            events.c.received_at,
            events.c.kept_because,
            func.length(events.c.payload).label("size"),
        )
        .where(
            events.c.purged_at.is_(None),
            events.c.received_at < before,
            tuple_(events.c.received_at, events.c.id) > tuple_(*after),
        )
        .order_by(events.c.received_at, events.c.id)
        .limit(_CHUNK)
    )
    return connection.execute(statement).all()


def _purge_chunk(
    database: Database, rows: Sequence[Any], limits: tuple[float, float], dry_run: bool
) -> list[str]:
    def work(connection: Connection) -> list[str]:
        ids = [row.id for row in rows]
        statement = (
            select(
                deliveries.c.id,
                deliveries.c.event_id,
                deliveries.c.state,
                deliveries.c.settled_at,
            )
            .where(deliveries.c.event_id.in_(ids))
            .order_by(deliveries.c.id)
        )
        if not dry_run:
            statement = statement.with_for_update()
        ways: dict[str, list[Any]] = {}
        for way in connection.execute(statement):
            ways.setdefault(way.event_id, []).append(way)
        gone = [row.id for row in rows if _expired(row, ways.get(row.id, []), limits)]
        if gone and not dry_run:
            _remove(
                connection, database, gone, [way.id for one in gone for way in ways.get(one, [])]
            )
        return gone

    if dry_run:
        with database.read() as connection:
            return work(connection)
    return database.run(work)


def _expired(row: Any, ways: Sequence[Any], limits: tuple[float, float]) -> bool:
    delivered_before, dead_before = limits
    if any(way.state == PENDING for way in ways):
        return False
    settled = max((way.settled_at for way in ways), default=row.received_at)
    accepted = bool(ways) and all(way.state == "delivered" for way in ways)
    return bool(settled < (delivered_before if accepted else dead_before))


def _remove(
    connection: Connection, database: Database, ids: Sequence[str], ways: Sequence[int]
) -> None:
    connection.execute(
        update(events)
        .where(events.c.id.in_(ids))
        .values(payload=None, signature=None, content_type=None, purged_at=database.now())
    )
    connection.execute(delete(attempts).where(attempts.c.delivery_id.in_(ways)))


def _forget_customers(database: Database, before: float, dry_run: bool) -> int:
    old = customer_references.c.seen_at < before
    if dry_run:
        with database.read() as connection:
            statement = select(func.count()).select_from(customer_references).where(old)
            return int(connection.execute(statement).scalar_one())
    return database.run(
        lambda connection: connection.execute(delete(customer_references).where(old)).rowcount
    )


def _add_up(database: Database, before: float) -> None:
    """Add the counters of processes that are gone to those that belong to nobody."""

    def work(connection: Connection) -> None:
        gone = (
            delete(tallies)
            .where(tallies.c.owner != "", tallies.c.updated_at < before)
            .returning(tallies.c.name, tallies.c.destination, tallies.c.value)
        )
        totals: Counter[tuple[str, str]] = Counter()
        for row in connection.execute(gone).all():
            totals[row.name, row.destination] += row.value
        write_tallies(connection, totals, "", database.read_clock(connection))

    database.run(work)


def _give_back(database: Database) -> None:
    """Let an SQLite file shrink; PostgreSQL looks after itself."""
    if database.path is not None:
        database.run(lambda connection: connection.execute(text("PRAGMA incremental_vacuum")))
