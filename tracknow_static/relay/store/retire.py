"""Retiring a destination: what it did not accept is moved to another one, or given up."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import delete, false, func, literal_column, select, text, update

from tracknow_static.relay.store.model import PENDING, Retired
from tracknow_static.relay.store.schema import CHANNEL, attempts, deliveries, events, is_pending

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import ColumnElement, Connection

    from tracknow_static.relay.store.database import Database

# Deliveries in one transaction: short enough that commits of new events hardly wait.
_CHUNK = 200

# A literal, so that the planner sees that the partial index applies.
_IS_DEAD: ColumnElement[bool] = literal_column("state = 'dead'")


def retire(
    database: Database,
    url: str,
    *,
    to: str | None = None,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Retired:
    """Move what ``url`` did not accept to the destination ``to``; without it, give it up.

    Dead letters are included. Moved deliveries are due at once, with a fresh schedule of retries.
    Those are given up whose payload was purged, and those whose event has a delivery to ``to``
    already. What is leased is left alone. ``progress`` is called with the number done.
    """
    moved = given_up = 0
    for state in (is_pending, _IS_DEAD):
        if dry_run:
            with database.read() as connection:
                free = _free(database, url, state)
                movable = _count(connection, *free, *_movable(to))
                given_up += _count(connection, *free) - movable
            moved += movable
            continue
        while chunk := database.run(partial(_retire_chunk, database, url, state, to)):
            moved += sum(chunk.values())
            given_up += len(chunk) - sum(chunk.values())
            if progress is not None:
                progress(moved + given_up)
    with database.read() as connection:
        leased = _is_leased(database.now())
        in_flight = _count(connection, deliveries.c.destination == url, is_pending, leased)
    return Retired(moved, given_up, in_flight)


def _is_leased(now: ColumnElement[float]) -> ColumnElement[bool]:
    return deliveries.c.claimed_at.is_not(None) & (deliveries.c.due_at > now)


def _free(
    database: Database, url: str, state: ColumnElement[bool]
) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a destination's deliveries in a state that nobody has leased."""
    return deliveries.c.destination == url, state, ~_is_leased(database.now())


def _movable(to: str | None) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of deliveries that ``to`` can get."""
    if to is None:
        return (false(),)
    there = deliveries.alias("there")
    has_payload = (
        select(events.c.id)
        .where(events.c.id == deliveries.c.event_id, events.c.payload.is_not(None))
        .correlate(deliveries)
        .exists()
    )
    is_there = (
        select(there.c.id)
        .where(there.c.event_id == deliveries.c.event_id, there.c.destination == to)
        .correlate(deliveries)
        .exists()
    )
    return has_payload, ~is_there


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    statement = select(func.count()).select_from(deliveries).where(*conditions)
    return int(connection.execute(statement).scalar_one())


def _retire_chunk(
    database: Database,
    url: str,
    state: ColumnElement[bool],
    to: str | None,
    connection: Connection,
) -> dict[int, bool]:
    """Retire some deliveries; return for each of their ids whether it was moved."""
    now = database.now()
    statement = select(deliveries.c.id).where(*_free(database, url, state)).limit(_CHUNK)
    ids = connection.execute(statement.with_for_update(skip_locked=True)).scalars().all()
    chosen = select(deliveries.c.id).where(deliveries.c.id.in_(ids), *_movable(to))
    movable = set(connection.execute(chosen).scalars())
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(movable))
        .values(
            destination=to or url,
            state=PENDING,
            due_at=now,
            claimed_at=None,
            token=deliveries.c.token + 1,
            attempts=0,
            tries=0,
            last_status=None,
            last_error=None,
            accepted_at=now,
            settled_at=None,
        )
    )
    rest = set(ids) - movable
    connection.execute(delete(attempts).where(attempts.c.delivery_id.in_(rest)))
    connection.execute(delete(deliveries).where(deliveries.c.id.in_(rest)))
    if database.backend == "postgresql":
        connection.execute(text(f"NOTIFY {CHANNEL}"))
    return {delivery_id: delivery_id in movable for delivery_id in ids}
