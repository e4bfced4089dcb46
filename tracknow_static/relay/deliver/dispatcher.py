"""The courier: everything that delivers in one process, as a thread, a worker or a single round.

Each destination has a lane of its own with its own threads, so that one that hangs slows no other.
A courier is made before a fork and started after it: nothing runs until :meth:`Courier.start`.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracknow_static.relay.deliver.sender import Network
from tracknow_static.relay.deliver.worker import MARGIN, Lane
from tracknow_static.relay.forks import renew_after_fork
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.database import StorageError
from tracknow_static.relay.store.wakeup import WakeUp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.database import Database

_log = logging.getLogger(__name__)

# One look at the database for news ends after so many seconds, to see whether to stop.
_WATCH_SECONDS = 1.0
# Commits come in crowds: the lanes are woken so often at most, in seconds.
_WAKE_EVERY = 0.01


@dataclass(frozen=True)
class Drained:
    """What a drain did: counts of deliveries.

    ``left`` were not delivered though due: the time was over, or the destination is out or
    paused. ``lost`` leases ended before their attempts; others deliver those.
    """

    delivered: int
    retried: int
    dead: int
    lost: int
    left: int


class Courier:
    """Delivers what the database holds for its destinations.

    ``concurrency`` attempts are under way at most for each destination. A lease lasts
    ``lease_seconds``, which must be over ``network.timeout`` by more than ``lane.MARGIN``
    (``ValueError`` otherwise). ``clock`` gives Unix time.
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
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget the parent's threads: they do not live on in this process."""
        self._lock = threading.Lock()
        self._lanes: list[Lane] = []
        self._watcher: threading.Thread | None = None
        self._stopping = threading.Event()

    @classmethod
    def from_config(cls, config: RelayConfig, database: Database) -> Courier:
        """Make the courier that a configuration describes."""
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
        return bool(self._lanes)

    def start(self) -> None:
        """Deliver in the background; does nothing, cheaply, when this process does already.

        When the interpreter exits, what is in flight gets ``grace`` seconds to end.
        """
        if self._lanes:
            return
        with self._lock:
            if self._lanes:
                return
            self._stopping = threading.Event()
            self._lanes = self._make_lanes(drain=False)
            self._watcher = threading.Thread(target=self._watch, name="relay-watch", daemon=True)
            for thread in (*self._lanes, self._watcher):
                thread.start()
            atexit.register(self.stop)

    def stop(self, timeout: float | None = None) -> bool:
        """Finish what is being sent, give back what is not, and end.

        Gives whether all of it ended within ``timeout`` seconds (``grace`` when not given). What
        did not is due again when its lease runs out.
        """
        with self._lock:
            lanes, self._lanes = self._lanes, []
            watcher, self._watcher = self._watcher, None
            self._stopping.set()
            for lane in lanes:
                lane.stop()
        self.wakeup.wake()
        ended = _join(lanes, self.grace if timeout is None else timeout)
        if watcher is not None:
            # It uses the database, which its owner may close next.
            watcher.join(2 * _WATCH_SECONDS)
        self.wakeup.close()
        atexit.unregister(self.stop)
        return ended

    def run(self, stop: threading.Event, *, grace: float | None = None) -> bool:
        """Deliver until ``stop`` is set: the worker. Gives what :meth:`stop` gives."""
        self.start()
        # A wait without a time-out cannot be interrupted by a signal on every platform.
        while not stop.wait(_WATCH_SECONDS):
            pass
        return self.stop(grace)

    def drain(self, seconds: float, *, stop: threading.Event | None = None) -> Drained:
        """Deliver what is due now and return, after ``seconds`` and ``grace`` at the latest.

        ``stop`` ends it early. For destinations whose breaker is open nothing is waited.
        """
        lanes = self._make_lanes(drain=True)
        until = time.monotonic() + seconds
        for lane in lanes:
            lane.start()
        while any(lane.is_alive() for lane in lanes):
            if time.monotonic() >= until or (stop is not None and stop.is_set()):
                break
            _join(lanes, min(max(until - time.monotonic(), 0.0), 0.2))
        for lane in lanes:
            lane.stop()
        if not _join(lanes, self.grace):
            _log.warning("some attempts did not end in time; they are repeated")
        counts = {
            name: sum(lane.tally[name] for lane in lanes)
            for name in ("delivered", "retry", "dead", "lost")
        }
        return Drained(
            counts["delivered"], counts["retry"], counts["dead"], counts["lost"], self._left()
        )

    def _left(self) -> int:
        status = queries.status(self.database)
        return sum(
            one.pending for one in status.destinations if one.destination in self.destinations
        )

    def _make_lanes(self, *, drain: bool) -> list[Lane]:
        network = self._network()
        return [
            Lane(
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
        """Wake the lanes whenever any process has stored something."""
        lanes, stopping = self._lanes, self._stopping
        while not stopping.wait(_WAKE_EVERY):
            try:
                news = self.wakeup.wait(_WATCH_SECONDS)
            except StorageError:
                # The lanes say so in the log.
                stopping.wait(_WATCH_SECONDS)
                continue
            if news:
                for lane in lanes:
                    lane.wake()


def _join(lanes: Sequence[Lane], seconds: float) -> bool:
    until = time.monotonic() + seconds
    for lane in lanes:
        lane.join(max(until - time.monotonic(), 0.0))
    return not any(lane.is_alive() for lane in lanes)
