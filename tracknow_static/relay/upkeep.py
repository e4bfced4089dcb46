"""Replaying what was sent before, and purging what is no longer needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, text, tuple_, update

from tracknow_static.relay import views
from tracknow_static.relay.records import PENDING, Purged, Replayed
from tracknow_static.relay.schema import (
    attempts,
    customer_references,
    deliveries,
    events,
    tallies,
)
from tracknow_static.relay.storing import insert, note_destinations
from tracknow_static.relay.wakeup import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Connection

    from tracknow_static.relay.database import Database
    from tracknow_static.relay.records import Filter

# Events in one transaction: short enough that commits of new events hardly wait.
_CHUNK = 200
_DAY = 86_400.0
# Counters of processes that are gone are added up after this time.
_OWNER_SECONDS = 7 * _DAY


def replay(
    database: Database,
    wanted: Filter,
    rate: float,
    targets: Sequence[str],
    configured: Sequence[str],
    dry_run: bool,
    progress: Callable[[int], None] | None,
) -> Replayed:
    """Make deliveries due again, chunk by chunk, oldest event first."""
    if targets and not dry_run:
        note_destinations(database, targets)
    done = _Count()
    after: Any = None
    # What arrives, or is delivered again, during the replay must not be met a second time.
    with database.read() as connection:
        until = float(connection.execute(select(database.now())).scalar_one())
    while True:
        rows = _chunk(database, wanted, after, until)
        if not rows:
            return done.result()
        after = (rows[-1].received_at, rows[-1].id)
        if dry_run:
            with database.read() as connection:
                done = _plan(
                    connection, database, rows, targets, configured, done, rate, write=False
                )
        else:
            done = _replay_chunk(database, rows, targets, configured, done, rate)
        if progress is not None:
            progress(done.events)


class _Count:
    """Running totals of a replay."""

    def __init__(self, events: int = 0, made_due: int = 0) -> None:
        self.events = events
        self.made_due = made_due
        self.purged = self.thin = self.in_flight = 0

    def copy(self) -> _Count:
        other = _Count(self.events, self.made_due)
        other.purged, other.thin, other.in_flight = self.purged, self.thin, self.in_flight
        return other

    def result(self) -> Replayed:
        return Replayed(self.events, self.made_due, self.purged, self.thin, self.in_flight)


def _chunk(database: Database, wanted: Filter, after: Any, until: float) -> Sequence[Any]:
    statement = views.restrict(
        select(events.c.id, events.c.received_at, events.c.kept_because), wanted
    ).where(events.c.received_at <= until)
    if after is not None:
        statement = statement.where(tuple_(events.c.received_at, events.c.id) > tuple_(*after))
    statement = statement.order_by(events.c.received_at, events.c.id).limit(_CHUNK)
    with database.read() as connection:
        return connection.execute(statement).all()


def _replay_chunk(
    database: Database,
    rows: Sequence[Any],
    targets: Sequence[str],
    configured: Sequence[str],
    done: _Count,
    rate: float,
) -> _Count:
    def work(connection: Connection) -> _Count:
        count = _plan(connection, database, rows, targets, configured, done, rate, write=True)
        if database.backend == "postgresql":
            connection.execute(text(f"NOTIFY {CHANNEL}"))
        return count

    return database.run(work)


def _plan(
    connection: Connection,
    database: Database,
    rows: Sequence[Any],
    targets: Sequence[str],
    configured: Sequence[str],
    done: _Count,
    rate: float,
    *,
    write: bool,
) -> _Count:
    """Decide for each event what is made due, and do it if ``write``; gives the new totals."""
    count = done.copy()
    now = database.now()
    ids = [row.id for row in rows]
    ways = _ways(connection, ids, now, lock=write)
    bodies = select(events.c.id).where(events.c.id.in_(ids), events.c.payload.is_not(None))
    whole = set(connection.execute(bodies).scalars())
    for row in rows:
        count.events += 1
        if row.kept_because == "thin":
            count.thin += 1
            continue
        if row.id not in whole:
            count.purged += 1
            continue
        own = ways.get(row.id, {})
        for url in targets or tuple(own) or configured:
            way = own.get(url)
            if way is not None and way.leased:
                count.in_flight += 1
                continue
            due = now + (count.made_due / rate if rate else 0.0)
            count.made_due += 1
            if write:
                _make_due(connection, database, row.id, url, way, due, now)
        if write and row.kept_because is not None:
            connection.execute(
                update(events).where(events.c.id == row.id).values(kept_because=None)
            )
    return count


def _ways(
    connection: Connection, ids: Sequence[str], now: ColumnElement[float], *, lock: bool
) -> dict[str, dict[str, Any]]:
    leased = (
        (deliveries.c.state == PENDING)
        & deliveries.c.claimed_at.is_not(None)
        & (deliveries.c.due_at > now)
    )
    statement = (
        select(
            deliveries.c.id, deliveries.c.event_id, deliveries.c.destination, leased.label("leased")
        )
        .where(deliveries.c.event_id.in_(ids))
        .order_by(deliveries.c.id)
    )
    if lock:
        statement = statement.with_for_update()
    ways: dict[str, dict[str, Any]] = {}
    for row in connection.execute(statement):
        ways.setdefault(row.event_id, {})[row.destination] = row
    return ways


def _make_due(
    connection: Connection,
    database: Database,
    event_id: str,
    url: str,
    way: Any,
    due: ColumnElement[float],
    now: ColumnElement[float],
) -> None:
    # A token above 0 tells a due time that was chosen from one that a wrong clock wrote.
    if way is None:
        statement = insert(database, deliveries).values(
            event_id=event_id,
            destination=url,
            state=PENDING,
            due_at=due,
            accepted_at=now,
            token=1,
            attempts=0,
            tries=0,
        )
        connection.execute(statement.on_conflict_do_nothing())
        return
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id == way.id)
        .values(
            state=PENDING,
            due_at=due,
            claimed_at=None,
            token=deliveries.c.token + 1,
            attempts=0,
            tries=0,
            last_error=None,
            last_status=None,
            accepted_at=now,
            settled_at=None,
        )
    )


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
        now = float(connection.execute(select(database.now())).scalar_one())
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
        totals: dict[tuple[str, str], int] = {}
        for row in connection.execute(gone).all():
            key = (row.name, row.destination)
            totals[key] = totals.get(key, 0) + row.value
        if not totals:
            return
        statement = insert(database, tallies).values(owner="", updated_at=database.now())
        statement = statement.on_conflict_do_update(
            index_elements=["name", "destination", "owner"],
            set_={"value": tallies.c.value + statement.excluded.value},
        )
        connection.execute(
            statement,
            [
                {"name": name, "destination": destination, "value": value}
                for (name, destination), value in sorted(totals.items())
            ],
        )

    database.run(work)


def _give_back(database: Database) -> None:
    """Let an SQLite file shrink; PostgreSQL looks after itself."""
    if database.path is not None:
        database.run(lambda connection: connection.execute(text("PRAGMA incremental_vacuum")))
