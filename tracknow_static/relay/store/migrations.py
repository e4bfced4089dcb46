"""Versions of the database's schema.

A fresh database gets the newest version at once. A step from one version to the next never changes
once it has been released: it is what existing data go through. SQLite is migrated when the relay
opens it. PostgreSQL is shared by hosts that may run other versions, so its operator decides when:
``tracknow-relay migrate``.
"""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from tracknow_static.errors import RelayError
from tracknow_static.relay.store.facts import ADD_FACT, CREATED_AT, PURGED_AT
from tracknow_static.relay.store.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    Step = Callable[[Connection], None]


def _execute(connection: Connection, statements: str) -> None:
    for statement in statements.split(";"):
        connection.execute(text(statement))


_FEWER_INDEXES = """
DROP INDEX events_type;
DROP INDEX events_object;
DROP INDEX customer_references_reference;
CREATE INDEX events_object ON events (object_id)
    WHERE object_id IS NOT NULL AND payment_intent IS NULL;
CREATE TABLE facts (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)
"""


_SALES = """
CREATE TABLE sale_objects (
    id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, seen BIGINT NOT NULL, created BIGINT,
    amount BIGINT, currency TEXT, mode TEXT, status TEXT, payment_intent TEXT, charge TEXT,
    invoice TEXT, subscription TEXT, customer TEXT, payment_link TEXT, reference TEXT,
    promotion_code TEXT, refunded BIGINT NOT NULL, refunded_at BIGINT, livemode BOOLEAN, account TEXT,
    forwarded BOOLEAN NOT NULL, source TEXT NOT NULL, sale TEXT
);
CREATE INDEX sale_objects_payment_intent ON sale_objects (payment_intent)
    WHERE payment_intent IS NOT NULL;
CREATE INDEX sale_objects_charge ON sale_objects (charge) WHERE charge IS NOT NULL;
CREATE INDEX sale_objects_invoice ON sale_objects (invoice) WHERE invoice IS NOT NULL;
CREATE INDEX sale_objects_subscription ON sale_objects (subscription)
    WHERE subscription IS NOT NULL;
CREATE INDEX sale_objects_customer ON sale_objects (customer) WHERE customer IS NOT NULL;
CREATE INDEX sale_objects_seen ON sale_objects (seen, id);
CREATE TABLE sales (
    id TEXT NOT NULL PRIMARY KEY, created BIGINT NOT NULL, month INTEGER NOT NULL,
    verdict TEXT NOT NULL, amount BIGINT, currency TEXT, mode TEXT, payment_status TEXT,
    payment_link TEXT, reference TEXT, customer TEXT, promotion_code TEXT, charge TEXT,
    renews TEXT, refunded BIGINT NOT NULL, refunded_at BIGINT, dispute TEXT, livemode BOOLEAN,
    account TEXT, source TEXT NOT NULL
);
CREATE INDEX sales_created ON sales (created, id);
CREATE INDEX sales_report
    ON sales (verdict, payment_link, currency, month, created, amount, refunded);
CREATE INDEX sales_reference
    ON sales (reference, verdict, currency, created, amount, refunded);
CREATE INDEX sales_refunded ON sales (refunded_at) WHERE refunded > 0;
INSERT INTO facts (name, value) VALUES ('sales', '{}')
"""


def _add_sources_and_answers(connection: Connection) -> None:
    _execute(connection, _SOURCES_AND_ANSWERS)
    first = connection.execute(text("SELECT min(received_at) FROM events")).scalar()
    if first is not None:
        connection.execute(ADD_FACT, {"name": CREATED_AT, "value": repr(float(first))})


_SOURCES_AND_ANSWERS = """
ALTER TABLE events RENAME COLUMN kept_because TO skipped_because;
ALTER TABLE events ADD COLUMN source TEXT NOT NULL DEFAULT 'webhook';
CREATE INDEX events_unattributed ON events (skipped_because, received_at)
    WHERE skipped_because IN ('waiting', 'unattributed');
ALTER TABLE attempts ADD COLUMN answer TEXT;
ALTER TABLE destinations ADD COLUMN failing_since DOUBLE PRECISION;
DROP INDEX deliveries_pending;
CREATE INDEX deliveries_pending
    ON deliveries (destination, due_at, attempts, claimed_at, accepted_at) WHERE state = 'pending';
CREATE INDEX deliveries_rejected ON deliveries (destination, settled_at) WHERE state = 'rejected';
CREATE INDEX sales_verdict ON sales (verdict, created, id);
CREATE INDEX sales_link ON sales (payment_link, verdict, created, id)
"""

# The first step leads from version 1 to version 2.
STEPS: tuple[Step, ...] = (
    partial(_execute, statements=_FEWER_INDEXES),
    partial(_execute, statements=_SALES),
    _add_sources_and_answers,
)

_ID = "id"

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


def migrate(
    connection: Connection, steps: Sequence[Step] = STEPS, *, now: float
) -> tuple[int, int]:
    """Bring the schema to the newest version; return the version before and after.

    All of it belongs to the caller's transaction; processes that try at the same time take turns.
    Raises :class:`SchemaError` for a schema that is newer than this program.
    """
    _refuse_encoding(connection)
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    before, newest = version(connection), newest_version(steps)
    _refuse_newer(before, newest)
    if before == 0:
        metadata.create_all(connection)
        connection.execute(text("INSERT INTO schema_version (version) VALUES (1)"))
    else:
        for step in steps[before - 1 :]:
            step(connection)
    connection.execute(text("UPDATE schema_version SET version = :newest"), {"newest": newest})
    for name, value in (
        (_ID, uuid.uuid4().hex),
        (CREATED_AT, repr(now)),
        (PURGED_AT, repr(now)),
    ):
        connection.execute(ADD_FACT, {"name": name, "value": value})
    return before, newest


def database_id(connection: Connection) -> str:
    """Return the id of this database, which no other has, not even a new one in its place."""
    return str(connection.execute(text("SELECT value FROM facts WHERE name = 'id'")).scalar_one())


def newest_version(steps: Sequence[Step] = STEPS) -> int:
    """Return the version that this program makes."""
    return 1 + len(steps)


def is_current(connection: Connection, steps: Sequence[Step] = STEPS) -> bool:
    """Whether the schema is the one this program knows; false when it has to be migrated first.

    Raises :class:`SchemaError` for a newer schema, and for an older one on PostgreSQL, which
    other hosts may still need as it is.
    """
    _refuse_encoding(connection)
    found, newest = version(connection), newest_version(steps)
    _refuse_newer(found, newest)
    if 0 < found < newest and connection.dialect.name == "postgresql":
        raise SchemaError(
            found,
            newest,
            f"The database's schema has version {found}, this program needs {newest}. "
            "Stop older relays and run `tracknow-relay migrate`.",
        )
    return found == newest


def _refuse_encoding(connection: Connection) -> None:
    """Refuse a PostgreSQL database that cannot store every text that Stripe sends."""
    if connection.dialect.name != "postgresql":
        return
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise SchemaError(
            0,
            newest_version(),
            f"The database's encoding is {encoding}. Accepted: UTF8, as made by "
            "`createdb --encoding=UTF8 --template=template0 NAME`.",
        )


def _refuse_newer(found: int, known: int) -> None:
    if found > known:
        raise SchemaError(
            found,
            known,
            f"The database's schema has version {found}, newer than the {known} that this program "
            "knows. Install the newer tracknow-static that made it.",
        )
