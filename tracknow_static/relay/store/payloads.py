"""Reading the events of deliveries that were leased; one that cannot be read fails no other."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from tracknow_static.relay.store.model import Claimed
from tracknow_static.relay.store.schema import events

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection


# Fields of `Claimed` that are columns of the delivery, and of an event that can be read.
_OF_DELIVERY = ("token", "event_id", "destination", "attempts", "tries", "accepted_at")
_OF_EVENT = ("type", "payload", "content_type", "signature", "source", "payment_intent", "customer")


def with_payloads(connection: Connection, leased: Sequence[Any]) -> Sequence[Claimed]:
    """Return the leased deliveries with their events, the oldest event first.

    An event that cannot be read is a ``problem`` of its own deliveries and of no others.
    """
    stored = _stored(connection, {row.event_id for row in leased}) if leased else {}
    found = []
    for row in leased:
        event: Any = stored.get(row.event_id)
        problem = _problem(event)
        values = {name: getattr(row, name) for name in _OF_DELIVERY}
        if problem is None:
            values |= {name: getattr(event, name) for name in _OF_EVENT}
        received_at = 0.0 if problem else event.received_at
        found.append((received_at, row.id, Claimed(row.id, problem=problem, **values)))
    return [claimed for _, _, claimed in sorted(found, key=lambda entry: entry[:2])]


def _stored(connection: Connection, ids: Iterable[str]) -> dict[str, Any]:
    """Return the events that can be read, by their ids."""
    columns = [events.c[name] for name in ("id", "received_at", *_OF_EVENT)]
    statement = select(*columns)
    try:
        return {row.id: row for row in connection.execute(statement.where(events.c.id.in_(ids)))}
    except (DBAPIError, TypeError, ValueError):
        if connection.dialect.name != "sqlite":
            raise
    # SQLite keeps whatever is written into a column, and finds out when it is read: read each row
    # alone, or one of them would fail them all.
    found = {}
    for event_id in ids:
        with contextlib.suppress(DBAPIError, TypeError, ValueError):
            row = connection.execute(statement.where(events.c.id == event_id)).first()
            if row is not None:
                found[event_id] = row
    return found


def _problem(event: Any) -> str | None:
    """Return why a delivery of an event cannot be attempted: a short code, or None."""
    if event is None:
        return "event_unreadable"
    if event.payload is None:
        return "payload_missing"
    texts = (event.type, event.content_type or "", event.signature or "", event.source)
    is_readable = (
        isinstance(event.payload, bytes)
        and all(isinstance(text, str) for text in texts)
        and isinstance(event.received_at, int | float)
    )
    return None if is_readable else "event_unreadable"
