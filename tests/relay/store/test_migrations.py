"""Versions of the schema: fresh, older, newer, and several processes at once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import inspect, text

from tests.events import purchase
from tests.relay.calls import DESTINATION, code, post, relay
from tests.relay.store import version_1
from tests.relay.store.parts import accept
from tracknow_static.errors import StorageError
from tracknow_static.relay.store import leases, migrations, queries
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.migrations import SchemaError
from tracknow_static.relay.store.model import Filter, NewEvent
from tracknow_static.relay.store.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from tests.relay.conftest import Postgres


def add_note(connection: Connection) -> None:
    """A step that changes a table that carries data."""
    connection.execute(text("ALTER TABLE events ADD COLUMN note TEXT"))
    connection.execute(text("UPDATE events SET note = 'of ' || id"))


def fail(connection: Connection) -> None:
    """A step that gets half way."""
    connection.execute(text("ALTER TABLE events ADD COLUMN half TEXT"))
    connection.execute(text("SELECT nonsense FROM nowhere"))


NEWEST = migrations.newest_version()
NEXT = (*migrations.STEPS, add_note)


def columns(database: Database, table: str) -> list[str]:
    """Names of a table's columns."""
    with database.read() as connection:
        return [one["name"] for one in inspect(connection).get_columns(table)]


def with_steps(url: str, steps: Sequence[migrations.Step] = NEXT) -> Database:
    """The database as a program opens it whose newest version is made by these steps."""
    database = Database(url, [DESTINATION])
    database.steps = steps
    return database


def filled(url: str) -> Database:
    """A database that holds one event."""
    database = Database(url, [DESTINATION])
    accept(database, NewEvent("evt_1", "charge.succeeded", b"kept"))
    return database


@pytest.fixture
def first_version(database_url: str) -> str:
    """URL of a database of version 1: a delivered session and its charge, which is pending."""
    engine = Database(database_url)
    if engine.path is not None:
        engine.path.parent.mkdir(parents=True)
        engine.path.touch()
    with engine.engine.begin() as connection:
        version_1.fill(connection, DESTINATION, b"kept")
    engine.close()
    return database_url


def test_the_first_version_is_read_or_refused(first_version: str) -> None:
    """SQLite is migrated when it is opened; PostgreSQL is refused until `migrate` is run."""
    database = Database(first_version, [DESTINATION])
    if database.backend == "postgresql":
        with pytest.raises(SchemaError, match=r"has version 1, .* run `tracknow-relay migrate`"):
            queries.status(database)
        assert database.migrate() == (1, NEWEST)
    session, charge = queries.find(database, Filter(reference="click_1")).events
    assert (session.id, charge.id, charge.reference_found) == ("evt_1", "evt_2", "click_1")
    (pending,) = leases.claim(database, limit=9, lease_seconds=60)
    assert (pending.event_id, pending.payload) == ("evt_2", b"kept")
    assert queries.status(database).tallies["accepted", ""] == 2
    assert not accept(database, NewEvent("evt_1", "charge.succeeded", b"again")).new
    database.close()


def test_a_fresh_database_has_the_schema_that_the_code_uses(database_url: str) -> None:
    """Tables, columns, nullability and indexes are those of `schema`."""
    check_schema(Database(database_url))


def test_a_migrated_database_has_the_same_schema(first_version: str) -> None:
    """The steps lead to what is made at once."""
    check_schema(Database(first_version))


def check_schema(database: Database) -> None:
    """Migrate a database and compare what is there with `schema`."""
    database.migrate()
    with database.read() as connection:
        found = inspect(connection)
        assert set(found.get_table_names()) == set(metadata.tables)
        for name, table in metadata.tables.items():
            there = {one["name"]: one["nullable"] for one in found.get_columns(name)}
            assert there == {one.name: one.nullable for one in table.columns}
            indexes = {one["name"]: one["column_names"] for one in found.get_indexes(name)}
            wanted = {one.name: [column.name for column in one.columns] for one in table.indexes}
            # A unique constraint has an index of its own, which PostgreSQL lists.
            assert {key: of for key, of in indexes.items() if key in wanted} == wanted
            assert {str(key) for key in indexes if str(key).startswith("events_")} <= set(wanted)
    database.close()


def test_fresh_database_is_made_and_left_alone(database_url: str) -> None:
    """The first migration makes everything, a second one nothing."""
    database = Database(database_url)
    assert database.migrate() == (0, NEWEST)
    assert database.migrate() == (NEWEST, NEWEST)
    database.close()


def test_old_data_survive_an_upgrade(database_url: str) -> None:
    """A step over a database in use keeps events and deliveries, and they are delivered."""
    database = filled(database_url)
    with contextlib.closing(with_steps(database_url)) as newer:
        assert newer.migrate() == (NEWEST, NEWEST + 1)
    with database.read() as connection:
        assert connection.execute(text("SELECT note FROM events")).scalar() == "of evt_1"
    assert [one.payload for one in leases.claim(database, limit=9, lease_seconds=60)] == [b"kept"]
    database.close()


def test_failed_step_leaves_everything_as_it_was(database_url: str) -> None:
    """A migration that fails half way leaves the version before, whole and in use."""
    database = filled(database_url)
    newer = with_steps(database_url, (*NEXT, fail))
    with pytest.raises(StorageError):
        newer.migrate()
    newer.close()
    assert not {"note", "half"} & set(columns(database, "events"))
    assert queries.status(database).schema_version == NEWEST
    assert accept(database, NewEvent("evt_2", "charge.succeeded", b"")).new
    database.close()


def test_processes_that_migrate_at_once_take_turns(database_url: str) -> None:
    """Of several that open an empty database at the same time one makes the tables."""

    def work(_: int) -> tuple[int, int]:
        with contextlib.closing(with_steps(database_url)) as database:
            return database.migrate()

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(work, range(6)))
    newest = NEWEST + 1
    assert sorted(found) == [(0, newest), *[(newest, newest)] * 5]


def test_sqlite_is_migrated_when_opened(sqlite_url: str) -> None:
    """A merchant who updates the package has nothing to do."""
    filled(sqlite_url).close()
    with contextlib.closing(with_steps(sqlite_url)) as newer:
        assert "note" in columns(newer, "events")


def test_postgresql_waits_for_its_operator(postgres_url: str) -> None:
    """A database that other hosts use is not changed by the first that is updated."""
    database = filled(postgres_url)
    newer = with_steps(postgres_url)
    with pytest.raises(SchemaError, match="tracknow-relay migrate") as caught:
        newer.open()
    newer.close()
    assert (caught.value.found, caught.value.known) == (NEWEST, NEWEST + 1)
    assert "note" not in columns(database, "events")
    database.close()


def test_newer_schema_is_refused(database_url: str) -> None:
    """An older program touches nothing of a newer database, answers 503, and says why."""
    database = filled(database_url)
    database.close()
    with contextlib.closing(with_steps(database_url)) as newer:
        newer.migrate()
    application = relay(database_url)
    with pytest.raises(SchemaError, match=f"newer than the {NEWEST} that this program knows"):
        queries.find(application.database, Filter())
    with pytest.raises(SchemaError):
        application.database.migrate()
    assert code(post(application, purchase())) == (503, "storage_unavailable")
    application.database.close()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_another_encoding_is_refused(postgres: Postgres, encoding: str) -> None:
    """A database that cannot store every text of Stripe's is refused before it has any."""
    name = f"other_{encoding.lower()}_{os.getpid()}"
    postgres.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'")
    database = Database(postgres.url(name))
    for use in (database.open, database.migrate):
        with pytest.raises(SchemaError, match=f"encoding is {encoding}. Accepted: UTF8"):
            use()
    database.close()


def test_file_of_something_else(fast_path: Path) -> None:
    """A file that is no database is refused and not touched."""
    file = fast_path / "notes.txt"
    file.write_text("not a database " * 100)
    database = Database(f"sqlite:///{file}", [DESTINATION])
    with pytest.raises(StorageError) as caught:
        queries.status(database)
    assert caught.value.code == "not_a_database"
    assert file.read_text().startswith("not a database ")
    database.close()


_LOOK = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM events').close()"


def test_another_process_leaves_the_log_alone(sqlite_url: str) -> None:
    """A process that looks at the file and goes does not take away the log that we write to.

    It would, if anything in our process had dropped SQLite's locks, and what is acknowledged
    afterwards would be lost.
    """
    database = filled(sqlite_url)
    path = database.path
    assert path is not None
    log = path.with_name(path.name + "-wal")
    before = log.stat().st_ino
    subprocess.run([sys.executable, "-c", _LOOK, str(path)], check=True)
    assert log.stat().st_ino == before
    database.close()


def test_file_is_private(sqlite_url: str) -> None:
    """Purchases are personal data: nobody but the user reads folder and files."""
    database = filled(sqlite_url)
    path = database.path
    assert path is not None
    assert path.parent.stat().st_mode & 0o077 == 0
    assert [one.name for one in path.parent.iterdir() if one.stat().st_mode & 0o077] == []
    database.close()


def test_commits_are_synced(database_url: str) -> None:
    """The connection that stores waits for the disk: FULL on SQLite with WAL, on on PostgreSQL."""
    database = filled(database_url)
    with database.write() as connection:
        if database.backend == "sqlite":
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        else:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
            assert connection.exec_driver_sql("SHOW fsync").scalar() == "on"
    database.close()


def test_server_that_does_not_wait_is_told_to(postgres_url: str, postgres: Postgres) -> None:
    """A database set to acknowledge before its disk does is overruled for our sessions."""
    database = Database(postgres_url)
    postgres.sql(f"ALTER DATABASE {database.url.database} SET synchronous_commit = off")
    with database.write() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    database.close()
