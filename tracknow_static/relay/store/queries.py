"""Reading the store: the summary, lists of events, one event."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, tuple_

from tracknow_static.relay.store import backfill_state, migrations, watch
from tracknow_static.relay.store.filters import restrict
from tracknow_static.relay.store.model import (
    Attempt,
    Delivery,
    EventPage,
    Filter,
    Status,
    StoredEvent,
)
from tracknow_static.relay.store.schema import (
    attempts,
    customer_references,
    deliveries,
    events,
    is_waiting,
    parts,
    tallies,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Select

    from tracknow_static.relay.store.database import Database

# Fields of `StoredEvent` and of `Delivery` that are columns.
_COLUMNS = [events.c[each.name] for each in fields(StoredEvent) if each.name in events.c]
_COLUMNS.remove(events.c.payload)
_OF_DELIVERIES = [each.name for each in fields(Delivery) if each.name in deliveries.c]

# How a cursor of a list with the newest first begins.
_NEWEST = "newest "


# -- the summary ----------------------------------------------------------------------------------


def status(database: Database) -> Status:
    """Summarise the store; reads what is pending, rejected or dead, never what is accepted."""
    with database.read() as connection:
        now = database.read_clock(connection)
        counts = _tallies(connection)
        urls = {*database.destinations, *(url for _, url in counts if url)}
        found = watch.read_destinations(connection, urls, now=now)
        newest = connection.execute(select(func.max(events.c.received_at))).scalar()
        version = migrations.version(connection)
        held = connection.execute(
            select(func.count()).select_from(events).where(is_waiting)
        ).scalar_one()
        backfill = backfill_state.load(connection)
    of_each = tuple(
        replace(entry, delivered=counts.get(("delivered", entry.destination), 0)) for entry in found
    )
    return Status(now, version, of_each, counts, newest, backfill, held)


def _tallies(connection: Connection) -> dict[tuple[str, str], int]:
    statement = select(
        tallies.c.name, tallies.c.destination, func.sum(tallies.c.value).label("total")
    ).group_by(tallies.c.name, tallies.c.destination)
    return {(row.name, row.destination): int(row.total) for row in connection.execute(statement)}


# -- lists and one event --------------------------------------------------------------------------


def find(
    database: Database,
    wanted: Filter,
    *,
    limit: int = 50,
    cursor: str | None = None,
    newest: bool = False,
) -> EventPage:
    """Find events, oldest or ``newest`` first, without payloads.

    Raises ``ValueError`` for a cursor that no page of the same order gave.
    """
    # One more than asked for shows whether more follow.
    statement = listing(wanted, limit + 1, cursor, newest=newest)
    with database.read() as connection:
        rows = connection.execute(statement).all()
        more, rows = len(rows) > limit, rows[:limit]
        by_event = _deliveries(connection, [row.id for row in rows])
        twins = _twins(connection, rows)
    found = tuple(_event(row, by_event, twins) for row in rows)
    return EventPage(found, _cursor(rows[-1], newest=newest) if more else None)


def listing(wanted: Filter, limit: int, cursor: str | None, *, newest: bool) -> Select[Any]:
    """Return the statement that reads one page.

    Raises ``ValueError`` for a cursor that no page of this order gave.
    """
    statement = restrict(_columns(), wanted)
    place = tuple_(events.c.received_at, events.c.id)
    if cursor is not None:
        after = _parse(cursor, newest=newest)
        statement = statement.where(place < after if newest else place > after)
    # Both columns in one direction: the index is read forwards or backwards, and nothing is sorted.
    order = [
        column.desc() if newest else column.asc() for column in (events.c.received_at, events.c.id)
    ]
    return statement.order_by(*order).limit(limit)


def event(database: Database, event_id: str) -> StoredEvent | None:
    """Return one event with its payload and all attempts, or None."""
    statement = _columns().add_columns(events.c.payload).where(events.c.id == event_id)
    with database.read() as connection:
        row = connection.execute(statement).first()
        if row is None:
            return None
        by_event = _deliveries(connection, [event_id], history=True)
        twins = _twins(connection, [row])
    return _event(row, by_event, twins)


def unknown(database: Database, ids: Sequence[str]) -> list[str]:
    """Return those of the ids that no stored event has."""
    known: set[str] = set()
    with database.read() as connection:
        for part in parts(ids):
            statement = select(events.c.id).where(events.c.id.in_(part))
            known.update(connection.execute(statement).scalars())
    return [event_id for event_id in dict.fromkeys(ids) if event_id not in known]


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
    found = func.coalesce(events.c.reference, by_intent, by_customer)
    return select(*_COLUMNS, found.label("reference_found"))


def _cursor(last: Any, *, newest: bool) -> str:
    """Name the end of a page; the order is part of it, as going on in the other one goes back."""
    return f"{_NEWEST if newest else ''}{last.received_at!r} {last.id}"


def _parse(cursor: str, *, newest: bool) -> Any:
    of_newest = cursor.startswith(_NEWEST)
    at, _, event_id = cursor.removeprefix(_NEWEST).partition(" ")
    try:
        place = tuple_(float(at), event_id)
    except ValueError:
        raise ValueError(f"cursor: {cursor!r} is not one that a page gave.") from None
    if of_newest != newest:
        order = "newest" if of_newest else "oldest"
        raise ValueError(f"cursor: {cursor!r} is of a list with the {order} first.")
    return place


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
    by_event: dict[str, list[Delivery]] = {}
    for row in rows:
        values = {name: getattr(row, name) for name in _OF_DELIVERIES}
        delivery = Delivery(**values, history=tuple(tries.get(row.id, ())))
        by_event.setdefault(row.event_id, []).append(delivery)
    return by_event


def _attempts(connection: Connection, ids: Sequence[int]) -> dict[int, list[Attempt]]:
    statement = select(attempts).where(attempts.c.delivery_id.in_(ids)).order_by(attempts.c.id)
    tries: dict[int, list[Attempt]] = {}
    for row in connection.execute(statement):
        tries.setdefault(row.delivery_id, []).append(
            Attempt(row.at, row.status, row.error, row.took_ms, row.answer)
        )
    return tries


def _twins(connection: Connection, rows: Sequence[Any]) -> dict[str, str]:
    """Return, for those of the events that have an earlier twin, the id of the first one.

    Twins share object and type. A query of its own: as part of the first one, SQLite would look
    for them through all events of the type.
    """
    paid = {row.payment_intent for row in rows if row.object_id and row.payment_intent}
    unpaid = {row.object_id for row in rows if row.object_id and not row.payment_intent}
    first: dict[tuple[str, str], tuple[float, str]] = {}
    for condition in (
        events.c.payment_intent.in_(paid),
        events.c.payment_intent.is_(None) & events.c.object_id.in_(unpaid),
    ):
        statement = select(
            events.c.id, events.c.object_id, events.c.type, events.c.received_at
        ).where(condition, events.c.object_id.is_not(None))
        for row in connection.execute(statement):
            key, this = (row.object_id, row.type), (row.received_at, row.id)
            first[key] = min(first.get(key, this), this)
    found = {row.id: first.get((row.object_id, row.type)) for row in rows}
    return {name: twin[1] for name, twin in found.items() if twin is not None and twin[1] != name}


def _event(
    row: Any, deliveries_of: Mapping[str, Sequence[Delivery]], twins: Mapping[str, str]
) -> StoredEvent:
    own = tuple(deliveries_of.get(row.id, ()))
    return StoredEvent(**row._mapping, twin_of=twins.get(row.id), deliveries=own)  # noqa: SLF001
