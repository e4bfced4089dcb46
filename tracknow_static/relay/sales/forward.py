"""What goes to the destinations with ``TRACKNOW_RELAY_FORWARD=attributed``.

A Checkout Session carries its click id, so it is forwarded or not when it is received. Everything
else is stored and waits for its session:

- as soon as the ledger has joined it with a session that carries a click id, it is forwarded;
- after ``TRACKNOW_RELAY_FORWARD_WAIT`` it is forwarded if it renews such a session, since a renewal
  brings no session of its own; otherwise it is kept, because its sale is unattributed;
- a session that comes later still has its charge forwarded.

What follows a session that was not forwarded itself is not forwarded either, whatever the rule for
click ids is by then. All of it happens after the commit, outside of any request.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select, update

from tracknow_static.relay import crash_points
from tracknow_static.relay.store import ledger_state as states
from tracknow_static.relay.store.events import add_delivery, write_tallies
from tracknow_static.relay.store.model import UNATTRIBUTED, WAITING
from tracknow_static.relay.store.schema import (
    customer_references,
    events,
    is_unforwarded,
    is_waiting,
    notify,
    parts,
    sale_objects,
    sales,
)
from tracknow_static.tracknow import is_click_id

if TYPE_CHECKING:
    import re
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection

    from tracknow_static.relay.sales.objects import Object
    from tracknow_static.relay.store.database import Database

DECIDED = crash_points.declare(
    "forward.decided", "what waited is forwarded or kept, nothing is committed"
)

# Events in one transaction: short enough that commits of new events hardly wait.
_CHUNK = 200
_COLUMNS = (
    events.c.id,
    events.c.object_id,
    events.c.payment_intent,
    events.c.customer,
    events.c.skipped_because,
)
_IS_SESSION = events.c.type.startswith("checkout.session.")


class _Session(NamedTuple):
    """The session that an event belongs to; ``renewed`` if it only goes back to it."""

    id: str
    renewed: bool


def follow(
    connection: Connection,
    database: Database,
    objects: Collection[Object],
    click_id: re.Pattern[str] | None,
) -> None:
    """Forward what waits for a session among the ledger's objects, in the caller's transaction."""
    if connection.execute(select(events.c.id).where(is_unforwarded).limit(1)).first() is None:
        return
    rows = _unforwarded(connection, objects)
    sessions = _attributed(connection, rows, click_id)
    ready = [
        row.id
        for row in rows
        # Its own session may be on its way, and need not carry a click id.
        if row.id in sessions and not (row.skipped_because == WAITING and sessions[row.id].renewed)
    ]
    _forward(connection, database, ready)


def decide(database: Database, *, wait: float) -> int:
    """Decide about events that have waited for ``wait`` seconds; return how many.

    What the ledger has not read yet may be their session, so they wait for it, too. Raises
    ``StorageError``.
    """
    with database.read() as connection:
        state = states.load(connection)
        if state is None:
            return 0
        # The ledger stays a moment behind where a whole batch had one time.
        read = math.nextafter(state.at, math.inf)
        newer = select(events.c.id).where(events.c.received_at > read).limit(1)
        behind = connection.execute(newer).first() is not None
        before = (state.at if behind else database.read_clock(connection)) - wait
        rows = connection.execute(
            select(*_COLUMNS)
            .where(is_waiting, events.c.received_at <= before)
            .order_by(events.c.received_at)
            .limit(_CHUNK)
        ).all()
        if not rows:
            return 0
        click_id = state.click_id
        ready = set(_attributed(connection, rows, click_id))
        ready |= _of_customers(connection, [row for row in rows if row.id not in ready], click_id)

    def work(connection: Connection) -> None:
        _forward(connection, database, sorted(ready))
        # Also what cannot be forwarded any more, since its payload was erased.
        kept = 0
        for part in parts([row.id for row in rows]):
            rest = update(events).where(events.c.id.in_(part), is_waiting)
            kept += connection.execute(rest.values(skipped_because=UNATTRIBUTED)).rowcount
        counts = {(f"kept:{UNATTRIBUTED}", ""): kept} if kept else {}
        now = database.read_clock(connection)
        write_tallies(connection, counts, owner=database.identity, now=now)
        crash_points.reach(DECIDED)

    database.run(work)
    return len(rows)


def _unforwarded(connection: Connection, objects: Collection[Object]) -> list[Any]:
    """Return the events that are not forwarded and belong to some objects; no sessions."""
    found: list[Any] = []
    # Both halves are found by an index: the one by object leaves out what has a payment intent.
    for column, values in (
        (events.c.payment_intent, {one.payment_intent for one in objects if one.payment_intent}),
        (events.c.object_id, {one.id for one in objects}),
    ):
        for part in parts(sorted(values)):
            statement = select(*_COLUMNS).where(column.in_(part), is_unforwarded, ~_IS_SESSION)
            if column is events.c.object_id:
                statement = statement.where(events.c.payment_intent.is_(None))
            found.extend(connection.execute(statement))
    return found


def _attributed(
    connection: Connection, rows: Sequence[Any], click_id: re.Pattern[str] | None
) -> dict[str, _Session]:
    """Return, for those of the events whose sale carries a click id, the session that it is of."""
    by_object = _sales(connection, sale_objects.c.id, {row.object_id for row in rows})
    by_intent = _sales(
        connection,
        sale_objects.c.payment_intent,
        {row.payment_intent for row in rows if row.object_id not in by_object},
    )
    sale_of = {
        row.id: by_object.get(row.object_id, by_intent.get(row.payment_intent)) for row in rows
    }
    known: dict[str, _Session] = {}
    for part in parts(sorted({sale for sale in sale_of.values() if sale})):
        statement = select(sales.c.id, sales.c.reference, sales.c.renews)
        for sale in connection.execute(statement.where(sales.c.id.in_(part))):
            if is_click_id(sale.reference, click_id):
                known[sale.id] = _Session(sale.renews or sale.id, sale.renews is not None)
    kept = _kept_sessions(connection, {session.id for session in known.values()})
    return {
        event_id: known[sale]
        for event_id, sale in sale_of.items()
        if sale in known and known[sale].id not in kept
    }


def _sales(
    connection: Connection, column: ColumnElement[Any], values: Iterable[str | None]
) -> dict[str, str]:
    """Return the sales of objects, by what is in the column."""
    found: dict[str, str] = {}
    for part in parts(sorted({value for value in values if value})):
        statement = (
            select(column, sale_objects.c.sale)
            .where(column.in_(part), sale_objects.c.sale.is_not(None))
            .order_by(sale_objects.c.sale)
        )
        found.update((value, sale) for value, sale in connection.execute(statement))
    return found


def _kept_sessions(connection: Connection, ids: Collection[str]) -> set[str]:
    """Return those of the sessions that were not forwarded for want of a click id."""
    found: set[str] = set()
    for part in parts(sorted(ids)):
        intents = select(sale_objects.c.payment_intent).where(
            sale_objects.c.id.in_(part), sale_objects.c.payment_intent.is_not(None)
        )
        for condition in (
            events.c.payment_intent.in_(connection.execute(intents).scalars().all()),
            events.c.payment_intent.is_(None),
        ):
            statement = select(events.c.object_id).where(
                condition,
                events.c.object_id.in_(part),
                events.c.skipped_because == UNATTRIBUTED,
            )
            found.update(connection.execute(statement).scalars())
    return found


def _of_customers(
    connection: Connection, rows: Sequence[Any], click_id: re.Pattern[str] | None
) -> set[str]:
    """Return those of the events that are about a customer with a click id, and no sale.

    Such types are forwarded only where ``TRACKNOW_RELAY_EVENTS`` names them.
    """
    sold = _sales(connection, sale_objects.c.id, {row.object_id for row in rows})
    others = [row for row in rows if row.customer and row.object_id not in sold]
    references: dict[str, str] = {}
    for part in parts(sorted({row.customer for row in others})):
        statement = select(customer_references.c.customer, customer_references.c.reference)
        found = connection.execute(statement.where(customer_references.c.customer.in_(part)))
        references.update((row.customer, row.reference) for row in found)
    return {row.id for row in others if is_click_id(references.get(row.customer), click_id)}


def _forward(connection: Connection, database: Database, ids: Sequence[str]) -> None:
    """Make deliveries of events whose payloads are there, and have the ledger read them again."""
    if not ids:
        return
    now = database.read_clock(connection)
    for part in parts(ids):
        statement = (
            select(events.c.id, events.c.source)
            .where(events.c.id.in_(part), is_unforwarded, events.c.payload.is_not(None))
            .order_by(events.c.id)
        )
        rows = connection.execute(statement.with_for_update()).all()
        found = [row.id for row in rows]
        connection.execute(
            update(events).where(events.c.id.in_(found)).values(skipped_because=None)
        )
        for row in rows:
            for url in database.destinations_of(row.source):
                add_delivery(connection, row.id, url, now)
        states.read_again(connection, found)
    notify(connection)
