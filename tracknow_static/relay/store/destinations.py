"""Pausing and resuming destinations, and their circuit breakers, shared by all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text, update

from tracknow_static.relay.store.leases import is_pending
from tracknow_static.relay.store.model import ACTIVE, PAUSED, Breaker
from tracknow_static.relay.store.schema import deliveries, destinations
from tracknow_static.relay.store.wakeup import CHANNEL

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Update

    from tracknow_static.relay.store.database import Database


def pause(database: Database, url: str, because: str, open_for: float) -> bool:
    """Pause an active destination, its breaker open; gives whether it was this call that did."""
    now = database.now()
    statement = _turn(
        url,
        ACTIVE,
        PAUSED,
        paused_because=because,
        paused_at=now,
        failures=1,
        open_until=_until(now, open_for),
    )
    return database.run(lambda connection: connection.execute(statement).rowcount == 1)


def resume(database: Database, url: str, *, at_once: bool) -> bool:
    """Make a destination active and its breaker closed; ``at_once``: what waits for it is due.

    Gives whether it was paused; one that was not is left as it is.
    """
    now = database.now()
    active = _turn(
        url, PAUSED, ACTIVE, paused_because=None, paused_at=None, failures=0, open_until=0.0
    )
    # What is leased stays leased: it would go out twice.
    due = (
        update(deliveries)
        .where(
            deliveries.c.destination == url,
            is_pending,
            deliveries.c.due_at > now,
            deliveries.c.claimed_at.is_(None),
        )
        .values(due_at=now)
    )

    def work(connection: Connection) -> bool:
        if connection.execute(active).rowcount != 1:
            return False
        if at_once:
            connection.execute(due)
        if database.backend == "postgresql":
            connection.execute(text(f"NOTIFY {CHANNEL}"))
        return True

    return database.run(work)


def _turn(url: str, before: str, after: str, **values: Any) -> Update:
    """Give the statement that takes a destination from one state to the other, if it is in it."""
    return (
        update(destinations)
        .where(destinations.c.url == url, destinations.c.state == before)
        .values(state=after, probing_until=0.0, version=destinations.c.version + 1, **values)
    )


def _until(now: ColumnElement[float], seconds: float) -> ColumnElement[float] | float:
    return now + seconds if seconds else 0.0


def breaker(database: Database, url: str) -> Breaker:
    """Read a breaker; a destination that nobody noted is active, its breaker closed."""
    statement = select(destinations, database.now().label("now")).where(destinations.c.url == url)
    with database.read() as connection:
        row = connection.execute(statement).first()
    return breaker_of(row, row.now) if row else Breaker(url, ACTIVE, None, 0, 0.0, 0.0, 0)


def breaker_of(row: Any, now: float) -> Breaker:
    """Take the breaker out of a row of ``destinations``, read at ``now``."""
    return Breaker(
        destination=row.url,
        state=row.state,
        paused_because=row.paused_because,
        failures=row.failures,
        open_for=max(0.0, row.open_until - now),
        probing_for=max(0.0, row.probing_until - now),
        version=row.version,
    )


def set_breaker(
    database: Database, seen: Breaker, failures: int, open_for: float, probing_for: float
) -> bool:
    """Write a breaker if its version is still the one seen; gives whether it was."""
    now = database.now()
    statement = (
        update(destinations)
        .where(destinations.c.url == seen.destination, destinations.c.version == seen.version)
        .values(
            failures=failures,
            open_until=_until(now, open_for),
            probing_until=_until(now, probing_for),
            version=destinations.c.version + 1,
        )
    )
    return database.run(lambda connection: connection.execute(statement).rowcount == 1)
