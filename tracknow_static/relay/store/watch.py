"""What of the store may need a person, read by index alone: cheap however much it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from tracknow_static.relay.store.destinations import breaker_of
from tracknow_static.relay.store.filters import in_state
from tracknow_static.relay.store.model import DestinationStatus, Settled
from tracknow_static.relay.store.schema import (
    deliveries,
    destinations,
    events,
    is_leased,
    is_waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

# Deliveries are counted up to this number.
MOST = 1000


def is_low(free: int | None, floor: int) -> bool:
    """Whether a disk has less free space than events are stored with; both are bytes."""
    return free is not None and free < floor


def read_destinations(
    connection: Connection,
    urls: Iterable[str],
    *,
    now: float,
    settled_since: float | None = None,
    most: int | None = None,
) -> list[DestinationStatus]:
    """Return the destinations ``urls``, and those that have rows of their own, in order.

    Dead letters and rejected deliveries before ``settled_since`` do not count. Numbers end at
    ``most + 1``; of more that wait, those that are due first and those that are due last are
    looked at.
    """
    rows = {row.url: row for row in connection.execute(select(destinations))}
    states = ("pending", "dead", "rejected")
    known = {*urls, *rows, *(url for state in states for url in _with(connection, state))}
    found = []
    for url in sorted(known):
        row = rows.get(url)
        settled = {
            state: _settled(connection, url, state, settled_since, most) for state in states[1:]
        }
        found.append(
            DestinationStatus(
                destination=url,
                now=now,
                breaker=breaker_of(url, row, now),
                paused_at=row.paused_at if row else None,
                failing_since=row.failing_since if row else None,
                settled=settled,
                **_waiting(connection, url, now, most),
            )
        )
    return found


def held_since(connection: Connection) -> float | None:
    """Return when the oldest event came that waits for its session, None if none does."""
    statement = select(func.min(events.c.received_at)).where(is_waiting)
    found: float | None = connection.execute(statement).scalar()
    return found


def _with(connection: Connection, state: str) -> set[str]:
    """Return the destinations with deliveries in a state: one look at the index for each."""
    found: set[str] = set()
    last = ""
    while True:
        statement = select(func.min(deliveries.c.destination)).where(
            in_state(state), deliveries.c.destination > last
        )
        url = connection.execute(statement).scalar()
        if url is None:
            return found
        found.add(url)
        last = url


def _settled(
    connection: Connection, url: str, state: str, since: float | None, most: int | None
) -> Settled:
    at = deliveries.c.settled_at
    found = select(at).where(in_state(state), deliveries.c.destination == url)
    if since is not None:
        found = found.where(at >= since)
    counted = found.limit(None if most is None else most + 1).subquery()
    return Settled(
        connection.execute(select(func.count()).select_from(counted)).scalar_one(),
        connection.execute(found.order_by(at).limit(1)).scalar(),
        connection.execute(found.order_by(at.desc()).limit(1)).scalar(),
    )


def _waiting(connection: Connection, url: str, now: float, most: int | None) -> dict[str, Any]:
    """Return how many deliveries wait, and since when the oldest does.

    What was never tried is due since it was stored: among many, the oldest of these is due first,
    and what has been tried for long is due last.
    """
    # Columns of the index of what is pending, and no others.
    own = deliveries.c
    waiting = select(own.due_at, own.attempts, own.claimed_at, own.accepted_at).where(
        in_state("pending"), own.destination == url
    )
    first = waiting if most is None else waiting.order_by(own.due_at).limit(most + 1)
    of, number = first.subquery().c, func.count()
    counted = select(
        number.label("pending"),
        number.filter(of.due_at <= now).label("due"),
        number.filter(of.attempts > 0).label("retrying"),
        number.filter(is_leased(now, of)).label("in_flight"),
        func.min(of.accepted_at).label("oldest_at"),
    )
    found = connection.execute(counted).one()._asdict()
    if most is not None and found["pending"] > most:
        last = waiting.order_by(own.due_at.desc()).limit(most).subquery()
        oldest = connection.execute(select(func.min(last.c.accepted_at))).scalar()
        found["oldest_at"] = min(found["oldest_at"], oldest or found["oldest_at"])
    return found
