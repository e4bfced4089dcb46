"""Storing a batch of events with their deliveries: one transaction, nothing twice."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Double, Text, bindparam, literal_column, select
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
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Dialect

    from tracknow_static.relay.database import Database
    from tracknow_static.relay.records import NewEvent

BEGUN = points.declare("ingest.begun", "the transaction has begun, nothing is written")
INSERTED = points.declare("ingest.inserted", "the event is written, its deliveries are not")
COMMITTING = points.declare("ingest.committing", "all is written, nothing is committed")
COMMITTED = points.declare("ingest.committed", "the batch is durable, nobody knows")

# A customer's reference is marked as seen once a day at most.
_SEEN_SECONDS = 86_400


class _Statements:
    """The statements of one backend, built once: building costs more than executing."""

    def __init__(self, insert: Callable[[Any], Any]) -> None:
        now = bindparam("now", type_=Double)
        self.events_returning = insert(events).on_conflict_do_nothing().returning(events.c.id)
        self.events = insert(events).values(
            {
                column.name: bindparam(column.name, type_=column.type)
                for column in events.columns
                if column.name != "purged_at"
            }
        )
        self.deliveries = (
            insert(deliveries)
            .values(
                event_id=bindparam("event_id", type_=Text),
                destination=bindparam("destination", type_=Text),
                state=literal_column(f"'{PENDING}'"),
                due_at=now,
                accepted_at=now,
                token=literal_column("0"),
                attempts=literal_column("0"),
                tries=literal_column("0"),
            )
            .on_conflict_do_nothing()
        )
        customers = insert(customer_references).values(
            customer=bindparam("customer", type_=Text),
            reference=bindparam("reference", type_=Text),
            seen_at=now,
        )
        self.customers = customers.on_conflict_do_update(
            index_elements=["customer"],
            set_={"reference": customers.excluded.reference, "seen_at": customers.excluded.seen_at},
        )
        self.seen = (
            customer_references.update()
            .where(
                customer_references.c.customer == bindparam("who", type_=Text),
                customer_references.c.seen_at < bindparam("before", type_=Double),
            )
            .values(seen_at=now)
        )
        counters = insert(tallies).values(
            name=bindparam("name", type_=Text),
            destination=bindparam("destination", type_=Text),
            owner=bindparam("owner", type_=Text),
            value=bindparam("value", type_=BigInteger),
            updated_at=now,
        )
        self.tallies = counters.on_conflict_do_update(
            index_elements=["name", "destination", "owner"],
            set_={
                "value": tallies.c.value + counters.excluded.value,
                "updated_at": counters.excluded.updated_at,
            },
        )
        noted = insert(destinations).values(
            state=ACTIVE, failures=0, open_until=0.0, probing_until=0.0, version=0
        )
        self.destinations = noted.on_conflict_do_nothing()


_STATEMENTS = {
    "sqlite": _Statements(sqlite.insert),
    "postgresql": _Statements(postgresql.insert),
}


def statements(connection: Connection) -> _Statements:
    """Give the statements of a connection's backend."""
    return _STATEMENTS[connection.dialect.name]


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
        points.reach(BEGUN)
        now = database.read_clock(connection)
        fresh = _add_events(connection, ordered, now)
        points.reach(INSERTED)
        _add_deliveries(connection, fresh, urls, now)
        _remember_customers(connection, fresh, now)
        counts = counted + _counts(fresh, len(batch) - len(fresh))
        write_tallies(connection, counts, owner, now)
        points.reach(COMMITTING)
        return {event.id for event in fresh}

    new = database.run(work)
    points.reach(COMMITTED)
    accepted = []
    for event in batch:
        accepted.append(Accepted(event.id, event.id in new))
        new.discard(event.id)
    return accepted


def _add_events(connection: Connection, batch: Sequence[NewEvent], now: float) -> list[NewEvent]:
    """Insert the events that are not there; gives those."""
    if connection.dialect.name == "postgresql":
        rows = [_row(event, now) for event in batch]
        new = set(connection.execute(statements(connection).events_returning, rows).scalars())
        return [event for event in batch if event.id in new]
    # SQLite's transaction holds the one lock for writing: what is not there now stays absent.
    known = _known(connection, [event.id for event in batch])
    fresh = [event for event in batch if event.id not in known]
    _many(connection, statements(connection).events, [_row(event, now) for event in fresh])
    return fresh


def _known(connection: Connection, ids: Sequence[str]) -> set[str]:
    marks = ",".join("?" * len(ids))
    found = connection.exec_driver_sql(
        f"SELECT id FROM events WHERE id IN ({marks})",  # noqa: S608 - marks alone
        tuple(ids),
    )
    return set(found.scalars())


def _many(connection: Connection, statement: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Execute a statement for many rows by the driver alone.

    SQLAlchemy would process each row's parameters in Python, which costs more than SQLite's
    insert and is the larger part of an acknowledged event.
    """
    if not rows:
        return
    text_of, names = _compiled(connection.dialect, statement)
    if names is None:
        connection.exec_driver_sql(text_of, list(rows))
    else:
        connection.exec_driver_sql(text_of, [tuple(row[one] for one in names) for row in rows])


@cache
def _compiled(dialect: Dialect, statement: Any) -> tuple[str, tuple[str, ...] | None]:
    """Give a statement's text for the driver, and its parameters' order if it goes by order."""
    compiled = statement.compile(dialect=dialect)
    order = compiled.positiontup
    return str(compiled), None if order is None else tuple(order)


def _row(event: NewEvent, now: float) -> dict[str, Any]:
    return {
        "received_at": now,
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
    connection: Connection, fresh: Sequence[NewEvent], urls: Sequence[str], now: float
) -> None:
    rows = [
        {"event_id": event.id, "destination": url, "now": now}
        for event in fresh
        if event.kept_because is None
        for url in urls
    ]
    _many(connection, statements(connection).deliveries, rows)
    if rows and connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")


def add_delivery(connection: Connection, event_id: str, url: str, now: float) -> None:
    """Add a delivery unless there is one, in the caller's transaction."""
    row = {"event_id": event_id, "destination": url, "now": now}
    _many(connection, statements(connection).deliveries, [row])


def _remember_customers(connection: Connection, fresh: Sequence[NewEvent], now: float) -> None:
    known = {one.customer: one.reference for one in fresh if one.customer and one.reference}
    rows = [{"customer": one, "reference": known[one], "now": now} for one in sorted(known)]
    _many(connection, statements(connection).customers, rows)
    seen = {one.customer for one in fresh if one.customer and not one.reference} - set(known)
    rows = [{"who": one, "now": now, "before": now - _SEEN_SECONDS} for one in sorted(seen)]
    _many(connection, statements(connection).seen, rows)


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
    rows = [
        {
            "name": name,
            "destination": destination,
            "owner": owner,
            "value": counts[name, destination],
            "now": now,
        }
        for name, destination in sorted(counts)
    ]
    _many(connection, statements(connection).tallies, rows)


def note_destinations(database: Database, urls: Sequence[str]) -> None:
    """Make sure that every destination has its row."""
    with database.read() as connection:
        known = set(connection.execute(select(destinations.c.url)).scalars())
    rows = [{"url": url} for url in sorted(set(urls) - known)]
    if rows:
        database.run(
            lambda connection: connection.execute(statements(connection).destinations, rows)
        )
