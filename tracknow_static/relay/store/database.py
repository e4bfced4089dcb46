"""The relay's database: an engine, durable settings, and turns at writing.

SQLite is used with a write-ahead log and ``synchronous=FULL``: when a commit returns, its bytes
have been synced. Its own way of waiting for a lock is a race of sleepers that starves some
processes for seconds, so writers first queue at a ``flock`` beside the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Double, cast, create_engine, event, extract, func, literal
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tracknow_static.errors import RelayError
from tracknow_static.relay.store import migrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Engine

    from tracknow_static.relay.config import RelayConfig

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: SQLite's own lock has to do
    fcntl = None  # type: ignore[assignment]

_Result = TypeVar("_Result")

# Not now(), the time when the transaction began, nor clock_timestamp(), which no index can serve.
_SERVER_CLOCK: ColumnElement[float] = cast(extract("epoch", func.statement_timestamp()), Double)
_READ_CLOCK = "SELECT extract(epoch FROM statement_timestamp())::float8"
_TRIES = 3
_BUSY_SECONDS = 5
_CONNECT_SECONDS = 5
# Pages of 4 KB in the write-ahead log before they are moved into the database. Whoever commits then
# waits for it: half of SQLite's default costs no throughput and makes the longest waits shorter.
_CHECKPOINT_PAGES = 500


class StorageError(RelayError):
    """The database did not take what it was given; ``code`` is short and stable."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


class Database:
    """One database, usable from threads.

    It opens itself on first use: the file is made, the schema is made, migrated or checked.
    Every use raises :class:`StorageError` (a ``RelayError`` with a stable ``code``) when the
    database cannot be reached, and ``migrations.SchemaError`` when its schema does not fit.

    ``url`` is an SQLAlchemy URL of SQLite or PostgreSQL. ``destinations`` are the URLs that every
    event stored from now on is delivered to; one that is added later gets later events only
    (``replay`` sends it older ones). ``clock`` replaces the database's clock (tests); times are
    Unix seconds.
    """

    steps: Sequence[migrations.Step] = migrations.STEPS

    def __init__(
        self,
        url: str,
        destinations: Sequence[str] = (),
        *,
        clock: Callable[[], float] | None = None,
        pool_size: int = 5,
    ) -> None:
        self.destinations = tuple(destinations)
        parsed = make_url(url)
        self.backend = parsed.get_backend_name()
        if self.backend == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.url = parsed
        self.path = Path(str(parsed.database)) if self.backend == "sqlite" else None
        self._clock = clock
        self._opening = threading.Lock()
        self._schema_fits = False
        self._turn = threading.Lock()
        self._lock_file: int | None = None
        self._inode: tuple[int, int] | None = None
        self._had_file = False
        self.engine = self._make_engine(pool_size)
        self._writing = self.engine.execution_options(tracknow_write=True)
        # Names this process among others, for instance as the writer of counters.
        self.identity = uuid.uuid4().hex
        self._raw: list[Any] = []

    @classmethod
    def from_config(
        cls, config: RelayConfig, *, clock: Callable[[], float] | None = None
    ) -> Database:
        """Return the database that a configuration names."""
        return cls(config.database, config.destinations, clock=clock)

    # -- opening ------------------------------------------------------------------------------

    def open(self) -> None:
        """Make or find the file, and make, migrate or check the schema; cheap when it is done."""
        if self._is_open:
            return
        with self._opening:
            if self._is_open:
                return
            self._prepare_file()
            # The first connection turns the file to write-ahead logging, for which SQLite waits for
            # nobody: of processes that start together on a fresh file, one would find it locked.
            with self.turn(), self._transaction() as connection:
                fits = migrations.is_current(connection, self.steps)
            if not fits:
                with self._write() as connection:
                    migrations.migrate(connection, self.steps)
            self._schema_fits = True

    def migrate(self) -> tuple[int, int]:
        """Bring the schema to the newest version; return the version before and after."""
        self._prepare_file()
        with self._write() as connection:
            return migrations.migrate(connection, self.steps)

    # -- time ---------------------------------------------------------------------------------

    def now(self) -> ColumnElement[float]:
        """Give the expression of the present time that all hosts agree on."""
        if self._clock is not None:
            return literal(float(self._clock()))
        if self.backend == "sqlite":
            return literal(time.time())
        return _SERVER_CLOCK

    def read_clock(self, connection: Connection) -> float:
        """Read the present time, for statements that take it as a value."""
        if self._clock is not None or self.backend == "sqlite":
            return float((self._clock or time.time)())
        return float(connection.exec_driver_sql(_READ_CLOCK).scalar_one())

    # -- transactions -------------------------------------------------------------------------

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Provide a connection for reading: one snapshot, no lock.

        Raises :class:`StorageError` when the database cannot be reached.
        """
        self.open()
        with self._transaction() as connection:
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Provide a connection in a transaction that is durable when the block ends.

        Raises :class:`StorageError` when it cannot be, and then nothing of it is stored.
        """
        self.open()
        with self._write() as connection:
            yield connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        self._check_file()
        with _as_storage_error(), self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _write(self) -> Iterator[Connection]:
        if self.path is None:
            with _as_storage_error(), self._writing.begin() as connection:
                yield connection
            return
        with self.turn():
            self._check_file()
            with _as_storage_error(), self._writing.begin() as connection:
                yield connection

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Keep others who write, in all processes, waiting until the block ends (SQLite)."""
        if self.path is None:
            yield
            return
        with self._turn, self._file_lock():
            yield

    def run(self, work: Callable[[Connection], _Result]) -> _Result:
        """Do ``work`` in a durable transaction, again if another one or the network was in its way.

        ``work`` may run several times and must be safe to repeat. Raises :class:`StorageError`.
        """
        return self._run(work, _TRIES)

    def _run(self, work: Callable[[Connection], _Result], tries: int) -> _Result:
        try:
            with self.write() as connection:
                return work(connection)
        except StorageError as error:
            if tries == 1 or not _transient(error):
                raise
        return self._run(work, tries - 1)

    def free_bytes(self) -> int | None:
        """Free space where the database grows, in bytes; None if it lives on another host.

        Raises :class:`StorageError` when its folder is gone.
        """
        if self.path is None:
            return None
        try:
            return shutil.disk_usage(self.path.parent).free
        except OSError as error:
            raise StorageError("database_gone", f"{self.path.parent}: {error.strerror}") from None

    def raw_connection(self) -> Any:
        """Return a driver connection of its own, outside the pool; the caller closes it."""
        self.open()
        with _as_storage_error():
            pooled = self.engine.raw_connection()
            driver = pooled.driver_connection
            pooled.detach()
            self._raw = [driver]
            return driver

    def _prepare_file(self) -> None:
        """Make the folder and an empty file that only this user reads; they hold personal data."""
        if self.path is None:
            return
        if self._had_file and not self.path.exists():
            # A volume may be away for a while: what a new file took would be lost when it is back.
            text = f"{self.path}: the file is gone; bring it back, or restart for a new one"
            raise StorageError("database_gone", text)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # An existing file must not be opened here: closing it would drop the locks that
            # SQLite holds on it for the whole process (sqlite.org/howtocorrupt.html, 2.2), and
            # another process could then delete the log that acknowledged events are in.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except OSError as error:
            raise StorageError("database_gone", f"{self.path}: {error.strerror}") from None
        self._remember_inode()

    def close(self) -> None:
        """Close every connection; the object stays usable."""
        self.engine.dispose()
        with self._turn:
            self._close_lock_file()

    def close_idle(self) -> int:
        """Close SQLite connections that are not at work, before a fork; return how many are."""
        if self.path is None:
            return 0
        pool: Any = self.engine.pool
        at_work = int(pool.checkedout())
        self.engine.dispose()
        raw, self._raw = self._raw, []
        for connection in raw:
            connection.close()
        return at_work

    def abandon(self) -> None:
        """Leave the database to the parent process; for a child that must not use it."""
        # Held by the child, too, the lock would outlive a parent that is killed.
        self._close_lock_file()

    # -- inner --------------------------------------------------------------------------------

    def _make_engine(self, pool_size: int) -> Engine:
        options: dict[str, Any] = {
            "pool_size": pool_size,
            "max_overflow": 20,
            "pool_timeout": 10,
            # An error's text goes to logs, and parameters are payloads.
            "hide_parameters": True,
        }
        if self.backend == "sqlite":
            options["connect_args"] = {"timeout": _BUSY_SECONDS, "check_same_thread": False}
        else:
            options["connect_args"] = {
                "connect_timeout": _CONNECT_SECONDS,
                # A host that vanished is noticed in seconds, not in the kernel's two hours.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 15_000,
                "application_name": "tracknow-relay",
                **self.url.query,
            }
        engine = create_engine(self.url, **options)
        if self.backend == "sqlite":
            event.listen(engine, "connect", _sqlite_connected)
            event.listen(engine, "begin", _sqlite_begin)
        else:
            event.listen(engine, "connect", _postgres_connected)
        return engine

    def _check_file(self) -> None:
        """Refuse to go on with a file that was deleted or replaced under us.

        SQLite would write on into a file that no longer has a name, and every acknowledged event
        would be lost with the last open handle.
        """
        if self.path is None or self._inode is None:
            return
        try:
            stat = os.stat(self.path)  # noqa: PTH116 - at every commit, and much faster
        except OSError as error:
            self._forget_file()
            raise StorageError("database_gone", f"{self.path}: {error.strerror}") from None
        if (stat.st_dev, stat.st_ino) != self._inode:
            self._forget_file()
            raise StorageError("database_gone", f"{self.path}: it was replaced")

    def _remember_inode(self) -> None:
        assert self.path is not None  # noqa: S101
        stat = self.path.stat()
        self._inode = (stat.st_dev, stat.st_ino)
        self._had_file = True

    def _forget_file(self) -> None:
        self._inode = None
        self.engine.dispose()

    def _close_lock_file(self) -> None:
        handle, self._lock_file = self._lock_file, None
        if handle is not None:
            os.close(handle)

    @property
    def _is_open(self) -> bool:
        return self._schema_fits and (self.path is None or self._inode is not None)

    @contextlib.contextmanager
    def _file_lock(self) -> Iterator[None]:
        if fcntl is None:  # pragma: no cover - Windows
            yield
            return
        handle = self._open_lock_file()
        if handle is None:
            yield
            return
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)

    def _open_lock_file(self) -> int | None:
        if self._lock_file is None:
            assert self.path is not None  # noqa: S101
            name = self.path.with_name(self.path.name + "-turn")
            try:
                self._lock_file = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            except OSError as error:
                if error.errno in (errno.ENOLCK, errno.ENOTSUP):
                    return None
                raise StorageError("database_gone", f"{name}: {error.strerror}") from None
        return self._lock_file


def _sqlite_connected(connection: Any, _record: object) -> None:
    # The driver's own transactions would begin late and deferred; `begin` states them instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    # Before the first table: lets a purge give space back to the disk.
    cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    cursor.execute("PRAGMA cache_size=-32000")
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    # A deferred transaction that turns to writing fails at once when another one wrote meanwhile.
    writes = connection.get_execution_options().get("tracknow_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres_connected(connection: Any, _record: object) -> None:
    # A server may be set up to acknowledge before the disk does; 200 means more than that here.
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )
    connection.commit()


@contextlib.contextmanager
def _as_storage_error() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        text = str(error.orig).strip().splitlines()
        raise StorageError(_code(str(error.orig)), text[0] if text else "unknown") from error
    except SQLAlchemyError as error:
        raise StorageError("database", str(error).splitlines()[0]) from error


def _transient(error: StorageError) -> bool:
    """Tell a deadlock, a conflict or a cut connection from what would only fail again."""
    cause = error.__cause__
    if not isinstance(cause, DBAPIError):
        return False
    # PostgreSQL's serialization_failure and deadlock_detected.
    state = getattr(cause.orig, "sqlstate", None)
    return cause.connection_invalidated or state in ("40001", "40P01")


def _code(text: str) -> str:
    lowered = text.lower()
    for part, code in (
        ("is full", "disk_full"),
        ("no space", "disk_full"),
        ("locked", "database_locked"),
        ("readonly", "database_readonly"),
        ("not a database", "not_a_database"),
    ):
        if part in lowered:
            return code
    return "database"
