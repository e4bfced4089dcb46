"""Everything that delivers in one process: as threads, as a worker, or once for cron.

Each destination has a worker with its own threads, so that one that hangs slows no other. A
dispatcher is made before a fork and started after it: nothing runs until :meth:`Dispatcher.start`.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracknow_static.relay.deliver.network import Network
from tracknow_static.relay.deliver.worker import MARGIN, DestinationWorker
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.wakeup import WakeUp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.database import Database

_log = logging.getLogger(__name__)

# Seconds after which a wait for new events ends, to see whether to stop.
_WATCH_SECONDS = 1.0
# Commits arrive in crowds: seconds between two wake-ups of the workers.
_WAKE_EVERY = 0.01
# Seconds that aborted attempts get to end.
_ABORT_SECONDS = 1.0
# Seconds after which a failed wait for new events begins again.
_FAILED_SECONDS = 5.0


@dataclass(frozen=True)
class Drained:
    """What a drain did, in numbers of deliveries.

    ``rejected`` were answered with ``success: false``. ``left`` were due and are not delivered: the time was over, or the destination is down or
    paused. ``lost`` leases ended before their attempts; another process delivers those.
    """

    delivered: int
    rejected: int
    retried: int
    dead: int
    lost: int
    left: int


class Dispatcher:
    """Delivers what the database holds for its destinations.

    At most ``concurrency`` attempts for each destination are under way. A lease lasts
    ``lease_seconds``, which must be over ``network.timeout`` by more than ``worker.MARGIN``
    (``ValueError`` otherwise). ``clock`` returns Unix time.
    """

    def __init__(
        self,
        database: Database,
        destinations: Sequence[str],
        network: Callable[[], Network],
        *,
        timeout: float,
        concurrency: int,
        lease_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self.wakeup = WakeUp(database)
        self.destinations = tuple(destinations)
        self.timeout = timeout
        self._network = network
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._workers: list[DestinationWorker] = []
        self._watcher: threading.Thread | None = None
        self._stopping = threading.Event()

    @classmethod
    def from_config(cls, config: RelayConfig, database: Database) -> Dispatcher:
        """Return the dispatcher that a configuration describes."""
        return cls(
            database,
            config.destinations,
            # Certificate authorities take 20 ms and 2 MB: only a process that delivers loads them.
            lambda: Network.make(
                private=config.allow_insecure_destinations,
                connect_timeout=min(config.connect_timeout, config.timeout),
                timeout=config.timeout,
            ),
            timeout=config.timeout,
            concurrency=config.concurrency,
            lease_seconds=config.lease_seconds,
        )

    @property
    def grace(self) -> float:
        """Seconds in which everything in flight ends, whatever the destinations do."""
        return self.timeout + MARGIN

    @property
    def running(self) -> bool:
        """Whether this process delivers in the background."""
        return bool(self._workers)

    def start(self) -> None:
        """Deliver in the background; does nothing, cheaply, when this process does already.

        When the interpreter exits, what is in flight gets ``grace`` seconds to end.
        """
        if self._workers:
            return
        with self._lock:
            if self._workers:
                return
            self._stopping = threading.Event()
            self._workers = self._make_workers(drain=False)
            self._watcher = threading.Thread(target=self._watch, name="relay-watch", daemon=True)
            for thread in (*self._workers, self._watcher):
                thread.start()
            atexit.register(self._stop_at_exit, os.getpid())

    def stop(self, timeout: float | None = None) -> bool:
        """Finish what is being sent, give back what is not, and end.

        Return whether all of it ended within ``timeout`` seconds (``grace`` when not given). What
        did not is aborted, and due again.
        """
        with self._lock:
            workers, self._workers = self._workers, []
            watcher, self._watcher = self._watcher, None
            self._stopping.set()
        self.wakeup.wake()
        ended = _stop(workers, self.grace if timeout is None else timeout)
        if watcher is not None and watcher.is_alive():
            # It uses the database, which its owner may close next.
            watcher.join(2 * _WATCH_SECONDS)
        atexit.unregister(self._stop_at_exit)
        return ended

    def _stop_at_exit(self, process: int) -> None:
        # A fork has none of the threads, and locks that nobody opens.
        if os.getpid() == process:
            self.stop()

    def run(self, stop: threading.Event, *, grace: float | None = None) -> bool:
        """Deliver until ``stop`` is set: the worker. Return what :meth:`stop` returns."""
        self.start()
        # A wait without a time-out cannot be interrupted by a signal on every platform.
        while not stop.wait(_WATCH_SECONDS):
            pass
        return self.stop(grace)

    def drain(self, seconds: float, *, stop: threading.Event | None = None) -> Drained:
        """Deliver what is due now and return, after ``seconds`` and ``grace`` at the latest.

        ``stop`` ends it early. It does not wait for destinations that are down.
        """
        workers = self._make_workers(drain=True)
        until = time.monotonic() + seconds
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            if time.monotonic() >= until or (stop is not None and stop.is_set()):
                break
            _join(workers, min(max(until - time.monotonic(), 0.0), 0.2))
        if not _stop(workers, self.grace):
            _log.warning("some attempts did not end in time; their events are sent again")
        total = sum((worker.tally for worker in workers), start=Counter())
        return Drained(
            delivered=total["delivered"],
            rejected=total["rejected"],
            retried=total["retry"],
            dead=total["dead"],
            lost=total["lost"],
            left=self._due(),
        )

    def _due(self) -> int:
        found = queries.status(self.database).destinations
        return sum(entry.due for entry in found if entry.destination in self.destinations)

    def _make_workers(self, *, drain: bool) -> list[DestinationWorker]:
        network = self._network()
        return [
            DestinationWorker(
                self.database,
                destination,
                network,
                concurrency=self._concurrency,
                lease_seconds=self._lease_seconds,
                drain=drain,
                clock=self._clock,
            )
            for destination in self.destinations
        ]

    def _watch(self) -> None:
        """Wake the workers whenever any process has stored something."""
        workers, stopping = self._workers, self._stopping
        try:
            while not stopping.wait(_WAKE_EVERY):
                if self._is_woken(stopping):
                    for worker in workers:
                        worker.wake()
        finally:
            # Here, where nothing else uses the connection: a stop waits for no database.
            self.wakeup.close()

    def _is_woken(self, stopping: threading.Event) -> bool:
        try:
            return self.wakeup.wait(_WATCH_SECONDS)
        except Exception:  # noqa: BLE001 - without it, events would wait for the next look
            _log.exception("waiting for new events failed and goes on")
            return not stopping.wait(_FAILED_SECONDS)


def _stop(workers: Sequence[DestinationWorker], seconds: float) -> bool:
    """Stop workers; return whether they ended in time. Attempts that did not are aborted."""
    for worker in workers:
        worker.stop()
    if _join(workers, seconds):
        return True
    for worker in workers:
        worker.abort()
    _join(workers, _ABORT_SECONDS)
    return False


def _join(workers: Sequence[DestinationWorker], seconds: float) -> bool:
    until = time.monotonic() + seconds
    for worker in workers:
        # One that the system would not start cannot be joined.
        if worker.is_alive():
            worker.join(max(until - time.monotonic(), 0.0))
    return not any(worker.is_alive() for worker in workers)
