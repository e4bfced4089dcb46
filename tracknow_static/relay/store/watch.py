"""What of the store may need a person, read by index alone: cheap however much it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from tracknow_static.relay.store.destinations import breaker_of
from tracknow_static.relay.store.facts import note_fact
from tracknow_static.relay.store.filters import in_state
from tracknow_static.relay.store.model import WEBHOOK
from tracknow_static.relay.store.schema import (
    deliveries,
    destinations,
    events,
    facts,
    is_waiting,
    tallies,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from tracknow_static.relay.store.model import Breaker

# Deliveries are counted up to this number.
MOST = 1000
# How the names of counters of refused calls begin.
_REFUSED = "refused:"


class Settled(NamedTuple):
    """Deliveries that ended in one state: their number, and the times of the first and the last."""

    number: int
    first_at: float | None
    last_at: float | None


class Place(NamedTuple):
    """One destination. Numbers end at ``MOST + 1``; times are Unix seconds.

    ``oldest_at`` is when the oldest delivery that waits was stored or replayed. Of more than
    ``MOST`` that wait, those that are due first and those that are due last are looked at.
    """

    url: str
    breaker: Breaker
    paused_at: float | None
    failing_since: float | None
    pending: int
    oldest_at: float | None
    dead: Settled
    rejected: Settled


def is_low(free: int | None, floor: int) -> bool:
    """Whether a disk has less free space than events are stored with; both are bytes."""
    return free is not None and free < floor


def places(
    connection: Connection, urls: Sequence[str], *, now: float, settled_since: float
) -> list[Place]:
    """Return the destinations ``urls``, and those that have rows of their own, in order.

    Dead letters and rejected deliveries before ``settled_since`` do not count.
    """
    rows = {row.url: row for row in connection.execute(select(destinations))}
    states = ("pending", "dead", "rejected")
    known = {*urls, *rows, *(url for state in states for url in _with(connection, state))}
    return [_place(connection, url, rows.get(url), now, settled_since) for url in sorted(known)]


def accepted_at(connection: Connection) -> float | None:
    """Return when Stripe's last call was accepted, a duplicate too; None if no late one was."""
    latest = (
        select(events.c.received_at, events.c.source)
        .order_by(events.c.received_at.desc(), events.c.id.desc())
        .limit(MOST)
        .subquery()
    )
    pushed = select(func.max(latest.c.received_at)).where(latest.c.source == WEBHOOK)
    repeated = select(func.max(tallies.c.updated_at)).where(tallies.c.name == "duplicate")
    times = [connection.execute(statement).scalar() for statement in (pushed, repeated)]
    return max((at for at in times if at is not None), default=None)


def note_refusals(connection: Connection, names: Iterable[str], now: float) -> None:
    """Note for counters that are counted now when calls began to be refused in a row."""
    for name in names:
        if name.startswith(_REFUSED):
            began = connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar()
            if began is None or float(began) <= (accepted_at(connection) or 0.0):
                note_fact(connection, name, str(now))


def refused(connection: Connection) -> dict[str, tuple[float, float]]:
    """Return, by reason, when calls of the webhook began to be refused, and were refused last."""
    statement = (
        select(tallies.c.name, func.max(tallies.c.updated_at).label("last"), facts.c.value)
        .join(facts, facts.c.name == tallies.c.name)
        .where(tallies.c.name.startswith(_REFUSED))
        .group_by(tallies.c.name, facts.c.value)
    )
    return {
        row.name.removeprefix(_REFUSED): (float(row.value), row.last)
        for row in connection.execute(statement)
    }


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


def _place(connection: Connection, url: str, row: Any, now: float, since: float) -> Place:
    pending, oldest = _pending(connection, url)
    return Place(
        url=url,
        breaker=breaker_of(url, row, now),
        paused_at=row.paused_at if row else None,
        failing_since=row.failing_since if row else None,
        pending=pending,
        oldest_at=oldest,
        dead=_settled(connection, url, "dead", since),
        rejected=_settled(connection, url, "rejected", since),
    )


def _settled(connection: Connection, url: str, state: str, since: float) -> Settled:
    at = deliveries.c.settled_at
    found = select(at).where(in_state(state), deliveries.c.destination == url, at >= since)
    counted = select(func.count()).select_from(found.limit(MOST + 1).subquery())
    return Settled(
        connection.execute(counted).scalar_one(),
        connection.execute(found.order_by(at).limit(1)).scalar(),
        connection.execute(found.order_by(at.desc()).limit(1)).scalar(),
    )


def _pending(connection: Connection, url: str) -> tuple[int, float | None]:
    """Return how many deliveries wait, and since when the oldest does.

    What was never tried is due since it was stored: among many, the oldest of these is due first,
    and what has been tried for long is due last.
    """
    due = deliveries.c.due_at
    waiting = select(deliveries.c.accepted_at).where(
        in_state("pending"), deliveries.c.destination == url
    )
    found = connection.execute(waiting.order_by(due).limit(MOST + 1)).scalars().all()
    number = len(found)
    if number > MOST:
        last = connection.execute(waiting.order_by(due.desc()).limit(MOST)).scalars().all()
        found = [*found, *last]
    return number, min(found, default=None)
