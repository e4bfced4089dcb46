"""How a worker that sleeps learns that there is something to deliver, whoever stored it."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from tracknow_static.errors import RelayError
from tracknow_static.relay.store.schema import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.relay.store.database import Database

_Result = TypeVar("_Result")

# SQLite has no notifications between processes; looking whether the file changed costs 5 µs.
_LOOK_SECONDS = 0.1
# A wake-up within the process is noticed between two slices of LISTEN.
_LISTEN_SECONDS = 0.25


class OwnConnection:
    """A driver's connection outside the pool, which any thread may close.

    SQLite's driver crashes the process when one thread closes what another one is using, so it is
    closed between two uses.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._lock = threading.Lock()

    def use(self, work: Callable[[Any], _Result]) -> _Result:
        """Return what ``work`` makes of the driver's connection; raises the driver's errors."""
        with self._lock:
            return work(self._driver)

    def close(self) -> None:
        """Close it, once nobody uses it; a later use raises an error of the driver."""
        with self._lock:
            self._driver.close()


class WakeUp:
    """Sleeps until the database changes; a missed change costs a time-out, never an event."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._woken = threading.Event()
        self._connection: OwnConnection | None = None
        self._seen: int | None = None

    def wake(self) -> None:
        """End the wait of this process."""
        self._woken.set()

    def close(self) -> None:
        """Close the connection that listens; by the thread that waits."""
        self._drop()

    def wait(self, timeout: float) -> bool:
        """Sleep until woken, at most ``timeout`` seconds; return whether it was woken.

        It is woken at once when it begins to listen, the first time and after an outage.

        A database that is out of reach wakes nobody, so it waits all the time given.
        """
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            if self._woken.is_set() or self._changed(max(0.0, left)):
                self._woken.clear()
                return True
            if left <= 0:
                return False

    def _changed(self, left: float) -> bool:
        try:
            connection = self._connection
            if connection is None:
                self._connect()
                # What was stored before it listened is noticed by looking.
                return True
            if self._database.backend == "sqlite":
                return self._version_changed(connection, left)
            return connection.use(partial(_notified, min(left, _LISTEN_SECONDS)))
        except Exception as error:
            self._drop()
            driver: Any = self._database.engine.dialect.loaded_dbapi
            if not isinstance(error, (RelayError, driver.Error)):
                raise
            self._woken.wait(min(left, 1.0))
            return False

    def _connect(self) -> None:
        self._connection = self._database.own_connection()
        if self._database.backend == "postgresql":
            self._connection.use(_listen)
        else:
            self._seen = self._connection.use(_version)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._seen = None
        if connection is not None:
            connection.close()

    def _version_changed(self, connection: OwnConnection, left: float) -> bool:
        self._woken.wait(min(left, _LOOK_SECONDS))
        now = connection.use(_version)
        changed, self._seen = now != self._seen, now
        return changed


def _version(sqlite: Any) -> int:
    return int(sqlite.execute("PRAGMA data_version").fetchone()[0])


def _listen(postgresql: Any) -> None:
    postgresql.autocommit = True
    postgresql.execute(f"LISTEN {CHANNEL}")


def _notified(seconds: float, postgresql: Any) -> bool:
    return any(True for _ in postgresql.notifies(timeout=seconds, stop_after=1))
