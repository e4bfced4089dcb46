"""Leasing deliveries to workers and recording how their attempts ended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, func, insert, select, update

from tracknow_static.relay import crash_points
from tracknow_static.relay.store.events import write_tallies
from tracknow_static.relay.store.model import (
    DEAD,
    DELIVERED,
    PAUSED,
    PENDING,
    REJECTED,
    SESSION_EVENTS,
    Claimed,
    DeliveryResult,
)
from tracknow_static.relay.store.payloads import with_payloads
from tracknow_static.relay.store.schema import (
    attempts,
    deliveries,
    destinations,
    events,
    is_pending,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

    from tracknow_static.relay.store.database import Database

LEASED = crash_points.declare("claim.leased", "deliveries are leased, the lease is not committed")
CLAIMED = crash_points.declare("claim.committed", "the lease is durable, its holder does not know")
SETTLING = crash_points.declare("settle.written", "results are written, nothing is committed")
SETTLED = crash_points.declare("settle.committed", "results are durable, the worker does not know")


def claim(
    database: Database,
    *,
    limit: int,
    lease_seconds: float,
    destinations: Sequence[str] | None = None,
    paused: bool = False,
) -> list[Claimed]:
    """Lease at most ``limit`` due deliveries for each destination, oldest due first.

    ``destinations`` restricts to some (all of the database's by default); paused ones give
    nothing unless ``paused`` is true (to probe them). A session that is due goes before its charge.
    A lease must be longer than an attempt can take: when it runs out, the delivery is due again.
    """
    urls = database.destinations if destinations is None else destinations
    # Without a lock, so that idle workers do not delay commits.
    if next_due(database, urls, paused=paused) != 0:
        return []

    def work(connection: Connection) -> list[Claimed]:
        claimed: list[Claimed] = []
        for url in _claimable(connection, urls, paused=paused):
            now = database.now()
            leased = _lease(connection, url, limit, lease_seconds, now)
            found = with_payloads(connection, leased)
            if len(found) == limit:
                found = _with_sessions_first(connection, url, found, lease_seconds, now)
            claimed += found
        crash_points.reach(LEASED)
        return claimed

    claimed = database.run(work)
    crash_points.reach(CLAIMED)
    return claimed


def _claimable(connection: Connection, urls: Sequence[str], *, paused: bool) -> Sequence[str]:
    """Return those of the destinations that may be claimed from; one without a row is active."""
    if paused:
        return urls
    statement = select(destinations.c.url).where(
        destinations.c.url.in_(urls), destinations.c.state == PAUSED
    )
    resting = set(connection.execute(statement).scalars())
    return [url for url in urls if url not in resting]


def _with_sessions_first(
    connection: Connection,
    url: str,
    claimed: Sequence[Claimed],
    lease_seconds: float,
    now: ColumnElement[float],
) -> Sequence[Claimed]:
    """Lease the sessions of a full batch's charges with them, in place of what is at its end."""
    waiting = _due_sessions(connection, url, claimed, now)
    if not waiting:
        return claimed
    room, chosen, back = len(claimed), [], set()
    for each in claimed:
        keys = () if each.is_session else each.sale_keys
        first = [number for key in keys for number in waiting.pop(key, ())][:room]
        chosen += first
        room -= len(first)
        if room:
            room -= 1
        else:
            back.add(each.delivery_id)
    untried = (deliveries.c.tries == 0) & (deliveries.c.accepted_at < now)
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(back))
        .values(due_at=case((untried, deliveries.c.accepted_at), else_=now), claimed_at=None)
    )
    of = select(deliveries.c.id).where(deliveries.c.id.in_(chosen))
    found = with_payloads(connection, _take(connection, of, lease_seconds, now))
    return [*found, *(each for each in claimed if each.delivery_id not in back)]


def _due_sessions(
    connection: Connection, url: str, claimed: Sequence[Claimed], now: ColumnElement[float]
) -> dict[str, list[int]]:
    """Lock the due sessions of charges that are claimed without them; return their ids by key."""
    there = {key for each in claimed if each.is_session for key in each.sale_keys}
    charges = {
        key
        for each in claimed
        if not (each.is_session or there.intersection(each.sale_keys))
        for key in each.sale_keys
    }
    of_key = func.coalesce(events.c.payment_intent, events.c.customer)
    statement = select(events.c.id, of_key.label("key")).where(
        events.c.payment_intent.in_(charges)
        | (events.c.payment_intent.is_(None) & events.c.customer.in_(charges)),
        events.c.type.startswith(SESSION_EVENTS),
    )
    sessions = {row.id: row.key for row in connection.execute(statement)} if charges else {}
    waiting: dict[str, list[int]] = {}
    # By their events, not by the index of all that is pending: a bound state hides that one.
    due = (
        select(deliveries.c.id, deliveries.c.event_id)
        .where(
            deliveries.c.event_id.in_(sessions),
            deliveries.c.destination == url,
            deliveries.c.state == PENDING,
            deliveries.c.due_at <= now,
        )
        .order_by(deliveries.c.id)
        .with_for_update(skip_locked=True)
    )
    for row in connection.execute(due) if sessions else ():
        waiting.setdefault(sessions[row.event_id], []).append(row.id)
    return waiting


def _lease(
    connection: Connection, url: str, limit: int, lease_seconds: float, now: ColumnElement[float]
) -> Sequence[Any]:
    due = (
        select(deliveries.c.id)
        .where(deliveries.c.destination == url, is_pending, deliveries.c.due_at <= now)
        .order_by(deliveries.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return _take(connection, due, lease_seconds, now)


def _take(
    connection: Connection, of: Select[Any], lease_seconds: float, now: ColumnElement[float]
) -> Sequence[Any]:
    # As a CTE: PostgreSQL may run a plain sub-select again for each row, and lock other rows.
    due = of.cte("due")
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


def settle(database: Database, results: Sequence[DeliveryResult]) -> list[bool]:
    """Record how attempts ended, all in one durable transaction.

    Return, in order, whether each lease was still held. One that was lost changes nothing, though
    its attempt is recorded, without the answer: its event may have been erased meanwhile.
    """
    if not results:
        return []

    def work(connection: Connection) -> list[bool]:
        now = database.now()
        current = _lock(connection, {result.claimed.delivery_id for result in results})
        held = [
            current.get(result.claimed.delivery_id) == (PENDING, result.claimed.token)
            for result in results
        ]
        valid = [result for result, is_held in zip(results, held, strict=True) if is_held]
        _update(connection, valid, now)
        _record_attempts(connection, results, held, now)
        counts = Counter(
            (_TALLY[result.kind], result.claimed.destination)
            for result in valid
            if result.kind in _TALLY
        )
        write_tallies(
            connection, counts, owner=database.identity, now=database.read_clock(connection)
        )
        crash_points.reach(SETTLING)
        return held

    held = database.run(work)
    crash_points.reach(SETTLED)
    return held


_TALLY = {"delivered": "delivered", "rejected": "rejected", "retry": "retried", "dead": "dead"}


def _lock(connection: Connection, ids: Iterable[int]) -> dict[int, tuple[str, int]]:
    """Lock the rows, in one order for all workers; return their state and token."""
    statement = (
        select(deliveries.c.id, deliveries.c.state, deliveries.c.token)
        .where(deliveries.c.id.in_(sorted(ids)))
        .order_by(deliveries.c.id)
        .with_for_update()
    )
    return {row.id: (row.state, row.token) for row in connection.execute(statement)}


def _update(
    connection: Connection, results: Sequence[DeliveryResult], now: ColumnElement[float]
) -> None:
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        rows = by_kind.setdefault(result.kind, [])
        rows.append(
            {"this": result.claimed.delivery_id, "fence": result.claimed.token, **_bound(result)}
        )
    for kind, rows in by_kind.items():
        statement = (
            update(deliveries)
            .where(deliveries.c.id == bindparam("this"), deliveries.c.token == bindparam("fence"))
            .values(**_columns(kind, now))
        )
        connection.execute(statement, rows)


def _bound(result: DeliveryResult) -> dict[str, Any]:
    """Return the parameters that the columns of the result's kind use."""
    if result.kind == "release":
        return {}
    bound = {"status": result.status, "error": result.error}
    if result.kind == "retry":
        return {**bound, "wait": result.delay, "counted": int(result.counted)}
    return bound


def _columns(kind: str, now: ColumnElement[float]) -> dict[str, Any]:
    """Return what one kind of result sets."""
    if kind == "release":
        return {"due_at": now, "claimed_at": None, "token": deliveries.c.token + 1}
    columns: dict[str, Any] = {
        "claimed_at": None,
        "tries": deliveries.c.tries + 1,
        "last_status": bindparam("status"),
        "last_error": bindparam("error"),
    }
    if kind == "retry":
        columns["due_at"] = now + bindparam("wait")
        columns["attempts"] = deliveries.c.attempts + bindparam("counted")
        return columns
    columns["state"] = {"delivered": DELIVERED, "rejected": REJECTED, "dead": DEAD}[kind]
    columns["settled_at"] = now
    columns["attempts"] = deliveries.c.attempts + 1
    return columns


def _record_attempts(
    connection: Connection,
    results: Sequence[DeliveryResult],
    held: Sequence[bool],
    now: ColumnElement[float],
) -> None:
    rows = [
        {
            "delivery_id": result.claimed.delivery_id,
            "status": result.status,
            "error": result.error,
            "took_ms": result.took_ms,
            "answer": result.answer if is_held else None,
        }
        for result, is_held in zip(results, held, strict=True)
        if result.kind != "release"
    ]
    if rows:
        connection.execute(insert(attempts).values(at=now), rows)


def next_due(
    database: Database, destinations: Sequence[str] | None = None, *, paused: bool = False
) -> float | None:
    """Return the seconds until a delivery is due (0 when one is), None when nothing is pending.

    Leased deliveries count with the end of their lease; paused destinations do not count unless
    ``paused`` is true.
    """
    urls = database.destinations if destinations is None else destinations
    with database.read() as connection:
        waits = []
        for url in _claimable(connection, urls, paused=paused):
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
