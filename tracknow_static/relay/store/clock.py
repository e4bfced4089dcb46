"""Clocks that were wrong: waits they wrote are corrected, and a purge distrusts them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, delete, select, update

from tracknow_static.relay.store.migrations import PURGED_AT, note_fact
from tracknow_static.relay.store.schema import deliveries, destinations, facts, is_pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tracknow_static.relay.store.database import Database

log = logging.getLogger(__name__)

_DAY = 86_400.0
# Purges run every hour, or with every drain. One that comes later distrusts its clock.
_LONGEST_GAP = 2 * _DAY
_WAITS = "purge_waits"

# No retry and no replay reaches further: what is due later was stored under a clock that was wrong.
_RETRY_HORIZON = 2 * 86_400
_REPLAY_HORIZON = 40 * 86_400

# The fact that notes the latest time, and the seconds by which clocks of several hosts may differ.
_CLOCK = "clock"
_CLOCK_TOLERANCE = 5.0


def correct_clock(database: Database, destinations: Sequence[str] | None = None) -> int:
    """Correct what a clock wrote that was wrong then, or was set back since.

    Each call notes the time, for all processes. A clock that is behind the latest note was set
    back: every later time is moved by as much, of deliveries and of breakers. Apart from that, a
    delivery of the destinations is due that a clock far ahead put into the future; one that was
    never claimed is due since it was stored, whatever its due time is.
    Return the number of deliveries corrected.
    """
    urls = database.destinations if destinations is None else destinations

    def work(connection: Connection) -> int:
        now = database.now()
        corrected = _move_back(connection, database)
        for url in urls:
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


def is_trusted(database: Database) -> bool:
    """Whether the clock agrees with the last purge; note the time of this one if it does.

    A clock that ran a hundred days ahead for a minute would have every payload purged. So a purge
    that follows the last one after days waits for a day: then the clock is right, or was not
    corrected by anybody.
    """

    def work(connection: Connection) -> bool:
        now = database.read_clock(connection)
        statement = select(facts).where(facts.c.name.in_((PURGED_AT, _WAITS)))
        known = {row.name: row.value for row in connection.execute(statement)}
        last, waits = float(known.get(PURGED_AT, now)), float(known.get(_WAITS, now))
        if last <= now <= last + _LONGEST_GAP or waits <= now - _DAY:
            note_fact(connection, PURGED_AT, repr(now))
            connection.execute(delete(facts).where(facts.c.name == _WAITS))
            return True
        if now < last:
            # It was ahead at the last purge, and has been set back since.
            note_fact(connection, PURGED_AT, repr(now))
        elif _WAITS not in known or now < waits:
            note_fact(connection, _WAITS, repr(now))
        return False

    return database.run(work)
