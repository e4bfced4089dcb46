"""Storing a batch of events with their deliveries: one transaction, nothing twice."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects import postgresql, sqlite

from tracknow_static.relay import points
from tracknow_static.relay.records import ACTIVE, PENDING, Accepted
from tracknow_static.relay.schema import (
    customer_references,
    deliveries,
    destinations,
    events,
    tallies,
)
from tracknow_static.relay.wakeup import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Table

    from tracknow_static.relay.database import Database
    from tracknow_static.relay.records import NewEvent

BEGUN = points.declare("ingest.begun", "the transaction has begun, nothing is written")
INSERTED = points.declare("ingest.inserted", "the event is written, its deliveries are not")
COMMITTING = points.declare("ingest.committing", "all is written, nothing is committed")
COMMITTED = points.declare("ingest.committed", "the batch is durable, nobody knows")

# A customer's reference is marked as seen once a day at most.
_SEEN_SECONDS = 86_400


def insert(database: Database, table: Table) -> Any:
    """Give the backend's own INSERT, which knows ON CONFLICT."""
    return (sqlite if database.backend == "sqlite" else postgresql).insert(table)


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
    rows = [_row(first[one]) for one in sorted(first)]

    def work(connection: Connection) -> set[str]:
        points.reach(BEGUN)
        now = database.now()
        statement = (
            insert(database, events)
            .values(received_at=now)
            .on_conflict_do_nothing()
            .returning(events.c.id)
        )
        new = set(connection.execute(statement, rows).scalars())
        points.reach(INSERTED)
        fresh = [first[one] for one in sorted(new)]
        _add_deliveries(database, connection, fresh, urls, now)
        _remember_customers(database, connection, fresh, now)
        counts = counted + _counts(fresh, len(batch) - len(fresh))
        write_tallies(database, connection, counts, owner, now)
        points.reach(COMMITTING)
        return new

    new = database.run(work)
    points.reach(COMMITTED)
    accepted = []
    for event in batch:
        accepted.append(Accepted(event.id, event.id in new))
        new.discard(event.id)
    return accepted


def _row(event: NewEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "object_id": event.object_id,
        "reference": event.reference,
        "payment_intent": event.payment_intent,
        "customer": event.customer,
        "livemode": event.livemode,
        "account": event.account,
        "created": event.created,
        "kept_because": event.kept_because,
        "content_type": event.content_type,
        "signature": event.signature,
        "payload": event.payload,
    }


def _add_deliveries(
    database: Database,
    connection: Connection,
    fresh: Sequence[NewEvent],
    urls: Sequence[str],
    now: ColumnElement[float],
) -> None:
    rows = [
        {"event_id": event.id, "destination": url}
        for event in fresh
        if event.kept_because is None
        for url in urls
    ]
    if not rows:
        return
    statement = insert(database, deliveries).values(
        state=PENDING, due_at=now, accepted_at=now, token=0, attempts=0, tries=0
    )
    connection.execute(statement.on_conflict_do_nothing(), rows)
    if database.backend == "postgresql":
        connection.execute(text(f"NOTIFY {CHANNEL}"))


def _remember_customers(
    database: Database,
    connection: Connection,
    fresh: Sequence[NewEvent],
    now: ColumnElement[float],
) -> None:
    known = {one.customer: one.reference for one in fresh if one.customer and one.reference}
    if known:
        rows = [{"customer": one, "reference": known[one]} for one in sorted(known)]
        statement = insert(database, customer_references).values(seen_at=now)
        statement = statement.on_conflict_do_update(
            index_elements=["customer"],
            set_={"reference": statement.excluded.reference, "seen_at": statement.excluded.seen_at},
        )
        connection.execute(statement, rows)
    seen = {one.customer for one in fresh if one.customer and not one.reference} - set(known)
    if seen:
        touch = (
            customer_references.update()
            .where(
                customer_references.c.customer == bindparam("who"),
                customer_references.c.seen_at < now - _SEEN_SECONDS,
            )
            .values(seen_at=now)
        )
        connection.execute(touch, [{"who": one} for one in sorted(seen)])


def _counts(fresh: Sequence[NewEvent], duplicates: int) -> Counter[tuple[str, str]]:
    counts = Counter({("accepted", ""): len(fresh), ("duplicate", ""): duplicates})
    counts.update((f"kept:{one.kept_because}", "") for one in fresh if one.kept_because)
    return +counts


def add_tallies(database: Database, counted: Counter[tuple[str, str]], owner: str) -> None:
    """Add to the counters, in a transaction of its own."""
    database.run(
        lambda connection: write_tallies(database, connection, counted, owner, database.now())
    )


def write_tallies(
    database: Database,
    connection: Connection,
    counts: Counter[tuple[str, str]],
    owner: str,
    now: ColumnElement[float],
) -> None:
    """Add to this process's counters, in the caller's transaction."""
    if not counts:
        return
    statement = insert(database, tallies).values(owner=owner, updated_at=now)
    statement = statement.on_conflict_do_update(
        index_elements=["name", "destination", "owner"],
        set_={
            "value": tallies.c.value + statement.excluded.value,
            "updated_at": statement.excluded.updated_at,
        },
    )
    rows = [
        {"name": name, "destination": destination, "value": counts[name, destination]}
        for name, destination in sorted(counts)
    ]
    connection.execute(statement, rows)


def note_destinations(database: Database, urls: Sequence[str]) -> None:
    """Make sure that every destination has its row."""
    with database.read() as connection:
        known = set(connection.execute(select(destinations.c.url)).scalars())
    missing = sorted(set(urls) - known)
    if not missing:
        return
    statement = insert(database, destinations).values(
        state=ACTIVE, failures=0, open_until=0.0, probing_until=0.0, version=0
    )
    rows = [{"url": url} for url in missing]
    database.run(lambda connection: connection.execute(statement.on_conflict_do_nothing(), rows))
