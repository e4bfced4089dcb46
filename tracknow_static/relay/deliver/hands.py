"""The threads of a lane that talk to its destination: a job goes in, an answer comes out."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracknow_static.relay import crash_points
from tracknow_static.relay.deliver import verdict
from tracknow_static.relay.deliver.breaker import THRESHOLD
from tracknow_static.relay.deliver.sender import Answer, Sender
from tracknow_static.relay.deliver.verdict import Meaning

if TYPE_CHECKING:
    from tracknow_static.relay.deliver.sender import Network
    from tracknow_static.relay.store.model import Claimed

_log = logging.getLogger(__name__)

SENDING = crash_points.declare("deliver.sending", "an attempt begins")
SENT = crash_points.declare("deliver.sent", "the destination has answered, nobody knows it yet")

# A connection that idles for so long is closed.
_IDLE = 5.0


@dataclass(frozen=True)
class Job:
    """One delivery to attempt; with ``start_by`` (``time.monotonic``) over it is not begun."""

    claimed: Claimed
    probe: bool
    start_by: float


@dataclass(frozen=True)
class Done:
    """A job that came back; ``answer`` is None if nothing was sent."""

    job: Job
    answer: Answer | None


class Hands:
    """Up to ``number`` threads, started as they are needed; each keeps one connection.

    ``back`` gets every job back, and None for each call of :meth:`call`.
    """

    def __init__(self, destination: str, network: Network, number: int) -> None:
        self.back: queue.SimpleQueue[Done | None] = queue.SimpleQueue()
        # While it is set, jobs that are not begun come back unsent, except probes.
        self.shut = threading.Event()
        self.stopping = threading.Event()
        self._destination = destination
        self._network = network
        self._number = number
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._failed = 0

    def give(self, job: Job, *, under_way: int) -> None:
        """Hand a job to the next free thread; ``under_way`` counts it and those before it."""
        if len(self._threads) < min(self._number, under_way):
            thread = threading.Thread(target=self._work, name="relay-sender", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(job)

    def call(self) -> None:
        """Make whoever waits at ``back`` look up."""
        self.back.put(None)

    def dismiss(self) -> None:
        """Let every thread end once its job is done."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        with contextlib.closing(Sender(self._destination, self._network)) as sender:
            while True:
                try:
                    job = self._jobs.get(timeout=_IDLE)
                except queue.Empty:
                    sender.close()
                    job = self._jobs.get()
                if job is None:
                    return
                self.back.put(Done(job, self._attempt(sender, job)))

    def _attempt(self, sender: Sender, job: Job) -> Answer | None:
        closed = self.stopping.is_set() or (self.shut.is_set() and not job.probe)
        if closed or time.monotonic() > job.start_by:
            return None
        crash_points.reach(SENDING)
        try:
            answer = sender.send(job.claimed)
        except Exception:  # noqa: BLE001 - a thread that ends here would hold its job for ever
            _log.exception("attempt stumbled", extra={"event": job.claimed.event_id})
            sender.close()
            return Answer(error="internal")
        crash_points.reach(SENT)
        self._note(verdict.meaning(answer))
        return answer

    def _note(self, meant: Meaning) -> None:
        """Shut at once when the breaker is about to open: it does so a transaction later."""
        with self._lock:
            self._failed = 0 if meant.alive else self._failed + 1
            if self._failed >= THRESHOLD or meant in (Meaning.REFUSED, Meaning.BUSY):
                self.shut.set()

    def reopen(self) -> None:
        """Let jobs through again: the breaker is closed."""
        with self._lock:
            self._failed = 0
            self.shut.clear()
