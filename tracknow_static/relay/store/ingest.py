"""Receiving events: commits shared by requests, a floor of free space, and counters."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from tracknow_static.errors import RelayError, StorageError
from tracknow_static.relay.store import events
from tracknow_static.relay.store.group_commit import Writer
from tracknow_static.relay.store.watch import is_low

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import Accepted, NewEvent

log = logging.getLogger(__name__)

# How long a look at the disk counts that found room: far less than it takes to fill the floor.
_ROOM_SECONDS = 1.0
_CLOSE_SECONDS = 5.0


class Ingest:
    """Stores events as they arrive; safe to use from threads.

    ``min_free_bytes`` is the free space under which nothing is stored; a caller waits for its
    commit at most ``commit_timeout`` seconds. ``on_commit`` is called after each commit.
    """

    def __init__(
        self,
        database: Database,
        *,
        min_free_bytes: int = 0,
        commit_timeout: float = 8.0,
        on_commit: Callable[[], None] | None = None,
    ) -> None:
        self.database = database
        self.min_free_bytes = min_free_bytes
        self._on_commit = on_commit
        self._room_until = 0.0
        self._counted: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._writer = Writer(self.store, timeout=commit_timeout)

    @classmethod
    def from_config(
        cls,
        config: RelayConfig,
        database: Database,
        *,
        on_commit: Callable[[], None] | None = None,
    ) -> Ingest:
        """Return the ingest that a configuration describes."""
        return cls(
            database,
            min_free_bytes=config.min_free_bytes,
            commit_timeout=config.commit_timeout,
            on_commit=on_commit,
        )

    def accept(self, event: NewEvent) -> Accepted:
        """Store an event and its deliveries; when this returns they are durable.

        Calls that arrive together share one commit. Raises ``StorageError`` when the event is not,
        or not surely, stored, and ``SchemaError``.
        """
        return self._writer.submit(event)

    async def accept_async(self, event: NewEvent) -> Accepted:
        """Do the same as :meth:`accept` on an event loop, where waiting holds no thread."""
        return await self._writer.submit_async(event)

    def store(self, batch: Sequence[NewEvent]) -> list[Accepted]:
        """Store a batch in one commit, in the caller's thread, however long that takes.

        Raises as :meth:`accept` does, and then nothing of it is stored.
        """
        self.database.open()
        self._check_disk()
        counted = self._take_counted()
        try:
            accepted = events.store(self.database, batch, counted)
        except BaseException:
            self._put_back(counted)
            raise
        if self._on_commit is not None:
            self._on_commit()
        return accepted

    def count(self, name: str, number: int = 1) -> None:
        """Add to a counter of all processes; it is stored with the next commit or `flush`."""
        with self._lock:
            self._counted[name, ""] += number

    def flush(self) -> None:
        """Store what was counted since the last commit."""
        counted = self._take_counted()
        if counted:
            try:
                events.add_tallies(self.database, counted)
            except BaseException:
                self._put_back(counted)
                raise

    def close(self) -> None:
        """Store what is queued, stop the thread, and store the counters; end within a bound."""
        if self._writer.stop() and self._counted:
            # Its turn may not come while another process holds the database.
            last = threading.Thread(target=self._flush_last, name="relay-flush", daemon=True)
            last.start()
            last.join(_CLOSE_SECONDS)

    def _flush_last(self) -> None:
        try:
            self.flush()
        except RelayError as error:
            log.warning("counters not stored: %s", error)

    def _take_counted(self) -> Counter[tuple[str, str]]:
        with self._lock:
            counted, self._counted = self._counted, Counter()
        return counted

    def _put_back(self, counted: Counter[tuple[str, str]]) -> None:
        with self._lock:
            self._counted.update(counted)

    def _check_disk(self) -> None:
        """Refuse when the disk is under its floor; a look that found room counts for a second."""
        if not self.min_free_bytes or time.monotonic() < self._room_until:
            return
        free = self.database.free_bytes()
        if free is not None and is_low(free, self.min_free_bytes):
            raise StorageError("disk_low", f"{free // 1_000_000} MB are free on the disk")
        self._room_until = time.monotonic() + _ROOM_SECONDS
