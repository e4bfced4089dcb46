"""Destinations, shared by all processes: paused or active, their circuit breakers and waits.

A destination to which nothing has happened has no row: it is active, its breaker is closed.
"""

from __future__ import annotations

import logging
import shlex
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select, text, update

from tracknow_static.relay.store.facts import note_fact
from tracknow_static.relay.store.model import ACTIVE, PAUSED, Breaker, without_query
from tracknow_static.relay.store.schema import deliveries, destinations, facts, is_pending, notify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Connection, Update

    from tracknow_static.relay.store.database import Database

log = logging.getLogger(__name__)

# Deliveries made due by one transaction.
_CHUNK = 1000

# No retry and no replay reaches further: what is due later was stored under a clock that was wrong.
_RETRY_HORIZON = 2 * 86_400
_REPLAY_HORIZON = 40 * 86_400

# The fact that notes the latest time, and the seconds by which clocks of several hosts may differ.
_CLOCK = "clock"
_CLOCK_TOLERANCE = 5.0

_ADD = text(
    "INSERT INTO destinations (url, state, failures, open_until, probing_until, version)"
    " VALUES (:url, 'active', 0, 0, 0, 0) ON CONFLICT DO NOTHING"
)


def pause(database: Database, url: str, because: str, *, open_for: float = 0.0) -> bool:
    """Stop claims for a destination, in all processes, until it is resumed.

    Its breaker is open for ``open_for`` seconds. Return whether it was this call that paused it;
    one that is paused already is left as it is.
    """
    now = database.now()
    statement = _change(
        url,
        ACTIVE,
        PAUSED,
        paused_because=because,
        paused_at=now,
        failures=1,
        failing_since=func.coalesce(destinations.c.failing_since, now),
        open_until=_until(now, open_for),
    )
    return database.run(lambda connection: _write(connection, url, statement))


def resume(
    database: Database,
    url: str,
    *,
    at_once: bool = True,
    progress: Callable[[int], None] | None = None,
) -> bool:
    """Let claims for a destination go on: breaker closed, what waits for a retry due now.

    Without ``at_once`` each delivery keeps its own time, so that one event that is refused
    again and again does not pause the destination each time it resumes. ``progress`` is called
    with the number of deliveries made due, after each of many short transactions.

    Return whether it was paused; one that was not is left as it is.
    """
    active = _change(
        url,
        PAUSED,
        ACTIVE,
        paused_because=None,
        paused_at=None,
        failures=0,
        failing_since=None,
        open_until=0.0,
    )
    if not database.run(lambda connection: connection.execute(active).rowcount == 1):
        return False
    if at_once:
        _make_due(database, url, progress)
    database.run(notify)
    return True


def _make_due(database: Database, url: str, progress: Callable[[int], None] | None) -> None:
    """Make due what waits for a retry, a chunk at a time: commits of new events hardly wait."""
    with database.read() as connection:
        now = database.read_clock(connection)
    # What is leased stays leased: it would go out twice.
    waiting = (
        select(deliveries.c.id)
        .where(
            deliveries.c.destination == url,
            is_pending,
            deliveries.c.due_at > now,
            deliveries.c.claimed_at.is_(None),
        )
        .order_by(deliveries.c.due_at)
        .limit(_CHUNK)
        .with_for_update(skip_locked=True)
    )

    def work(connection: Connection) -> int:
        ids = connection.execute(waiting).scalars().all()
        connection.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(due_at=now))
        return len(ids)

    done = 0
    while made := database.run(work):
        done += made
        if progress is not None:
            progress(done)


def resume_command(url: str) -> str:
    """Return the command line that resumes a destination."""
    return f"tracknow-relay resume {shlex.quote(without_query(url))}"


def paused(database: Database) -> dict[str, float]:
    """Return the destinations that are paused, with the time since when."""
    statement = select(destinations.c.url, destinations.c.paused_at).where(
        destinations.c.state == PAUSED
    )
    with database.read() as connection:
        return {row.url: row.paused_at or 0.0 for row in connection.execute(statement)}


def breaker(database: Database, url: str) -> Breaker:
    """Read a destination's circuit breaker."""
    statement = select(destinations, database.now().label("now")).where(destinations.c.url == url)
    with database.read() as connection:
        row = connection.execute(statement).first()
    return breaker_of(url, row, row.now if row else 0.0)


def breaker_of(url: str, row: Any, now: float) -> Breaker:
    """Return a destination's breaker from its row of ``destinations``, if any, read at ``now``."""
    return Breaker(
        destination=url,
        state=row.state if row else ACTIVE,
        paused_because=row.paused_because if row else None,
        failures=row.failures if row else 0,
        open_for=max(0.0, row.open_until - now) if row else 0.0,
        probing_for=max(0.0, row.probing_until - now) if row else 0.0,
        version=row.version if row else 0,
    )


def set_breaker(
    database: Database,
    seen: Breaker,
    *,
    failures: int,
    open_for: float = 0.0,
    probing_for: float = 0.0,
) -> bool:
    """Write a breaker if nobody has since ``seen`` was read; return whether it was written.

    ``open_for`` and ``probing_for`` are seconds from now, by the database's clock; 0 means
    closed, and not probing.
    """
    now = database.now()
    statement = (
        update(destinations)
        .where(destinations.c.url == seen.destination, destinations.c.version == seen.version)
        .values(
            failures=failures,
            failing_since=func.coalesce(destinations.c.failing_since, now) if failures else None,
            open_until=_until(now, open_for),
            probing_until=_until(now, probing_for),
            version=destinations.c.version + 1,
        )
    )
    return database.run(lambda connection: _write(connection, seen.destination, statement))


def _change(url: str, before: str, after: str, **values: Any) -> Update:
    """Return the statement that takes a destination from one state to the other, if it is in it."""
    return (
        update(destinations)
        .where(destinations.c.url == url, destinations.c.state == before)
        .values(state=after, probing_until=0.0, version=destinations.c.version + 1, **values)
    )


def _write(connection: Connection, url: str, statement: Update) -> bool:
    """Execute an update of a destination that may have no row yet; return whether it applied."""
    connection.execute(_ADD, {"url": url})
    return connection.execute(statement).rowcount == 1


def _until(now: ColumnElement[float], seconds: float) -> ColumnElement[float] | float:
    return now + seconds if seconds else 0.0


def correct_clock(database: Database, urls: Sequence[str] | None = None) -> int:
    """Correct what a clock wrote that was wrong then, or was set back since.

    Each call notes the time, for all processes. A clock that is behind the latest note was set
    back: every later time is moved by as much, of deliveries and of breakers. Apart from that, a
    delivery of the destinations is due that a clock far ahead put into the future; one that was
    never claimed is due since it was stored, whatever its due time is.
    Return the number of deliveries corrected.
    """
    chosen = database.destinations if urls is None else urls

    def work(connection: Connection) -> int:
        now = database.now()
        corrected = _move_back(connection, database)
        for url in chosen:
            scheduled = (deliveries.c.tries > 0) | deliveries.c.claimed_at.is_not(None)
            latest = case(
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
                    deliveries.c.due_at > latest,
                )
                .values(due_at=now)
            )
            corrected += connection.execute(statement).rowcount
        return corrected

    return database.run(work)


def _move_back(connection: Connection, database: Database) -> int:
    """Note the time; if it is earlier than noted before, move what is later than now by as much."""
    now = database.read_clock(connection)
    noted = connection.execute(
        select(facts.c.value).where(facts.c.name == _CLOCK).with_for_update()
    ).scalar()
    note_fact(connection, _CLOCK, repr(now))
    behind = float(noted) - now if noted is not None else 0.0
    if behind < _CLOCK_TOLERANCE:
        return 0
    log.warning("the clock was set back by %.0f s: waits are corrected", behind)

    def earlier(column: Any) -> Any:
        return case((column - behind > now, column - behind), (column > now, now), else_=column)

    connection.execute(
        update(destinations).values(
            open_until=earlier(destinations.c.open_until),
            probing_until=earlier(destinations.c.probing_until),
            version=destinations.c.version + 1,
        )
    )
    statement = (
        update(deliveries)
        .where(is_pending, deliveries.c.due_at > now)
        .values(due_at=earlier(deliveries.c.due_at))
    )
    return connection.execute(statement).rowcount
