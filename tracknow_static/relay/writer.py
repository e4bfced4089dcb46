"""Group commit: requests that come together share one commit, which is what costs time.

One thread commits; it starts with the first event, in the process that takes it, so that a server
may fork after loading the application. While a commit waits for the disk, the next batch gathers
by itself.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from typing import TYPE_CHECKING

from tracknow_static.errors import RelayError
from tracknow_static.relay import points
from tracknow_static.relay.database import StorageError
from tracknow_static.relay.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracknow_static.relay.records import Accepted, NewEvent

log = logging.getLogger(__name__)

QUEUED = points.declare("ingest.queued", "the event waits for the commit thread")
RELEASED = points.declare("ingest.released", "the batch is durable, its requests are told")

# More rows in a commit gain little and make the first of them wait longer.
_BATCH = 256
# Beyond it, waiting in Stripe's retry queue is better than waiting here.
_BACKLOG = 2048
_STOP_SECONDS = 10.0


class _Ticket:
    """One event on its way, and the lock that its request sleeps on."""

    __slots__ = ("abandoned", "accepted", "done", "error", "event")

    def __init__(self, event: NewEvent) -> None:
        self.event = event
        self.done = threading.Lock()
        self.done.acquire()
        self.accepted: Accepted | None = None
        self.error: Exception | None = None
        self.abandoned = False


class Writer:
    """Stores events in batches through ``store``, which commits durably or raises.

    ``timeout`` bounds, in seconds, how long a caller waits for its commit: a disk that hangs
    becomes an answer. A commit that was under way then may still succeed; the event comes again
    and is recognised.
    """

    def __init__(
        self, store: Callable[[Sequence[NewEvent]], list[Accepted]], *, timeout: float
    ) -> None:
        self._store = store
        self._timeout = timeout
        self._queue: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget the parent's thread and queue."""
        self._queue = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread = None

    def submit(self, event: NewEvent) -> Accepted:
        """Store one event; it is durable when this returns.

        Raises ``StorageError`` when it is not, or when that is not known in time.
        """
        if self._thread is None:
            self._start()
        if self._queue.qsize() >= _BACKLOG:
            raise StorageError("busy", f"{_BACKLOG} events wait for the database")
        ticket = _Ticket(event)
        self._queue.put(ticket)
        points.reach(QUEUED)
        if not ticket.done.acquire(timeout=self._timeout):
            ticket.abandoned = True
            raise StorageError("timeout", f"no commit within {self._timeout:g} s")
        if ticket.accepted is None:
            raise ticket.error or StorageError("database", "the commit failed")
        return ticket.accepted

    def stop(self) -> None:
        """Commit what is queued and end the thread; a later event starts it again."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(_STOP_SECONDS)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                # A daemon: a hung disk must not keep the process from exiting. What it loses then
                # was never acknowledged.
                thread = threading.Thread(
                    target=self._run, args=(self._queue,), name="tracknow-commit", daemon=True
                )
                thread.start()
                self._thread = thread

    def _run(self, waiting: queue.SimpleQueue[_Ticket | None]) -> None:
        while True:
            batch, last = _gather(waiting)
            if batch:
                self._commit(batch)
            if last:
                return

    def _commit(self, batch: list[_Ticket]) -> None:
        try:
            accepted = self._store([ticket.event for ticket in batch])
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody may be told "stored"
            self._fail(batch, error)
            return
        points.reach(RELEASED)
        for ticket, one in zip(batch, accepted, strict=True):
            ticket.accepted = one
            ticket.done.release()

    def _fail(self, batch: list[_Ticket], error: Exception) -> None:
        if isinstance(error, RelayError):
            log.error("%d events not stored: %s", len(batch), error)
        else:
            # Its text may hold anything; type and traceback have to do.
            name = type(error).__name__
            log.error("%d events not stored: %s", len(batch), name, exc_info=error)
            error = StorageError("internal", name)
        for ticket in batch:
            ticket.error = error
            ticket.done.release()


def _gather(waiting: queue.SimpleQueue[_Ticket | None]) -> tuple[list[_Ticket], bool]:
    """Wait for an event and take what waits with it; tells whether it was the last."""
    taken = [waiting.get()]
    with contextlib.suppress(queue.Empty):
        while taken[-1] is not None and len(taken) < _BATCH:
            taken.append(waiting.get_nowait())
    # An abandoned one was answered with 503 already; Stripe sends the event again.
    batch = [one for one in taken if one is not None and not one.abandoned]
    return batch, taken[-1] is None
