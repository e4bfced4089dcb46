"""Versions of the database's schema, each a step from the one before.

A step never changes once it has been released: it is what old data go through. A fresh database
runs all of them. SQLite is migrated when the relay opens it; PostgreSQL is shared by hosts that
may run other versions, so its operator says when: ``tracknow-relay migrate``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from tracknow_static.errors import RelayError
from tracknow_static.relay.store.migrations import v1

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from tracknow_static.relay.store.database import Database

    Step = Callable[[Connection], None]

# The first step leads to version 1.
STEPS: tuple[Step, ...] = (v1.upgrade,)

# Any number that nothing else on the server uses for its advisory locks.
_ADVISORY_LOCK = 0x7472_6163


class SchemaError(RelayError):
    """The database has a version of the schema that this program cannot work with.

    ``found`` and ``known`` are versions; found 0 is a database without tables of ours.
    """

    def __init__(self, found: int, known: int, text: str) -> None:
        self.found = found
        self.known = known
        super().__init__(text)


def version(connection: Connection) -> int:
    """Version of the database's schema; 0 when it has none."""
    if not inspect(connection).has_table("schema_version"):
        return 0
    return int(connection.execute(text("SELECT max(version) FROM schema_version")).scalar() or 0)


def migrate(database: Database, *, steps: Sequence[Step] = STEPS) -> tuple[int, int]:
    """Bring the schema to the newest version; gives the version before and after.

    All of it is one transaction, and processes that try at the same time take turns.

    Raises :class:`SchemaError` for a schema newer than this program, ``StorageError`` when the
    database cannot be written.
    """
    database.prepare_file()
    with database.write() as connection:
        if database.backend == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        before = version(connection)
        _refuse_newer(before, len(steps))
        for number, step in enumerate(steps[before:], start=before + 1):
            step(connection)
            if number == 1:
                statement = "INSERT INTO schema_version (version) VALUES (:number)"
            else:
                statement = "UPDATE schema_version SET version = :number"
            connection.execute(text(statement), {"number": number})
    return before, len(steps)


def open_database(database: Database, *, steps: Sequence[Step] = STEPS) -> None:
    """Make sure that the schema is the one this program knows.

    A fresh database gets it. An older SQLite file is migrated; an older PostgreSQL database is
    refused, since other hosts may still need it as it is.

    Raises :class:`SchemaError` and ``StorageError``.
    """
    database.prepare_file()
    # The first connection turns the file to write-ahead logging, for which SQLite waits for nobody:
    # of processes that start together on a fresh file, one would be told that it is locked.
    with database.turn(), database.read() as connection:
        found = version(connection)
    _refuse_newer(found, len(steps))
    if found == len(steps):
        return
    if found and database.backend == "postgresql":
        raise SchemaError(
            found,
            len(steps),
            f"The database's schema has version {found}, this program needs {len(steps)}. "
            "Stop older relays and run `tracknow-relay migrate`.",
        )
    migrate(database, steps=steps)


def _refuse_newer(found: int, known: int) -> None:
    if found > known:
        raise SchemaError(
            found,
            known,
            f"The database's schema has version {found}, newer than the {known} that this program "
            "knows. Install the newer tracknow-static that made it.",
        )
