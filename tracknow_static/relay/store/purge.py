"""Purging: removing what is no longer needed, and nothing that recognises a duplicate."""

from __future__ import annotations

import logging
import math
import uuid
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, distinct, func, select, tuple_, update

from tracknow_static.errors import StorageError
from tracknow_static.relay.store import ledger_state
from tracknow_static.relay.store.events import write_tallies
from tracknow_static.relay.store.facts import PURGED_AT, note_fact
from tracknow_static.relay.store.model import DEAD, PENDING, REJECTED, WAITING, Erased, Purged
from tracknow_static.relay.store.schema import (
    attempts,
    customer_references,
    deliveries,
    events,
    facts,
    sale_objects,
    sales,
    tallies,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from tracknow_static.relay.store.database import Database

log = logging.getLogger(__name__)

# Events in one transaction: short enough that commits of new events hardly wait.
_CHUNK = 200
_DAY = 86_400.0
# Counters of processes that are gone are added up after this time.
_OWNER_SECONDS = 7 * _DAY
# Purges run every hour, or with every drain. One that comes later distrusts its clock.
_LONGEST_GAP = 2 * _DAY
_WAITS = "purge_waits"


def purge(
    database: Database,
    *,
    delivered_days: float,
    dead_days: float,
    references_days: float = 1095,
    dry_run: bool = False,
    check_clock: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Purged:
    """Remove payloads of events settled for longer than the days given, chunk by chunk.

    ``delivered_days`` is for events that every destination accepted, ``dead_days`` for those
    with a dead letter or a rejected delivery and those that were kept and not forwarded. Nothing pending is touched,
    nor what the ledger of sales has not read, and what recognises a duplicate stays. ``progress`` is called with the number of events done.

    With ``check_clock`` nothing is removed while the clock may be wrong: the result shows that.
    """
    if not dry_run:
        # On a full disk this is what there is room for.
        database.compact()
    if check_clock and not dry_run and not _clock_is_trusted(database):
        log.warning("nothing is purged before tomorrow: the clock jumped, or no purge ran for days")
        return Purged(0, 0, 0, waits=True)
    with database.read() as connection:
        now = database.read_clock(connection)
        # What a dry run counts is read before a purge.
        unread_since = math.inf if dry_run else ledger_state.unread_since(connection)
    limits = (now - delivered_days * _DAY, now - dead_days * _DAY)
    number = size = 0
    after: tuple[float, str] = (-1.0, "")
    while True:
        with database.read() as connection:
            rows = _old(connection, after, min(max(limits), unread_since))
        if not rows:
            break
        after = (rows[-1].received_at, rows[-1].id)
        sizes = {row.id: row.size or 0 for row in rows}
        gone = _purge_rows(database, rows, limits, dry_run=dry_run)
        number += len(gone)
        size += sum(sizes[event_id] for event_id in gone)
        if progress is not None:
            progress(number)
    forgotten = _forget_customers(database, now - references_days * _DAY, dry_run)
    if not dry_run:
        _add_up(database, now - _OWNER_SECONDS)
        database.compact()
    return Purged(number, size, forgotten)


def _clock_is_trusted(database: Database) -> bool:
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


def erase(
    database: Database,
    *,
    customers: Sequence[str] = (),
    event_ids: Sequence[str] = (),
    dry_run: bool = False,
) -> Erased:
    """Remove the payloads of some customers' events, and of some events, whatever their state.

    What was still to be delivered is not delivered any more. The customers' click ids are
    forgotten, and a random word takes the place of their ids, also in the ledger of sales, which
    stays as it is otherwise. What recognises a duplicate stays.
    """
    done = Erased(events=0, size=0, unsent=0)
    wanted = events.c.id.in_(event_ids) | events.c.customer.in_(customers)
    statement = (
        select(events.c.id, func.length(events.c.payload).label("size"))
        .where(wanted, events.c.payload.is_not(None))
        .order_by(events.c.id)
    )
    with database.read() as connection:
        found = connection.execute(statement).all()
    for first in range(0, len(found), _CHUNK):
        rows = found[first : first + _CHUNK]
        ids = [row.id for row in rows]
        if dry_run:
            with database.read() as connection:
                unsent = _unsent(connection, ids)
        else:
            unsent = database.run(partial(_erase_chunk, database=database, ids=ids))
        size = sum(row.size for row in rows)
        done = Erased(done.events + len(rows), done.size + size, done.unsent + unsent)
    for customer in () if dry_run else customers:
        while not database.run(partial(_erase_id, customer=customer)):
            pass
    if not dry_run:
        database.compact()
    return done


def _erase_id(connection: Connection, *, customer: str) -> bool:
    """Remove the id of a customer; False if the ledger was written meanwhile."""
    state = ledger_state.load(connection)
    # What the ledger has read and not written yet holds the id: it is to read that again.
    if state is not None and not ledger_state.store(connection, state, state):
        return False
    known = customer_references.c.customer == customer
    connection.execute(delete(customer_references).where(known))
    # The same word everywhere, so that a renewal keeps its sale.
    word = f"erased_{uuid.uuid4().hex}"
    for table in (events, sale_objects, sales):
        connection.execute(update(table).where(table.c.customer == customer).values(customer=word))
    return True


def _unsent(connection: Connection, ids: Sequence[str]) -> int:
    """Return how many of the events are still to be delivered."""
    statement = select(func.count(distinct(deliveries.c.event_id))).where(
        deliveries.c.event_id.in_(ids), deliveries.c.state == PENDING
    )
    return int(connection.execute(statement).scalar_one())


def _erase_chunk(connection: Connection, *, database: Database, ids: Sequence[str]) -> int:
    _lock_events(connection, ids)
    unsent = _unsent(connection, ids)
    # Whoever settles one of them now records its attempt first.
    own = select(deliveries.c.id).where(deliveries.c.event_id.in_(ids)).order_by(deliveries.c.id)
    connection.execute(own.with_for_update()).all()
    _remove(connection, database, ids)
    # A delivery without a payload could only become a dead letter that nobody can replay.
    connection.execute(
        delete(deliveries).where(
            deliveries.c.event_id.in_(ids), deliveries.c.state.in_((PENDING, REJECTED, DEAD))
        )
    )
    return unsent


def _old(connection: Connection, after: tuple[float, str], before: float) -> Sequence[Any]:
    statement = (
        select(
            events.c.id,
            events.c.received_at,
            events.c.skipped_because,
            func.length(events.c.payload).label("size"),
        )
        .where(
            events.c.purged_at.is_(None),
            events.c.received_at < before,
            tuple_(events.c.received_at, events.c.id) > tuple_(*after),
        )
        .order_by(events.c.received_at, events.c.id)
        .limit(_CHUNK)
    )
    return connection.execute(statement).all()


def _purge_rows(
    database: Database, rows: Sequence[Any], limits: tuple[float, float], *, dry_run: bool
) -> list[str]:
    """Purge those of the events that are old enough; return their ids."""
    if dry_run:
        with database.read() as connection:
            return _expired_of(connection, rows, limits)
    try:
        return database.run(partial(_purge_chunk, database=database, rows=rows, limits=limits))
    except StorageError as error:
        if error.code != "disk_full":
            raise
    # What a full disk has no room for as a whole may fit in halves, each giving space back.
    database.compact()
    if len(rows) == 1:
        return database.run(partial(_purge_chunk, database=database, rows=rows, limits=limits))
    middle = len(rows) // 2
    return [
        *_purge_rows(database, rows[:middle], limits, dry_run=False),
        *_purge_rows(database, rows[middle:], limits, dry_run=False),
    ]


def _purge_chunk(
    connection: Connection, *, database: Database, rows: Sequence[Any], limits: tuple[float, float]
) -> list[str]:
    _lock_events(connection, [row.id for row in rows])
    gone = _expired_of(connection, rows, limits, lock=True)
    if gone:
        _remove(connection, database, gone)
    return gone


def _lock_events(connection: Connection, ids: Sequence[str]) -> None:
    """Keep a replay from making deliveries due, whose payloads are about to go."""
    statement = select(events.c.id).where(events.c.id.in_(ids)).order_by(events.c.id)
    connection.execute(statement.with_for_update()).all()


def _expired_of(
    connection: Connection,
    rows: Sequence[Any],
    limits: tuple[float, float],
    *,
    lock: bool = False,
) -> list[str]:
    statement = (
        select(deliveries.c.event_id, deliveries.c.state, deliveries.c.settled_at)
        .where(deliveries.c.event_id.in_([row.id for row in rows]))
        .order_by(deliveries.c.id)
    )
    own: dict[str, list[Any]] = {}
    for delivery in connection.execute(statement.with_for_update() if lock else statement):
        own.setdefault(delivery.event_id, []).append(delivery)
    return [row.id for row in rows if _expired(row, own.get(row.id, []), limits)]


def _expired(row: Any, own: Sequence[Any], limits: tuple[float, float]) -> bool:
    delivered_before, dead_before = limits
    if row.skipped_because == WAITING or any(delivery.state == PENDING for delivery in own):
        return False
    settled = max((delivery.settled_at for delivery in own), default=row.received_at)
    accepted = bool(own) and all(delivery.state == "delivered" for delivery in own)
    return bool(settled < (delivered_before if accepted else dead_before))


def _remove(connection: Connection, database: Database, ids: Sequence[str]) -> None:
    connection.execute(
        update(events)
        .where(events.c.id.in_(ids))
        .values(payload=None, signature=None, content_type=None, purged_at=database.now())
    )
    own = select(deliveries.c.id).where(deliveries.c.event_id.in_(ids))
    connection.execute(delete(attempts).where(attempts.c.delivery_id.in_(own)))


def _forget_customers(database: Database, before: float, dry_run: bool) -> int:
    old = customer_references.c.seen_at < before
    if dry_run:
        with database.read() as connection:
            statement = select(func.count()).select_from(customer_references).where(old)
            return int(connection.execute(statement).scalar_one())
    return database.run(
        lambda connection: connection.execute(delete(customer_references).where(old)).rowcount
    )


def _add_up(database: Database, before: float) -> None:
    """Add the counters of processes that are gone to those that belong to nobody."""

    def work(connection: Connection) -> None:
        gone = (
            delete(tallies)
            .where(tallies.c.owner != "", tallies.c.updated_at < before)
            .returning(tallies.c.name, tallies.c.destination, tallies.c.value)
        )
        totals: Counter[tuple[str, str]] = Counter()
        for row in connection.execute(gone).all():
            totals[row.name, row.destination] += row.value
        # Nothing was counted now: `updated_at` is when something was counted last.
        write_tallies(connection, totals, owner="", now=before)

    database.run(work)
