"""The relay's database: an engine, durable settings, and transactions.

SQLite is used with a write-ahead log and ``synchronous=FULL``: when a commit returns, its bytes
have been synced.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
import uuid
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Double, cast, create_engine, event, extract, func, literal
from sqlalchemy.engine import make_url

from tracknow_static.errors import StorageError
from tracknow_static.relay.store import migrations
from tracknow_static.relay.store.errors import as_storage_error, is_transient
from tracknow_static.relay.store.model import WEBHOOK
from tracknow_static.relay.store.sqlite_file import PATIENCE_SECONDS, SqliteFile, listen
from tracknow_static.relay.store.wakeup import OwnConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import ColumnElement, Connection, Engine

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.sqlite_file import Seen

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

# Not now(), the time when the transaction began, nor clock_timestamp(), which no index can serve.
_SERVER_CLOCK: ColumnElement[float] = cast(extract("epoch", func.statement_timestamp()), Double)
# When the transaction began: `sales.ledger` relies on it.
_READ_CLOCK = "SELECT extract(epoch FROM now())::float8"
_TRIES = 3
_CONNECT_SECONDS = 5
# Pages given back to the disk while others wait to write.
_VACUUM_PAGES = 1000


class Database:
    """One database, usable from threads.

    It opens itself on first use: the file is made, the schema is made, migrated or checked.
    Every use raises :class:`StorageError` (a ``RelayError`` with a stable ``code``) when the
    database cannot be reached, and ``migrations.SchemaError`` when its schema does not fit.

    ``url`` is an SQLAlchemy URL of SQLite or PostgreSQL. ``destinations`` are the URLs that every
    event stored from now on is delivered to; one that is added later gets later events only
    (``replay`` sends it older ones). Those in ``signed`` get events with a signature only.
    For ``session_wait`` seconds after a charge came, its session may still follow.
    Without ``create`` a database that is
    not there is an error. ``clock`` replaces the database's clock (tests); times are
    Unix seconds.
    """

    steps: Sequence[migrations.Step] = migrations.STEPS

    def __init__(
        self,
        url: str,
        destinations: Sequence[str] = (),
        *,
        signed: Collection[str] = (),
        session_wait: float = 0.0,
        create: bool = True,
        clock: Callable[[], float] | None = None,
        pool_size: int = 5,
    ) -> None:
        self.destinations = tuple(destinations)
        self.signed = frozenset(signed)
        self.session_wait = session_wait
        parsed = make_url(url)
        self.backend = parsed.get_backend_name()
        if self.backend == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.url = parsed
        self.path = Path(str(parsed.database)) if self.backend == "sqlite" else None
        self._file = None if self.path is None else SqliteFile(self.path, create=create)
        self._clock = clock
        self._opening = threading.Lock()
        self._schema_fits = False
        self._id: str | None = None
        self.engine = self._make_engine(pool_size, create=create)
        self._writing = self.engine.execution_options(tracknow_write=True)
        # Names this process among others, for instance as the writer of counters.
        self.identity = uuid.uuid4().hex
        self._own: weakref.WeakSet[OwnConnection] = weakref.WeakSet()

    @classmethod
    def from_config(
        cls,
        config: RelayConfig,
        *,
        create: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> Database:
        """Return the database that a configuration names."""
        return cls(
            config.database,
            config.destinations,
            signed=config.signed_destinations,
            session_wait=config.forward_wait,
            create=create,
            clock=clock,
        )

    def destinations_of(self, source: str) -> tuple[str, ...]:
        """Return the destinations that get events of a source (``WEBHOOK`` or ``API``)."""
        if source == WEBHOOK or not self.signed:
            return self.destinations
        return tuple(url for url in self.destinations if url not in self.signed)

    # -- opening ------------------------------------------------------------------------------

    def open(self) -> None:
        """Make or find the file, and make, migrate or check the schema; cheap when it is done."""
        if self._is_open:
            return
        with self._opening:
            if self._is_open:
                return
            # Nobody else uses a file that came back before it is recognised.
            self._schema_fits = False
            self._prepare_file()
            # The first connection turns the file to write-ahead logging, for which SQLite waits for
            # nobody: of processes that start together on a fresh file, one would find it locked.
            with self.turn(), self._transaction(opening=True) as connection:
                fits = migrations.is_current(connection, self.steps)
            if not fits:
                if self._id is not None:
                    self._recognise("")
                with self._write(opening=True) as connection:
                    self._migrate(connection)
            with self._transaction(opening=True) as connection:
                found = migrations.database_id(connection)
            self._recognise(found)
            self._schema_fits = True

    def migrate(self) -> tuple[int, int]:
        """Bring the schema to the newest version; return the version before and after."""
        self._prepare_file()
        with self._write(opening=True) as connection:
            return self._migrate(connection)

    def _migrate(self, connection: Connection) -> tuple[int, int]:
        return migrations.migrate(connection, self.steps, now=self.read_clock(connection))

    def _prepare_file(self) -> None:
        if self._file is not None:
            self._file.prepare()

    def _recognise(self, found: str) -> None:
        """Refuse a database that took the place of the one this process began with."""
        if self._id is None:
            self._id = found
        elif found != self._id:
            self._lose_file()
            text = "another database took its place; bring it back, or restart for the new one"
            raise StorageError("database_replaced", f"{self.path or 'PostgreSQL'}: {text}")

    @property
    def _is_open(self) -> bool:
        return self._schema_fits and (self._file is None or self._file.is_known)

    # -- time ---------------------------------------------------------------------------------

    def now(self) -> ColumnElement[float]:
        """Return the expression of the present time that all hosts agree on."""
        if self._clock is not None:
            return literal(float(self._clock()))
        if self.backend == "sqlite":
            return literal(time.time())
        return _SERVER_CLOCK

    def read_clock(self, connection: Connection) -> float:
        """Read the time, of PostgreSQL that of the transaction's begin, to use it as a value."""
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
    def _transaction(self, *, opening: bool = False) -> Iterator[Connection]:
        with self._use():
            seen = self._look(opening)
            with as_storage_error(), self.engine.begin() as connection:
                yield connection
            self._check_file(seen)

    @contextlib.contextmanager
    def _write(self, *, opening: bool = False) -> Iterator[Connection]:
        with self.turn():
            seen = self._look(opening)
            with as_storage_error(), self._writing.begin() as connection:
                yield connection
            # What was committed into a file or a log without a name is not stored.
            self._check_file(seen)

    def _look(self, opening: bool) -> Seen | None:
        """Look at the file before a transaction; refuse one that is not recognised yet."""
        seen = self._check_file()
        if not (opening or self._is_open):
            # Another thread has found another file since this one began to wait for its turn.
            raise StorageError("database_gone", f"{self.path}: it is being opened again")
        return seen

    def _check_file(self, before: Seen | None = None) -> Seen | None:
        if self._file is None:
            return None
        try:
            return self._file.check(before)
        except StorageError as error:
            log.critical("%s", error)
            self._lose_file()
            raise

    def _lose_file(self) -> None:
        """Close every connection: the last one writes what its log holds into the file."""
        if self._file is not None:
            self.close_idle()
            self._file.forget()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Keep others who write, in all processes, waiting until the block ends (SQLite)."""
        with contextlib.nullcontext() if self._file is None else self._file.turn():
            yield

    def _use(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext() if self._file is None else self._file.use()

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
            if tries == 1 or not is_transient(error):
                raise
        return self._run(work, tries - 1)

    def free_bytes(self) -> int | None:
        """Free space where the database grows, in bytes; None if it lives on another host.

        Raises :class:`StorageError` when its folder is gone.
        """
        return None if self._file is None else self._file.free_bytes()

    def own_connection(self) -> OwnConnection:
        """Return a connection outside the pool; the caller closes it, and may find it closed."""
        self.open()
        with self._use(), as_storage_error():
            pooled = self.engine.raw_connection()
            own = OwnConnection(pooled.driver_connection)
            pooled.detach()
            self._own.add(own)
        return own

    def compact(self) -> None:
        """Return free pages to the disk, some at a time; PostgreSQL does so by itself."""
        if self._file is None:
            return
        self.open()
        # A log that is to become smaller waits for readers, and new events wait with it.
        mode = "TRUNCATE" if self._file.release_reserve() else "PASSIVE"
        with (
            self._file.use(),
            as_storage_error(),
            contextlib.closing(self.engine.raw_connection()) as pooled,
        ):
            # Outside of any transaction, in which a log cannot be emptied. Of the vacuum, `execute`
            # would do the first page only.
            connection: Any = pooled.driver_connection
            free = connection.execute("PRAGMA freelist_count").fetchone()[0]
            for _ in range(0, free + 1, _VACUUM_PAGES):
                with self.turn(), contextlib.suppress(sqlite3.OperationalError):
                    connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
                    connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        self._file.keep_reserve()

    def close(self) -> None:
        """Close every connection; the object stays usable."""
        with self._use():
            self.engine.dispose()
        if self._file is not None:
            self._file.forget_log()
            self._file.close()

    def close_idle(self) -> None:
        """Close SQLite connections that are not at work."""
        if self._file is not None:
            self.engine.dispose()
            for own in list(self._own):
                own.close()
            self._file.forget_log()

    def rest(self, seconds: float) -> bool:
        """Leave SQLite alone in all threads until :meth:`resume`; no connection stays open.

        Return whether what was at work ended within the seconds.
        """
        is_at_rest = self._file is None or self._file.rest(seconds)
        self.close_idle()
        return is_at_rest

    def resume(self) -> None:
        """Go on after :meth:`rest`."""
        if self._file is not None:
            self._file.resume()

    def abandon(self) -> None:
        """Leave the database to the parent process; for a child that must not use it."""
        if self._file is not None:
            self._file.abandon()

    # -- inner --------------------------------------------------------------------------------

    def _make_engine(self, pool_size: int, *, create: bool) -> Engine:
        options: dict[str, Any] = {
            "pool_size": pool_size,
            "max_overflow": 20,
            "pool_timeout": 10,
            # An error's text goes to logs, and parameters are payloads.
            "hide_parameters": True,
        }
        if self._file is not None:
            options["creator"] = self._file.connect
        else:
            options["connect_args"] = {
                "connect_timeout": _CONNECT_SECONDS,
                # A host that vanished is noticed in seconds, not in the kernel's two hours.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 15_000,
                "application_name": "tracknow-relay",
                # Not the server's: an SQL_ASCII database would give bytes for texts.
                "client_encoding": "utf8",
                # A migration, or a dump, may hold what a command waits for.
                **({} if create else {"options": f"-c lock_timeout={PATIENCE_SECONDS:g}s"}),
                **self.url.query,
            }
        engine = create_engine(self.url, **options)
        if self._file is not None:
            listen(engine, create=create)
        else:
            event.listen(engine, "connect", _postgres_connected)
        return engine


def _postgres_connected(connection: Any, _record: object) -> None:
    # A server may be set up to acknowledge before the disk does; 200 means more than that here.
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )
    connection.commit()
