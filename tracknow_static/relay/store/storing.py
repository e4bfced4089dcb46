"""Storing a batch of events with their deliveries: one transaction, nothing twice."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from tracknow_static.relay import crash_points
from tracknow_static.relay.store.inserts import CUSTOMERS, DELIVERIES, DESTINATIONS, EVENTS, TALLIES
from tracknow_static.relay.store.model import Accepted
from tracknow_static.relay.store.schema import customer_references, destinations
from tracknow_static.relay.store.wakeup import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import NewEvent

BEGUN = crash_points.declare("ingest.begun", "the transaction has begun, nothing is written")
INSERTED = crash_points.declare("ingest.inserted", "the event is written, its deliveries are not")
COMMITTING = crash_points.declare("ingest.committing", "all is written, nothing is committed")
COMMITTED = crash_points.declare("ingest.committed", "the batch is durable, nobody knows")

# A customer's reference is marked as seen once a day at most.
_SEEN_SECONDS = 86_400

_SEEN = (
    customer_references.update()
    .where(
        customer_references.c.customer.in_(bindparam("who", expanding=True)),
        customer_references.c.seen_at < bindparam("before"),
    )
    .values(seen_at=bindparam("now"))
)


def store(
    database: Database,
    batch: Sequence[NewEvent],
    urls: Sequence[str],
    counted: Counter[tuple[str, str]],
    owner: str,
) -> list[Accepted]:
    """Store a batch durably; gives, in order, whether each event was new.

    ``counted`` holds further counters to add in the same transaction.
    """
    first: dict[str, NewEvent] = {}
    for event in batch:
        first.setdefault(event.id, event)
    # In one order for all, or two processes with the same duplicates wait for each other.
    ordered = [first[one] for one in sorted(first)]

    def work(connection: Connection) -> set[str]:
        crash_points.reach(BEGUN)
        now = database.read_clock(connection)
        fresh = _add_events(connection, ordered, now)
        crash_points.reach(INSERTED)
        _add_deliveries(connection, fresh, urls, now)
        _remember_customers(connection, fresh, now)
        counts = counted + _counts(fresh, len(batch) - len(fresh))
        write_tallies(connection, counts, owner, now)
        crash_points.reach(COMMITTING)
        return {event.id for event in fresh}

    new = database.run(work)
    crash_points.reach(COMMITTED)
    accepted = []
    for event in batch:
        accepted.append(Accepted(event.id, event.id in new))
        new.discard(event.id)
    return accepted


def _add_events(connection: Connection, batch: Sequence[NewEvent], now: float) -> list[NewEvent]:
    """Insert the events that are not there; gives those."""
    if connection.dialect.name == "postgresql":
        new = set(EVENTS.insert(connection, [(*event, now) for event in batch]))
        return [event for event in batch if event.id in new]
    # SQLite's transaction holds the one lock for writing: what is not there now stays absent.
    known = _known(connection, [event.id for event in batch])
    fresh = [event for event in batch if event.id not in known]
    EVENTS.insert(connection, [(*event, now) for event in fresh])
    return fresh


def _known(connection: Connection, ids: Sequence[str]) -> set[str]:
    # Filled up to a power of two, so that the driver finds the statement prepared.
    marks = ",".join("?" * (1 << (len(ids) - 1).bit_length()))
    filled = tuple(ids) + (ids[-1],) * (marks.count("?") - len(ids))
    found = connection.exec_driver_sql(
        f"SELECT id FROM events WHERE id IN ({marks})",  # noqa: S608 - marks alone
        filled,
    )
    return set(found.scalars())


def _add_deliveries(
    connection: Connection, fresh: Sequence[NewEvent], urls: Sequence[str], now: float
) -> None:
    wanted = [event.id for event in fresh if event.kept_because is None]
    rows = [(one, url, now, now) for one in wanted for url in urls]
    DELIVERIES.insert(connection, rows)
    if rows and connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")


def add_delivery(connection: Connection, event_id: str, url: str, now: float) -> None:
    """Add a delivery unless there is one, in the caller's transaction."""
    DELIVERIES.insert(connection, [(event_id, url, now, now)])


def _remember_customers(connection: Connection, fresh: Sequence[NewEvent], now: float) -> None:
    known = {one.customer: one.reference for one in fresh if one.customer and one.reference}
    CUSTOMERS.insert(connection, [(one, known[one], now) for one in sorted(known)])
    seen = {one.customer for one in fresh if one.customer and not one.reference} - set(known)
    if seen:
        given = {"who": sorted(seen), "now": now, "before": now - _SEEN_SECONDS}
        connection.execute(_SEEN, given)


def _counts(fresh: Sequence[NewEvent], duplicates: int) -> Counter[tuple[str, str]]:
    counts = Counter({("accepted", ""): len(fresh), ("duplicate", ""): duplicates})
    counts.update((f"kept:{one.kept_because}", "") for one in fresh if one.kept_because)
    return +counts


def add_tallies(database: Database, counted: Counter[tuple[str, str]], owner: str) -> None:
    """Add to the counters, in a transaction of its own."""
    database.run(
        lambda connection: write_tallies(
            connection, counted, owner, database.read_clock(connection)
        )
    )


def write_tallies(
    connection: Connection, counts: Counter[tuple[str, str]], owner: str, now: float
) -> None:
    """Add to a process's counters, in the caller's transaction."""
    rows = [(*key, owner, counts[key], now) for key in sorted(counts)]
    TALLIES.insert(connection, rows)


def note_destinations(database: Database, urls: Sequence[str]) -> None:
    """Make sure that every destination has its row."""
    with database.read() as connection:
        known = set(connection.execute(select(destinations.c.url)).scalars())
    rows = [(url,) for url in sorted(set(urls) - known)]
    if rows:
        database.run(lambda connection: DESTINATIONS.insert(connection, rows))
