"""Group commit: requests that come together share one commit, which is what costs time.

One thread commits; it starts with the first event, in the process that takes it, so that a server
may fork after loading the application. While a commit waits for the disk, the next batch gathers
by itself.

A request waits on a lock, or on the future of an event loop; the loop is woken once for a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from tracknow_static.errors import RelayError, StorageError
from tracknow_static.relay import crash_points
from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracknow_static.relay.store.model import Accepted, NewEvent

log = logging.getLogger(__name__)

QUEUED = crash_points.declare("ingest.queued", "the event waits for the commit thread")
RELEASED = crash_points.declare(
    "ingest.released", "the batch is durable, its requests are released"
)

# More rows in a commit gain little and make the first of them wait longer.
_BATCH = 256
# Beyond it, waiting in Stripe's retry queue is better than waiting here.
_BACKLOG = 2048
_STOP_SECONDS = 5.0
# Between two lines of the log about a failure that goes on.
_LOG_SECONDS = 60.0
# A wait may take longer than its limit by this part of it.
_LATE = 0.1


class _Ticket:
    """One event on its way, and what its request waits for: a lock that is released, or a future."""

    __slots__ = ("abandoned", "accepted", "done", "error", "event", "future")

    def __init__(self, event: NewEvent, future: asyncio.Future[None] | None = None) -> None:
        self.event = event
        self.future = future
        self.done = threading.Lock()
        self.done.acquire()
        self.accepted: Accepted | None = None
        self.error: Exception | None = None
        self.abandoned = False

    def outcome(self) -> Accepted:
        """Return whether the event was new, or raise why it is not stored."""
        if self.accepted is None:
            raise self.error or StorageError("database", "the commit failed")
        return self.accepted

    def give_up(self) -> None:
        """Stop waiting: the commit may still come, but its caller has its answer."""
        self.abandoned = True
        self.error = StorageError("timeout", "no commit in time")
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


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
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        # The failure that was logged last, when it may be again, and the events since.
        self._logged, self._log_at, self._unlogged = "", 0.0, 0
        self._deadlines: WeakKeyDictionary[asyncio.AbstractEventLoop, Deadlines] = (
            WeakKeyDictionary()
        )

    def submit(self, event: NewEvent) -> Accepted:
        """Store one event; it is durable when this returns.

        Raises ``StorageError`` when it is not, or when that is not known in time.
        """
        ticket = _Ticket(event)
        self._enqueue(ticket)
        if not ticket.done.acquire(timeout=self._timeout):
            ticket.give_up()
        return ticket.outcome()

    async def submit_async(self, event: NewEvent) -> Accepted:
        """Do the same as :meth:`submit` without holding a thread."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        ticket = _Ticket(event, future)
        self._enqueue(ticket)
        deadlines = self._deadlines.get(loop)
        if deadlines is None:
            deadlines = self._deadlines[loop] = Deadlines(loop, self._timeout)
        deadlines.add(ticket)
        try:
            await future
        finally:
            deadlines.remove(ticket)
        return ticket.outcome()

    def stop(self) -> bool:
        """Commit what is queued and end the thread; a later event starts it again.

        Return whether it ended within five seconds.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            self._queue.put(None)
            # The next thread gets a queue of its own, or it might take this one's end for its own.
            self._queue = queue.SimpleQueue()
        if thread is not None:
            thread.join(_STOP_SECONDS)
        return thread is None or not thread.is_alive()

    def _enqueue(self, ticket: _Ticket) -> None:
        with self._lock:
            if self._thread is None:
                # A daemon: a hung disk must not keep the process from exiting. What it loses then
                # was never acknowledged.
                thread = threading.Thread(
                    target=self._run, args=(self._queue,), name="tracknow-commit", daemon=True
                )
                _start(thread)
                self._thread = thread
            if self._queue.qsize() >= _BACKLOG:
                raise StorageError("busy", f"{_BACKLOG} events wait for the database")
            self._queue.put(ticket)
        crash_points.reach(QUEUED)

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
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody may get "stored"
            if len(batch) > 1 and _may_be_one_event(error):
                # One event that cannot be stored fails no other one.
                for ticket in batch:
                    self._commit([ticket])
            else:
                self._fail(batch, error)
            return
        crash_points.reach(RELEASED)
        self._logged = ""
        for ticket, result in zip(batch, accepted, strict=True):
            ticket.accepted = result
        _release(batch)

    def _fail(self, batch: list[_Ticket], error: Exception) -> None:
        if isinstance(error, RelayError):
            self._log(len(batch), str(error))
        else:
            # Its text may hold anything; type and traceback have to do.
            name = type(error).__name__
            shown = counted(len(batch), "event")
            log.error("%s not stored: %s", shown, name, exc_info=error)
            error = StorageError("internal", name)
        for ticket in batch:
            ticket.error = error
        _release(batch)

    def _log(self, number: int, text: str) -> None:
        """Log a failure; while it goes on, once a minute, with the number of events since."""
        self._unlogged += number
        if text == self._logged and time.monotonic() < self._log_at:
            return
        log.error("%s not stored: %s", counted(self._unlogged, "event"), text)
        self._logged, self._log_at, self._unlogged = text, time.monotonic() + _LOG_SECONDS, 0


def _start(thread: threading.Thread) -> None:
    """Start a thread; the system may have none to give now (memory, a limit)."""
    try:
        thread.start()
    except RuntimeError as error:
        raise StorageError("busy", str(error)) from None


def _may_be_one_event(error: Exception) -> bool:
    """Whether a failure may be of one event's data, rather than of the database for all."""
    return getattr(error, "code", "") == "data" if isinstance(error, RelayError) else True


def _release(batch: list[_Ticket]) -> None:
    """Wake those who wait: each thread, and each event loop once."""
    futures: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for ticket in batch:
        if ticket.future is None:
            ticket.done.release()
        else:
            futures.setdefault(ticket.future.get_loop(), []).append(ticket.future)
    for loop, waiting in futures.items():
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, waiting)


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def _gather(waiting: queue.SimpleQueue[_Ticket | None]) -> tuple[list[_Ticket], bool]:
    """Wait for an event and take what waits with it; return whether it was the last."""
    taken = [waiting.get()]
    with contextlib.suppress(queue.Empty):
        while taken[-1] is not None and len(taken) < _BATCH:
            taken.append(waiting.get_nowait())
    # An abandoned ticket was answered with 503 already; Stripe sends the event again.
    batch = [ticket for ticket in taken if ticket is not None and not ticket.abandoned]
    return batch, taken[-1] is None


class Bounded(Protocol):
    """A wait that can be ended."""

    def give_up(self) -> None:
        """End the wait; called on the loop, at most once."""


class Deadlines:
    """The waits of one event loop, each ended after ``seconds``; use it on that loop alone.

    A timer for each would cost more than the rest of a short wait. All waits have the same length,
    so the oldest is the first to run out; it ends a little late, never early.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._ends: dict[Bounded, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, wait: Bounded) -> None:
        """Begin a wait."""
        self._ends[wait] = self._loop.time() + self._seconds
        if self._timer is None:
            self._sleep(self._seconds)

    def remove(self, wait: Bounded) -> None:
        """Forget a wait that has ended, by itself or by us."""
        self._ends.pop(wait, None)

    def _sleep(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds + self._seconds * _LATE, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        over = []
        for wait, end in self._ends.items():
            if end > now:
                self._sleep(end - now)
                break
            over.append(wait)
        for wait in over:
            self.remove(wait)
            wait.give_up()
