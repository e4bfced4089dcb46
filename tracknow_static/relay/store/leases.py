"""Leasing deliveries to workers and recording how their attempts ended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, insert, literal_column, select, update

from tracknow_static.relay import crash_points
from tracknow_static.relay.store.model import (
    ACTIVE,
    DEAD,
    DELIVERED,
    PENDING,
    Claimed,
    Outcome,
)
from tracknow_static.relay.store.schema import attempts, deliveries, destinations, events
from tracknow_static.relay.store.storing import write_tallies

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection

    from tracknow_static.relay.store.database import Database

LEASED = crash_points.declare("claim.leased", "deliveries are leased, the lease is not committed")
CLAIMED = crash_points.declare("claim.committed", "the lease is durable, its holder does not know")
SETTLING = crash_points.declare("settle.written", "outcomes are written, nothing is committed")
SETTLED = crash_points.declare("settle.committed", "outcomes are durable, the worker does not know")

# No retry and no replay reaches further: what is due later was stored under a clock that was wrong.
_RETRY_HORIZON = 2 * 86_400
_REPLAY_HORIZON = 40 * 86_400

# A literal, since a bound value would hide from the planner that the partial index applies.
is_pending: ColumnElement[bool] = literal_column("state = 'pending'")


def claim(
    database: Database, urls: Sequence[str], limit: int, lease_seconds: float, paused: bool
) -> list[Claimed]:
    """Lease at most ``limit`` due deliveries for each destination."""
    if not _any_due(database, urls, paused):
        return []

    def work(connection: Connection) -> list[Claimed]:
        leased: list[Any] = []
        for url in _open(connection, urls, paused):
            leased += _lease(connection, url, limit, lease_seconds, database.now())
        claimed = _with_payloads(connection, leased)
        crash_points.reach(LEASED)
        return claimed

    claimed = database.run(work)
    crash_points.reach(CLAIMED)
    return claimed


def _any_due(database: Database, urls: Sequence[str], paused: bool) -> bool:
    """Look without a lock, so that idle workers do not stand in the way of commits."""
    with database.read() as connection:
        return any(
            connection.execute(
                select(deliveries.c.id)
                .where(
                    deliveries.c.destination == url,
                    is_pending,
                    deliveries.c.due_at <= database.now(),
                )
                .limit(1)
            ).first()
            for url in _open(connection, urls, paused)
        )


def _open(connection: Connection, urls: Sequence[str], paused: bool = False) -> Sequence[str]:
    """Give those of the destinations that may be claimed from."""
    if paused:
        return urls
    statement = select(destinations.c.url).where(
        destinations.c.url.in_(urls), destinations.c.state == ACTIVE
    )
    active = set(connection.execute(statement).scalars())
    return [url for url in urls if url in active]


def _lease(
    connection: Connection, url: str, limit: int, lease_seconds: float, now: ColumnElement[float]
) -> Sequence[Any]:
    # As a CTE: PostgreSQL may run a plain sub-select again for each row, and lock other rows.
    due = (
        select(deliveries.c.id)
        .where(deliveries.c.destination == url, is_pending, deliveries.c.due_at <= now)
        .order_by(deliveries.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    statement = (
        update(deliveries)
        .where(deliveries.c.id.in_(select(due.c.id)))
        .values(due_at=now + lease_seconds, claimed_at=now, token=deliveries.c.token + 1)
        .returning(
            deliveries.c.id,
            deliveries.c.token,
            deliveries.c.event_id,
            deliveries.c.destination,
            deliveries.c.attempts,
            deliveries.c.tries,
            deliveries.c.accepted_at,
        )
    )
    return connection.execute(statement).all()


def _with_payloads(connection: Connection, leased: Sequence[Any]) -> list[Claimed]:
    if not leased:
        return []
    statement = select(
        events.c.id,
        events.c.type,
        events.c.received_at,
        events.c.content_type,
        events.c.signature,
        events.c.payload,
    ).where(events.c.id.in_({one.event_id for one in leased}))
    stored = {one.id: one for one in connection.execute(statement)}
    oldest_first = sorted(leased, key=lambda one: (stored[one.event_id].received_at, one.id))
    return [
        Claimed(
            delivery_id=one.id,
            token=one.token,
            event_id=one.event_id,
            destination=one.destination,
            payload=bytes(stored[one.event_id].payload),
            content_type=stored[one.event_id].content_type,
            signature=stored[one.event_id].signature,
            attempts=one.attempts,
            tries=one.tries,
            type=stored[one.event_id].type,
            accepted_at=one.accepted_at,
        )
        for one in oldest_first
    ]


def settle(database: Database, outcomes: Sequence[Outcome], owner: str) -> list[bool]:
    """Record outcomes in one transaction; gives which leases were still held."""
    if not outcomes:
        return []

    def work(connection: Connection) -> list[bool]:
        now = database.now()
        current = _lock(connection, {one.claimed.delivery_id for one in outcomes})
        held = [
            current.get(one.claimed.delivery_id) == (PENDING, one.claimed.token) for one in outcomes
        ]
        valid = [one for one, ok in zip(outcomes, held, strict=True) if ok]
        _update(connection, valid, now)
        _record_attempts(connection, outcomes, now)
        counts = Counter(
            (_TALLY[one.kind], one.claimed.destination) for one in valid if one.kind in _TALLY
        )
        write_tallies(connection, counts, owner, database.read_clock(connection))
        crash_points.reach(SETTLING)
        return held

    held = database.run(work)
    crash_points.reach(SETTLED)
    return held


_TALLY = {"delivered": "delivered", "retry": "retried", "dead": "dead"}


def _lock(connection: Connection, ids: Iterable[int]) -> dict[int, tuple[str, int]]:
    """Lock the rows, in one order for all workers, and give their state and token."""
    statement = (
        select(deliveries.c.id, deliveries.c.state, deliveries.c.token)
        .where(deliveries.c.id.in_(sorted(ids)))
        .order_by(deliveries.c.id)
        .with_for_update()
    )
    return {one.id: (one.state, one.token) for one in connection.execute(statement)}


def _update(connection: Connection, outcomes: Sequence[Outcome], now: ColumnElement[float]) -> None:
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for one in outcomes:
        by_kind.setdefault(one.kind, []).append(
            {
                "this": one.claimed.delivery_id,
                "fence": one.claimed.token,
                "status": one.status,
                "error": one.error,
                "wait": one.delay,
                "counted": int(one.counted),
            }
        )
    for kind, rows in by_kind.items():
        values = _values(kind, now)
        used = {name for name in ("status", "error", "wait", "counted") if name in values.names}
        statement = (
            update(deliveries)
            .where(deliveries.c.id == bindparam("this"), deliveries.c.token == bindparam("fence"))
            .values(**values.columns)
        )
        connection.execute(
            statement,
            [{name: row[name] for name in ("this", "fence", *used)} for row in rows],
        )


class _Values:
    """Columns to set for one kind of outcome, and the names of the parameters they use."""

    def __init__(self, columns: dict[str, Any], names: tuple[str, ...]) -> None:
        self.columns = columns
        self.names = names


def _values(kind: str, now: ColumnElement[float]) -> _Values:
    if kind == "release":
        released = {"due_at": now, "claimed_at": None, "token": deliveries.c.token + 1}
        return _Values(released, ())
    columns: dict[str, Any] = {
        "claimed_at": None,
        "tries": deliveries.c.tries + 1,
        "last_status": bindparam("status"),
        "last_error": bindparam("error"),
    }
    if kind == "retry":
        columns["due_at"] = now + bindparam("wait")
        columns["attempts"] = deliveries.c.attempts + bindparam("counted")
        return _Values(columns, ("status", "error", "wait", "counted"))
    columns["state"] = {"delivered": DELIVERED, "dead": DEAD}[kind]
    columns["settled_at"] = now
    columns["attempts"] = deliveries.c.attempts + 1
    return _Values(columns, ("status", "error"))


def _record_attempts(
    connection: Connection, outcomes: Sequence[Outcome], now: ColumnElement[float]
) -> None:
    rows = [
        {
            "delivery_id": one.claimed.delivery_id,
            "status": one.status,
            "error": one.error,
            "took_ms": one.took_ms,
        }
        for one in outcomes
        if one.kind != "release"
    ]
    if rows:
        connection.execute(insert(attempts).values(at=now), rows)


def next_due(database: Database, urls: Sequence[str]) -> float | None:
    """Seconds until the first delivery of an active destination is due; None without any."""
    with database.read() as connection:
        waits = []
        for url in _open(connection, urls):
            statement = (
                select(deliveries.c.due_at - database.now())
                .where(deliveries.c.destination == url, is_pending)
                .order_by(deliveries.c.due_at)
                .limit(1)
            )
            wait = connection.execute(statement).scalar()
            if wait is not None:
                waits.append(max(0.0, float(wait)))
    return min(waits, default=None)


def mend_clock(database: Database) -> int:
    """Make due what a clock that ran ahead, and was set right since, put far into the future.

    A delivery that nobody has claimed yet is due since it was stored, whatever its due time says.
    Gives the number of deliveries mended.
    """

    def work(connection: Connection) -> int:
        now = database.now()
        mended = 0
        for url in connection.execute(select(destinations.c.url)).scalars().all():
            scheduled = (deliveries.c.tries > 0) | deliveries.c.claimed_at.is_not(None)
            late = case(
                (deliveries.c.token == 0, now + 1),
                (scheduled, now + _RETRY_HORIZON),
                else_=now + _REPLAY_HORIZON,
            )
            statement = (
                update(deliveries)
                .where(
                    deliveries.c.destination == url,
                    is_pending,
                    deliveries.c.due_at > now + 1,
                    deliveries.c.due_at > late,
                )
                .values(due_at=now)
            )
            mended += connection.execute(statement).rowcount
        return mended

    return database.run(work)
