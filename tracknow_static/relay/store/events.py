"""Storing events with their deliveries: one transaction for a batch, nothing twice.

Two things cost more than the database's own work: SQLAlchemy's look at each row's parameters, and
Python's lock. The SQLite driver releases that lock for each statement it executes and then waits
among all threads to get it back, so one statement for many rows is what lets requests be verified
on one processor while another one writes.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam

from tracknow_static.relay import crash_points
from tracknow_static.relay.store import ledger_state
from tracknow_static.relay.store.model import API, PENDING, WAITING, WEBHOOK, Accepted, NewEvent
from tracknow_static.relay.store.refusals import note_refusals
from tracknow_static.relay.store.schema import (
    customer_references,
    deliveries,
    events,
    notify,
    tallies,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Table

    from tracknow_static.relay.store.database import Database

BEGUN = crash_points.declare("ingest.begun", "the transaction has begun, nothing is written")
INSERTED = crash_points.declare("ingest.inserted", "the event is written, its deliveries are not")
COMMITTING = crash_points.declare("ingest.committing", "all is written, nothing is committed")
COMMITTED = crash_points.declare("ingest.committed", "the batch is durable, nobody knows")

# Rows of one statement. Not every number, so that the driver finds most statements prepared; and
# with 15 columns the largest stays below the 999 parameters of an SQLite before 3.32
# (sqlite.org/limits.html, 9).
_SIZES = (64, 56, 48, 40, 32, 28, 24, 20, 16, 14, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1)

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
    counted: Mapping[tuple[str, str], int] | None = None,
) -> list[Accepted]:
    """Store a batch durably; return, in order, whether each event was new.

    Each new event gets a delivery for each of the database's destinations. ``counted`` holds
    further counters to add in the same transaction. Raises ``StorageError``: nothing is stored.
    """
    first: dict[str, NewEvent] = {}
    for event in batch:
        first.setdefault(event.id, event)
    # In one order for all, or two processes with the same duplicates wait for each other.
    ordered = [first[event_id] for event_id in sorted(first)]

    def work(connection: Connection) -> set[str]:
        crash_points.reach(BEGUN)
        now = database.read_clock(connection)
        fresh, ledger = _add_events(connection, ordered, now)
        if fresh:
            ledger_state.take_back(connection, ledger, now)
        crash_points.reach(INSERTED)
        _add_deliveries(connection, fresh, database, now)
        _remember_customers(connection, fresh, now)
        counts = Counter(counted) + _counts(fresh, len(batch) - len(fresh))
        write_tallies(connection, counts, owner=database.identity, now=now)
        crash_points.reach(COMMITTING)
        return {event.id for event in fresh}

    new = database.run(work)
    crash_points.reach(COMMITTED)
    accepted = []
    for event in batch:
        accepted.append(Accepted(event.id, event.id in new))
        new.discard(event.id)
    return accepted


def add_delivery(connection: Connection, event_id: str, url: str, now: float) -> None:
    """Add a delivery unless there is one, in the caller's transaction."""
    _DELIVERIES.insert(connection, [(event_id, url, now, now)])


def add_tallies(database: Database, counted: Mapping[tuple[str, str], int]) -> None:
    """Add to this process's counters, in a transaction of its own."""

    def work(connection: Connection) -> None:
        now = database.read_clock(connection)
        note_refusals(connection, (name for name, _ in counted), now)
        write_tallies(connection, counted, owner=database.identity, now=now)

    database.run(work)


def write_tallies(
    connection: Connection, counts: Mapping[tuple[str, str], int], *, owner: str, now: float
) -> None:
    """Add to a process's counters, in the caller's transaction."""
    _TALLIES.insert(connection, [(*key, owner, counts[key], now) for key in sorted(counts)])


# -- one batch ------------------------------------------------------------------------------------


def _add_events(
    connection: Connection, batch: Sequence[NewEvent], now: float
) -> tuple[list[NewEvent], str | None]:
    """Insert the events that are not stored yet; return those, and the ledger's state."""
    if connection.dialect.name == "postgresql":
        rows = _EVENTS.insert(connection, [(*event, now) for event in batch])
        new = dict(rows)
        return [event for event in batch if event.id in new], next(iter(new.values()), None)
    # SQLite's transaction holds the one lock for writing: what is not there now stays absent.
    known, ledger = _known(connection, [event.id for event in batch])
    fresh = [event for event in batch if event.id not in known]
    _EVENTS.insert(connection, [(*event, now) for event in fresh])
    return fresh, ledger


def _known(connection: Connection, ids: Sequence[str]) -> tuple[set[str], str | None]:
    # Filled up to a power of two, so that the driver finds the statement prepared.
    marks = ",".join("?" * (1 << (len(ids) - 1).bit_length()))
    filled = tuple(ids) + (ids[-1],) * (marks.count("?") - len(ids))
    rows = connection.exec_driver_sql(
        f"SELECT id, NULL FROM events WHERE id IN ({marks})"  # noqa: S608 - marks alone
        f" UNION ALL SELECT NULL, ({ledger_state.STATE})",
        filled,
    ).all()
    return {row[0] for row in rows[:-1]}, rows[-1][1]


def _add_deliveries(
    connection: Connection, fresh: Sequence[NewEvent], database: Database, now: float
) -> None:
    rows = [
        (event.id, url, now, now)
        for event in fresh
        if event.skipped_because is None
        for url in database.destinations_of(event.source)
    ]
    _DELIVERIES.insert(connection, rows)
    if rows:
        notify(connection)


def _remember_customers(connection: Connection, fresh: Sequence[NewEvent], now: float) -> None:
    known: dict[str, str] = {}
    # What was missed is older than what has come since.
    for rows, source in ((_CUSTOMERS, WEBHOOK), (_NEW_CUSTOMERS, API)):
        found = {
            event.customer: event.reference
            for event in fresh
            if event.customer and event.reference and event.source == source
        }
        rows.insert(connection, [(customer, found[customer], now) for customer in sorted(found)])
        known |= found
    seen = {event.customer for event in fresh if event.customer and not event.reference} - set(
        known
    )
    if seen:
        given = {"who": sorted(seen), "now": now, "before": now - _SEEN_SECONDS}
        connection.execute(_SEEN, given)


def _counts(fresh: Sequence[NewEvent], duplicates: int) -> Counter[tuple[str, str]]:
    counts = Counter({("accepted", ""): len(fresh), ("duplicate", ""): duplicates})
    counts["fetched", ""] = sum(event.source == API for event in fresh)
    # What waits is counted when it is decided.
    counts.update(
        (f"kept:{event.skipped_because}", "")
        for event in fresh
        if event.skipped_because not in (None, WAITING)
    )
    return counts


# -- many rows by one statement -------------------------------------------------------------------


class _Rows:
    """Rows of one table: the columns that are given, and fixed ones as SQL.

    ``finish`` is what happens on a conflict; ``returning`` what PostgreSQL returns of
    each row that is inserted.
    """

    def __init__(
        self,
        table: Table,
        columns: Sequence[str],
        finish: str = "ON CONFLICT DO NOTHING",
        *,
        fixed: Mapping[str, str] | None = None,
        returning: str = "",
    ) -> None:
        self._table = table.name
        self._columns = tuple(columns)
        self._fixed = dict(fixed or {})
        self._finish = finish
        self._returning = returning

    def insert(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Insert the rows; return what PostgreSQL returns."""
        found: list[Any] = []
        left = rows
        while left:
            number = next(size for size in _SIZES if size <= len(left))
            text = self._text(connection.dialect.name, number)
            values = tuple(chain.from_iterable(left[:number]))
            result = connection.exec_driver_sql(text, values)
            if result.returns_rows:
                found.extend(result)
            left = left[number:]
        return found

    @cache  # noqa: B019 - there are five of them, for good
    def _text(self, backend: str, number: int) -> str:
        mark = "?" if backend == "sqlite" else "%s"
        group = ", ".join([mark] * len(self._columns) + list(self._fixed.values()))
        parts = [
            f"INSERT INTO {self._table} ({', '.join([*self._columns, *self._fixed])})",
            f"VALUES {', '.join([f'({group})'] * number)}",
            self._finish,
        ]
        # SQLite before 3.35 cannot, and its one writer knows without asking.
        if self._returning and backend == "postgresql":
            parts.append(f"RETURNING {self._returning}")
        return " ".join(parts)


# A new event's fields are columns; it lacks only the time at which it is stored.
_EVENTS = _Rows(events, [*NewEvent._fields, "received_at"], returning=f"id, ({ledger_state.STATE})")
_DELIVERIES = _Rows(
    deliveries,
    ["event_id", "destination", "due_at", "accepted_at"],
    fixed={"state": f"'{PENDING}'", "token": "0", "attempts": "0", "tries": "0"},
)
_CUSTOMERS = _Rows(
    customer_references,
    ["customer", "reference", "seen_at"],
    "ON CONFLICT (customer) DO UPDATE"
    " SET reference = excluded.reference, seen_at = excluded.seen_at",
)
_NEW_CUSTOMERS = _Rows(customer_references, ["customer", "reference", "seen_at"])
_TALLIES = _Rows(
    tallies,
    ["name", "destination", "owner", "value", "updated_at"],
    "ON CONFLICT (name, destination, owner) DO UPDATE"
    " SET value = tallies.value + excluded.value, updated_at = excluded.updated_at",
)
