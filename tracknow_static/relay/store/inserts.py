"""Inserting many rows by one statement, and by the driver alone.

Two things cost more than the database's own work: SQLAlchemy's look at each row's parameters, and
Python's lock. The SQLite driver gives that lock away for each statement it executes and then waits
among all threads to get it back, so one statement for many rows is what lets requests be verified
on one processor while another one writes.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from tracknow_static.relay.store.model import ACTIVE, PENDING, NewEvent
from tracknow_static.relay.store.schema import (
    customer_references,
    deliveries,
    destinations,
    events,
    tallies,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Table

# Rows of one statement. Not every number, so that the driver finds most statements prepared; and
# with 14 columns the largest stays below the 999 parameters of an SQLite before 3.32
# (sqlite.org/limits.html, 9).
SIZES = (64, 56, 48, 40, 32, 28, 24, 20, 16, 14, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1)


class Rows:
    """Rows of one table: the columns that are given, and fixed ones as SQL.

    ``finish`` is what happens on a conflict; ``returning`` a column that PostgreSQL gives back.
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
        """Insert the rows; gives what PostgreSQL returns."""
        found: list[Any] = []
        left = rows
        while left:
            number = next(size for size in SIZES if size <= len(left))
            text = self._text(connection.dialect.name, number)
            values = tuple(chain.from_iterable(left[:number]))
            result = connection.exec_driver_sql(text, values)
            if result.returns_rows:
                found.extend(result.scalars())
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
EVENTS = Rows(events, [*NewEvent._fields, "received_at"], returning="id")
DELIVERIES = Rows(
    deliveries,
    ["event_id", "destination", "due_at", "accepted_at"],
    fixed={"state": f"'{PENDING}'", "token": "0", "attempts": "0", "tries": "0"},
)
CUSTOMERS = Rows(
    customer_references,
    ["customer", "reference", "seen_at"],
    "ON CONFLICT (customer) DO UPDATE"
    " SET reference = excluded.reference, seen_at = excluded.seen_at",
)
TALLIES = Rows(
    tallies,
    ["name", "destination", "owner", "value", "updated_at"],
    "ON CONFLICT (name, destination, owner) DO UPDATE"
    " SET value = tallies.value + excluded.value, updated_at = excluded.updated_at",
)
DESTINATIONS = Rows(
    destinations,
    ["url"],
    fixed={
        "state": f"'{ACTIVE}'",
        "failures": "0",
        "open_until": "0",
        "probing_until": "0",
        "version": "0",
    },
)
