"""Versions of the database's schema.

A fresh database gets the newest version at once. A step from one version to the next never changes
once it has been released: it is what existing data go through. SQLite is migrated when the relay
opens it. PostgreSQL is shared by hosts that may run other versions, so its operator decides when:
``tracknow-relay migrate``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from tracknow_static.errors import RelayError
from tracknow_static.relay.store.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    Step = Callable[[Connection], None]

# The first step leads from nothing to version 1.
STEPS: tuple[Step, ...] = (metadata.create_all,)

# Any number that nothing else on the server uses for its advisory locks.
_ADVISORY_LOCK = 0x7472_6163


class SchemaError(RelayError):
    """The database has a version of the schema that this program cannot work with.

    ``found`` and ``known`` are versions; found 0 is a database without tables of ours.
    """

    code = "schema"

    def __init__(self, found: int, known: int, text: str) -> None:
        self.found = found
        self.known = known
        super().__init__(text)


def version(connection: Connection) -> int:
    """Return the version of the database's schema; 0 when it has none."""
    if not inspect(connection).has_table("schema_version"):
        return 0
    return int(connection.execute(text("SELECT max(version) FROM schema_version")).scalar() or 0)


def migrate(connection: Connection, steps: Sequence[Step] = STEPS) -> tuple[int, int]:
    """Bring the schema to the newest version; return the version before and after.

    All of it belongs to the caller's transaction; processes that try at the same time take turns.
    Raises :class:`SchemaError` for a schema that is newer than this program.
    """
    if connection.dialect.name == "postgresql":
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


def is_current(connection: Connection, steps: Sequence[Step] = STEPS) -> bool:
    """Whether the schema is the one this program knows; false when it has to be migrated first.

    Raises :class:`SchemaError` for a newer schema, and for an older one on PostgreSQL, which
    other hosts may still need as it is.
    """
    found = version(connection)
    _refuse_newer(found, len(steps))
    if 0 < found < len(steps) and connection.dialect.name == "postgresql":
        raise SchemaError(
            found,
            len(steps),
            f"The database's schema has version {found}, this program needs {len(steps)}. "
            "Stop older relays and run `tracknow-relay migrate`.",
        )
    return found == len(steps)


def _refuse_newer(found: int, known: int) -> None:
    if found > known:
        raise SchemaError(
            found,
            known,
            f"The database's schema has version {found}, newer than the {known} that this program "
            "knows. Install the newer tracknow-static that made it.",
        )
