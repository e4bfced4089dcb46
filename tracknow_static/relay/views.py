"""Looking at the outbox: the summary, lists of events, one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, literal_column, select, tuple_, union

from tracknow_static.relay import migrations
from tracknow_static.relay.claims import is_pending
from tracknow_static.relay.records import (
    Attempt,
    Delivery,
    DestinationStatus,
    Filter,
    Page,
    Status,
    StoredEvent,
)
from tracknow_static.relay.schema import (
    attempts,
    customer_references,
    deliveries,
    destinations,
    events,
    tallies,
)
from tracknow_static.relay.switches import breaker_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Select

    from tracknow_static.relay.database import Database

STATES = ("pending", "retrying", "delivered", "dead", "kept")

# Literals, so that the planner sees that the partial index applies.
_STATES = {
    "pending": is_pending,
    "retrying": literal_column("state = 'pending' AND attempts > 0"),
    "delivered": literal_column("state = 'delivered'"),
    "dead": literal_column("state = 'dead'"),
}


def status(database: Database) -> Status:
    """Summarise the outbox; reads what is pending or dead and never what is delivered."""
    with database.read() as connection:
        now = float(connection.execute(select(database.now())).scalar_one())
        counts = _tallies(connection)
        waiting = _waiting(connection, now)
        dead = _dead(connection)
        rows = connection.execute(select(destinations).order_by(destinations.c.url)).all()
        newest = connection.execute(select(func.max(events.c.received_at))).scalar()
        version = migrations.version(connection)
    found = tuple(
        DestinationStatus(
            destination=row.url,
            state=row.state,
            paused_because=row.paused_because,
            paused_at=row.paused_at,
            pending=waiting[row.url].pending if row.url in waiting else 0,
            retrying=waiting[row.url].retrying if row.url in waiting else 0,
            in_flight=waiting[row.url].in_flight if row.url in waiting else 0,
            dead=dead.get(row.url, 0),
            delivered=counts.get(("delivered", row.url), 0),
            oldest_pending_age=(
                max(0.0, now - waiting[row.url].oldest) if row.url in waiting else None
            ),
            breaker=breaker_of(row, now),
        )
        for row in rows
    )
    return Status(now, version, found, counts, newest)


def _tallies(connection: Connection) -> dict[tuple[str, str], int]:
    statement = select(
        tallies.c.name, tallies.c.destination, func.sum(tallies.c.value).label("total")
    ).group_by(tallies.c.name, tallies.c.destination)
    return {(one.name, one.destination): int(one.total) for one in connection.execute(statement)}


def _waiting(connection: Connection, now: float) -> dict[str, Any]:
    leased = deliveries.c.claimed_at.is_not(None) & (deliveries.c.due_at > now)
    statement = (
        select(
            deliveries.c.destination,
            func.count().label("pending"),
            func.sum(case((deliveries.c.attempts > 0, 1), else_=0)).label("retrying"),
            func.sum(case((leased, 1), else_=0)).label("in_flight"),
            func.min(deliveries.c.accepted_at).label("oldest"),
        )
        .where(is_pending)
        .group_by(deliveries.c.destination)
    )
    return {one.destination: one for one in connection.execute(statement)}


def _dead(connection: Connection) -> dict[str, int]:
    statement = (
        select(deliveries.c.destination, func.count().label("number"))
        .where(_STATES["dead"])
        .group_by(deliveries.c.destination)
    )
    return {one.destination: one.number for one in connection.execute(statement)}


def find(database: Database, wanted: Filter, limit: int, cursor: str | None) -> Page:
    """Find events, oldest first; one more than asked for is read to know whether more follow."""
    statement = restrict(_columns(), wanted)
    if cursor is not None:
        statement = statement.where(tuple_(events.c.received_at, events.c.id) > _parse(cursor))
    statement = statement.order_by(events.c.received_at, events.c.id).limit(limit + 1)
    with database.read() as connection:
        rows = connection.execute(statement).all()
        more, rows = len(rows) > limit, rows[:limit]
        ways = _deliveries(connection, [row.id for row in rows])
        twins = _twins(connection, rows)
    found = tuple(_event(row, ways.get(row.id, ()), twins.get(row.id)) for row in rows)
    return Page(found, f"{rows[-1].received_at!r} {rows[-1].id}" if more else None)


def event(database: Database, event_id: str) -> StoredEvent | None:
    """Give one event with its payload and the history of its deliveries."""
    statement = _columns().add_columns(events.c.payload).where(events.c.id == event_id)
    with database.read() as connection:
        row = connection.execute(statement).first()
        if row is None:
            return None
        ways = _deliveries(connection, [event_id], history=True)
        twins = _twins(connection, [row])
    return _event(row, ways.get(event_id, ()), twins.get(event_id), payload=row.payload)


def restrict(statement: Select[Any], wanted: Filter) -> Select[Any]:
    """Add a filter's conditions to a statement over ``events``.

    Raises ``ValueError`` for a state that does not exist.
    """
    conditions: list[ColumnElement[bool]] = []
    if wanted.ids:
        conditions.append(events.c.id.in_(wanted.ids))
    if wanted.types:
        conditions.append(events.c.type.in_(wanted.types))
    if wanted.since is not None:
        conditions.append(events.c.received_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(events.c.received_at < wanted.until)
    if wanted.kept_because is not None:
        conditions.append(events.c.kept_because == wanted.kept_because)
    if wanted.state == "kept" or wanted.kept_because is not None:
        conditions.append(events.c.kept_because.is_not(None))
    elif wanted.state is not None or wanted.destination is not None:
        conditions.append(_has_delivery(wanted))
    if wanted.reference is not None:
        conditions.append(_belongs_to(wanted.reference))
    return statement.where(*conditions)


def _has_delivery(wanted: Filter) -> ColumnElement[bool]:
    ways = select(deliveries.c.event_id)
    if wanted.destination is not None:
        ways = ways.where(deliveries.c.destination == wanted.destination)
    if wanted.state is not None and wanted.state not in _STATES:
        raise ValueError(f"state: {wanted.state!r} is not accepted. Accepted: {', '.join(STATES)}.")
    if wanted.state is not None:
        ways = ways.where(_STATES[wanted.state])
    if wanted.state in ("pending", "retrying", "dead"):
        # Few, in an index of their own: start from them.
        return events.c.id.in_(ways)
    # Nearly all: start from the events, in order, and stop when there are enough.
    return ways.where(deliveries.c.event_id == events.c.id).correlate(events).exists()


def _belongs_to(reference: str) -> ColumnElement[bool]:
    own = select(events.c.id).where(events.c.reference == reference)
    intents = select(events.c.payment_intent).where(
        events.c.reference == reference, events.c.payment_intent.is_not(None)
    )
    customers = select(customer_references.c.customer).where(
        customer_references.c.reference == reference
    )
    paid = select(events.c.id).where(events.c.payment_intent.in_(intents))
    renewed = select(events.c.id).where(events.c.customer.in_(customers))
    return events.c.id.in_(union(own, paid, renewed))


def _columns() -> Select[Any]:
    session = events.alias("session")
    by_intent = (
        select(session.c.reference)
        .where(
            session.c.payment_intent == events.c.payment_intent, session.c.reference.is_not(None)
        )
        .limit(1)
        .correlate(events)
        .scalar_subquery()
    )
    by_customer = (
        select(customer_references.c.reference)
        .where(customer_references.c.customer == events.c.customer)
        .correlate(events)
        .scalar_subquery()
    )
    return select(
        events.c.id,
        events.c.type,
        events.c.object_id,
        events.c.reference,
        events.c.payment_intent,
        events.c.customer,
        events.c.livemode,
        events.c.account,
        events.c.created,
        events.c.received_at,
        events.c.purged_at,
        events.c.kept_because,
        func.coalesce(events.c.reference, by_intent, by_customer).label("reference_found"),
    )


def _parse(cursor: str) -> Any:
    at, _, event_id = cursor.partition(" ")
    try:
        return tuple_(float(at), event_id)
    except ValueError:
        raise ValueError(f"cursor: {cursor!r} is not one that a page gave.") from None


def _deliveries(
    connection: Connection, ids: Sequence[str], *, history: bool = False
) -> dict[str, list[Delivery]]:
    statement = (
        select(deliveries)
        .where(deliveries.c.event_id.in_(ids))
        .order_by(deliveries.c.event_id, deliveries.c.id)
    )
    rows = connection.execute(statement).all()
    tries = _attempts(connection, [row.id for row in rows]) if history else {}
    ways: dict[str, list[Delivery]] = {}
    for row in rows:
        ways.setdefault(row.event_id, []).append(
            Delivery(
                id=row.id,
                destination=row.destination,
                state=row.state,
                due_at=row.due_at,
                claimed_at=row.claimed_at,
                attempts=row.attempts,
                tries=row.tries,
                last_status=row.last_status,
                last_error=row.last_error,
                settled_at=row.settled_at,
                history=tuple(tries.get(row.id, ())),
            )
        )
    return ways


def _attempts(connection: Connection, ids: Sequence[int]) -> dict[int, list[Attempt]]:
    statement = select(attempts).where(attempts.c.delivery_id.in_(ids)).order_by(attempts.c.id)
    tries: dict[int, list[Attempt]] = {}
    for row in connection.execute(statement):
        tries.setdefault(row.delivery_id, []).append(
            Attempt(row.at, row.status, row.error, row.took_ms)
        )
    return tries


def _twins(connection: Connection, rows: Sequence[Any]) -> dict[str, str]:
    """Give, for those of the events that have an earlier twin, the id of the first one.

    Twins share object and type. A query of its own: as part of the first one, SQLite would look
    for them through all events of the type.
    """
    subjects = {row.object_id for row in rows if row.object_id is not None}
    statement = select(events.c.id, events.c.object_id, events.c.type, events.c.received_at).where(
        events.c.object_id.in_(subjects)
    )
    first: dict[tuple[str, str], tuple[float, str]] = {}
    for row in connection.execute(statement):
        key, this = (row.object_id, row.type), (row.received_at, row.id)
        first[key] = min(first.get(key, this), this)
    found = {row.id: first.get((row.object_id, row.type)) for row in rows}
    return {name: one[1] for name, one in found.items() if one is not None and one[1] != name}


def _event(
    row: Any, ways: Sequence[Delivery], twin_of: str | None, *, payload: bytes | None = None
) -> StoredEvent:
    return StoredEvent(
        id=row.id,
        type=row.type,
        object_id=row.object_id,
        reference=row.reference,
        payment_intent=row.payment_intent,
        customer=row.customer,
        livemode=row.livemode,
        account=row.account,
        created=row.created,
        received_at=row.received_at,
        purged_at=row.purged_at,
        kept_because=row.kept_because,
        twin_of=twin_of,
        reference_found=row.reference_found,
        deliveries=tuple(ways),
        payload=None if payload is None else bytes(payload),
    )
