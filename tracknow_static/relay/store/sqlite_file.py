"""The file behind an SQLite database: connections, whether it is still the one, whose turn it is.

SQLite writes on into a file that no longer has a name, and every event acknowledged then is lost
with the last open handle. So file and write-ahead log are looked at before and after each commit.

SQLite's own way of waiting for a lock is a race of sleepers that starves some processes for
seconds, so writers first queue at a ``flock`` beside the file.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from tracknow_static.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: SQLite's own lock has to do
    fcntl = None  # type: ignore[assignment]

_Inode = tuple[int, int]
# The file, and a number that changes when its log may be another one.
Seen = tuple[_Inode | None, int]

# How long a command waits for a relay that holds the database.
PATIENCE_SECONDS = 10.0
_BUSY_SECONDS = 5
# Pages of 4 KB in the write-ahead log before they are moved into the database. Whoever commits then
# waits for it: half of SQLite's default costs no throughput and makes the longest waits shorter.
_CHECKPOINT_PAGES = 500

_log = logging.getLogger(__name__)

# Twice what the log holds before it is emptied into the file.
_RESERVE_BYTES = 4_000_000


class SqliteFile:
    """One database file, with the log that SQLite keeps beside it.

    ``create`` is false for who only looks: a file that is not there is then an error, not made.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self._create = create
        self._inode: _Inode | None = None
        self._log_inode: _Inode | None = None
        self._was_there = False
        self._log_was_lost = False
        # Changes whenever the log may be another one from then on.
        self._epoch = 0
        # Held while the log is looked at, and while a connection is closed, which may delete it.
        self._looking = threading.Lock()
        self._turn = threading.Lock()
        self._lock_file: int | None = None
        # The threads that use SQLite, each with the number of its uses, one within another.
        self._users: Counter[int] = Counter()
        self._users_change = threading.Condition()
        self._rests = False

    @property
    def is_known(self) -> bool:
        """Whether the file was found or made, and has not been lost since."""
        return self._inode is not None

    def prepare(self) -> None:
        """Find the file, or make it with its folder; only this user reads them: personal data.

        Raises :class:`StorageError` when that is not possible.
        """
        if self._log_was_lost:
            raise self._lost_log()
        if self.path.is_dir():
            raise StorageError("database_gone", f"{self.path}: it is a folder")
        if not self.path.exists():
            if self._was_there:
                # A volume may be away for a while: what a new file took would be lost later.
                text = f"{self.path}: the file is gone; bring it back, or restart for a new one"
                raise StorageError("database_gone", text)
            if not self._create:
                text = f"{self.path}: there is no database; serve, worker and migrate make one"
                raise StorageError("database_gone", text)
        try:
            if not self._was_there:
                self._make()
            self._inode = _inode(self.path)
        except OSError as error:
            raise StorageError("database_gone", f"{self.path}: {error.strerror}") from None
        self._was_there = True
        if not self.keep_reserve() and self._create:
            _log.warning(
                "%s: no room was set aside for the purge of a full disk: it takes %d MB of free space",
                self.path.parent,
                4 * _RESERVE_BYTES // 1_000_000,
            )

    def _make(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # An existing file must not be opened here: closing it would drop the locks that
        # SQLite holds on it for the whole process (sqlite.org/howtocorrupt.html, 2.2), and
        # another process could then delete the log that acknowledged events are in.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def connect(self) -> sqlite3.Connection:
        """Return a connection of the driver to the file, which has to be there."""
        connection = self._connect()
        try:
            if not self._create:
                connection.execute("SELECT 1 FROM sqlite_master LIMIT 1")
        except sqlite3.OperationalError as error:
            connection.close()
            if error.sqlite_errorcode != sqlite3.SQLITE_IOERR_SHMSIZE:
                raise
            # On a full disk there is no room for the log's index, unless a relay runs and has made
            # one: who is alone keeps it in memory (sqlite.org/wal.html, 8).
            connection = self._connect()
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        return connection

    def _connect(self) -> sqlite3.Connection:
        made_by: Any = partial(_Connection, self)
        # "rw": SQLite would make an empty file where ours has just gone (sqlite.org/uri.html).
        mode = "mode=ro&immutable=1" if self._is_copy else "mode=rw"
        try:
            opened: sqlite3.Connection = sqlite3.connect(
                f"{self.path.as_uri()}?{mode}",
                uri=True,
                timeout=_BUSY_SECONDS,
                check_same_thread=False,
                factory=made_by,
            )
        except sqlite3.OperationalError:
            if self.path.exists():
                raise
            raise StorageError("database_gone", f"{self.path}: the file is gone") from None
        return opened

    @property
    def _is_copy(self) -> bool:
        """Whether to look at what nobody writes: it has no log, and we cannot make one."""
        can_write = self._create or os.access(self.path.parent, os.W_OK)
        return not can_write and not os.path.exists(self._log)  # noqa: PTH110 - a name only

    def check(self, before: Seen | None = None) -> Seen:
        """Raise :class:`StorageError` when file or log were deleted or replaced under us.

        Return what was seen, for the look after a transaction that uses it. The log is remembered
        then, once a connection has opened it: SQLite itself replaces one that belongs to no
        database.
        """
        inode, epoch = before or (self._inode, self._epoch)
        self._expect(inode)
        with self._looking:
            if epoch != self._epoch:
                return inode, epoch
            try:
                log = _inode(self._log)
            except OSError:
                log = None
            if self._log_inode is None:
                self._log_inode = None if before is None else log
            elif log != self._log_inode:
                # The whole folder may have gone between the two looks: it can come back.
                self._expect(inode)
                self._log_was_lost = True
                raise self._lost_log()
        return inode, epoch

    def _expect(self, inode: _Inode | None) -> None:
        try:
            found = _inode(self.path)
        except OSError as error:
            raise StorageError("database_gone", f"{self.path}: {error.strerror}") from None
        if found != inode:
            raise StorageError("database_gone", f"{self.path}: it was replaced")

    def forget(self) -> None:
        """Look for the file anew the next time; every connection to it is closed."""
        self._inode = None
        self.forget_log()

    def forget_log(self) -> None:
        """Expect another log: SQLite deletes it when the last connection is closed."""
        with self._looking:
            self._expect_another_log()

    def close_connection(self, close: Callable[[], None]) -> None:
        """Close one connection: it may be the last one."""
        with self._looking:
            self._expect_another_log()
            close()

    def _expect_another_log(self) -> None:
        self._epoch += 1
        self._log_inode = None

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Keep others who write, in all processes, waiting until the block ends."""
        with self.use(), self._turn, self._lock():
            yield

    @contextlib.contextmanager
    def use(self) -> Iterator[None]:
        """Mark the block as one that uses SQLite; it begins when there is no :meth:`rest`."""
        thread = threading.get_ident()
        with self._users_change:
            while self._rests and thread not in self._users:
                self._users_change.wait()
            self._users[thread] += 1
        try:
            yield
        finally:
            with self._users_change:
                self._users[thread] -= 1
                if not self._users[thread]:
                    del self._users[thread]
                self._users_change.notify_all()

    def rest(self, seconds: float) -> bool:
        """Let no use begin until :meth:`resume`; return whether all ended within the seconds.

        A fork copies the locks within SQLite as they are: nobody would open them in the child.
        """
        with self._users_change:
            self._rests = True
            return self._users_change.wait_for(lambda: not self._users, seconds)

    def resume(self) -> None:
        """Let uses begin again."""
        with self._users_change:
            self._rests = False
            self._users_change.notify_all()

    def free_bytes(self) -> int:
        """Return the free space in the file's folder; raise :class:`StorageError` without it."""
        try:
            return shutil.disk_usage(self.path.parent).free
        except OSError as error:
            raise StorageError("database_gone", f"{self.path.parent}: {error.strerror}") from None

    def keep_reserve(self) -> bool:
        """Set some room aside, if there is plenty, for the purge that will empty a full disk.

        SQLite can neither free a page nor empty its log without writing first. Return whether there
        is such room.
        """
        reserve = self._reserve
        with contextlib.suppress(OSError, StorageError):
            if reserve.exists():
                return True
            if self.free_bytes() < 4 * _RESERVE_BYTES:
                return False
            handle = os.open(reserve, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                return os.write(handle, bytes(_RESERVE_BYTES)) == _RESERVE_BYTES
            finally:
                os.close(handle)
        return False

    def release_reserve(self) -> bool:
        """Use what was set aside if the disk is full; return whether it is."""
        is_full = self.free_bytes() < _RESERVE_BYTES
        if is_full:
            self._reserve.unlink(missing_ok=True)
        return is_full

    @property
    def _reserve(self) -> Path:
        return self.path.with_name(self.path.name + "-reserve")

    def close(self) -> None:
        """Close the file that the turns are taken at, unless a thread of ours waits at it."""
        if self._turn.acquire(blocking=False):
            try:
                self.abandon()
            finally:
                self._turn.release()

    def abandon(self) -> None:
        """Close it in a forked child, where the lock would outlive a parent that is killed."""
        handle, self._lock_file = self._lock_file, None
        if handle is not None:
            os.close(handle)

    @property
    def _log(self) -> str:
        return f"{self.path}-wal"

    def _lost_log(self) -> StorageError:
        text = (
            f"{self._log}: SQLite's log was deleted or replaced while the relay ran. Nothing more "
            "is stored until the relay is restarted"
        )
        return StorageError("log_lost", text)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        handle = self._open_lock_file()
        if handle is None:
            yield
            return
        if self._create:
            fcntl.flock(handle, fcntl.LOCK_EX)
        else:
            self._lock_in_time(handle)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)

    def _lock_in_time(self, handle: int) -> None:
        """Wait for the turn as long as a person would."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > end:
                    reason = f"another process has been writing for {PATIENCE_SECONDS:g} s"
                    raise StorageError("database_locked", f"{self.path}: {reason}") from None
                time.sleep(0.02)
            else:
                return

    def _open_lock_file(self) -> int | None:
        if fcntl is None:  # pragma: no cover - Windows
            return None
        if self._lock_file is None:
            name = self.path.with_name(self.path.name + "-turn")
            try:
                self._lock_file = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            except OSError as error:
                if error.errno in (errno.ENOLCK, errno.ENOTSUP) or self._is_copy:
                    return None
                raise StorageError("database_gone", f"{name}: {error.strerror}") from None
        return self._lock_file


class _Connection(sqlite3.Connection):
    """A connection to a file that learns of its end."""

    def __init__(self, file: SqliteFile, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._file = file

    def close(self) -> None:
        self._file.close_connection(super().close)


def _inode(path: str | Path) -> _Inode:
    stat = os.stat(path)  # noqa: PTH116 - at every commit, and much faster
    return stat.st_dev, stat.st_ino


def listen(engine: Engine, *, create: bool) -> None:
    """Set up each connection of an engine, and begin its transactions as we mean them."""
    event.listen(engine, "connect", partial(_connected, create=create))
    event.listen(engine, "begin", _begin)


def _connected(connection: Any, _record: object, *, create: bool) -> None:
    # The driver's own transactions would begin late and deferred; `begin` states them instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    if create:
        # Before the first table: lets a purge give space back to the disk. It would write here.
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    cursor.execute("PRAGMA cache_size=-32000")
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A deferred transaction that turns to writing fails at once when another one wrote meanwhile.
    writes = connection.get_execution_options().get("tracknow_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
