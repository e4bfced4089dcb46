"""The outbox: what Stripe sent, and what every destination still has to get.

An event and its deliveries are stored by one transaction, before Stripe is answered. A worker
leases deliveries by pushing their due time forward, so that a worker that dies gives them back by
doing nothing; the token of the lease decides whether an outcome still counts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from tracknow_static.relay.forks import renew_after_fork
from tracknow_static.relay.store import (
    destinations,
    leases,
    migrations,
    purge,
    replay,
    storing,
    views,
)
from tracknow_static.relay.store.database import Database, StorageError
from tracknow_static.relay.store.group_commit import Writer
from tracknow_static.relay.store.model import (
    Accepted,
    Breaker,
    Claimed,
    Filter,
    NewEvent,
    Outcome,
    Page,
    Purged,
    Replayed,
    Status,
    StoredEvent,
)
from tracknow_static.relay.store.wakeup import WakeUp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracknow_static.relay.config import RelayConfig

__all__ = ["Outbox", "StorageError"]

log = logging.getLogger(__name__)

# How often due times are compared with what a right clock could have written.
_MEND_SECONDS = 60.0
# How long a look at the disk counts that found room: far less than it takes to fill the floor.
_ROOM_SECONDS = 1.0


class Outbox:
    """Events and deliveries in one database; safe to use from threads and across forks.

    ``destinations`` are the URLs that every event taken in from now on gets deliveries for; one
    that is added later gets later events only (`replay` sends it older ones). Nothing touches
    the database before the first call that needs it; then it is opened as
    ``migrations.open_database`` says.

    Every method raises ``StorageError`` (a ``RelayError`` with a stable ``code``) when the
    database is out of reach, and ``migrations.SchemaError`` when its schema does not fit.
    """

    def __init__(
        self,
        database: Database,
        destinations: Sequence[str],
        *,
        min_free_bytes: int = 0,
        commit_timeout: float = 8.0,
    ) -> None:
        self.database = database
        self.destinations = tuple(destinations)
        self.min_free_bytes = min_free_bytes
        self._opened = threading.Lock()
        self._is_open = False
        self._mend_at = 0.0
        self._room_until = 0.0
        self._tallies: Counter[tuple[str, str]] = Counter()
        self._tally_lock = threading.Lock()
        self._wakeup = WakeUp(database)
        self._writer = Writer(self._store, timeout=commit_timeout)
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Leave locks and counters to the parent."""
        self._opened = threading.Lock()
        self._tally_lock = threading.Lock()
        self._tallies = Counter()

    @classmethod
    def from_config(
        cls, config: RelayConfig, *, clock: Callable[[], float] | None = None
    ) -> Outbox:
        """Make the outbox that a configuration describes."""
        return cls(
            Database(config.database, clock=clock),
            config.destinations,
            min_free_bytes=config.min_free_mb * 1_000_000,
            commit_timeout=config.commit_timeout,
        )

    # -- the schema ---------------------------------------------------------------------------

    def open(self) -> None:
        """Open the database, make or check its schema, and note the destinations."""
        if self._is_open and self.database.opened:
            return
        with self._opened:
            if self._is_open and self.database.opened:
                return
            migrations.open_database(self.database)
            storing.note_destinations(self.database, self.destinations)
            self._is_open = True

    def migrate(self) -> tuple[int, int]:
        """Bring the schema to the newest version; gives the version before and after."""
        versions = migrations.migrate(self.database)
        self.open()
        return versions

    def close(self) -> None:
        """Store what is queued, stop the threads and close every connection."""
        self._writer.stop()
        if self._is_open and self.database.opened:
            try:
                self._flush_tallies()
            except StorageError as error:
                log.warning("counters not stored: %s", error)
        self._wakeup.close()
        self.database.close()

    # -- taking in ----------------------------------------------------------------------------

    def accept(self, event: NewEvent) -> Accepted:
        """Store an event and its deliveries; when this returns they are durable.

        Calls that come together share one commit. Raises ``StorageError`` when the event is not,
        or not surely, stored.
        """
        return self._writer.submit(event)

    async def accept_async(self, event: NewEvent) -> Accepted:
        """Do the same as :meth:`accept` on an event loop, where waiting holds no thread."""
        return await self._writer.submit_async(event)

    def _store(self, events: Sequence[NewEvent]) -> list[Accepted]:
        """Commit a batch: the writer's thread calls this."""
        self.open()
        self._check_disk()
        with self._tally_lock:
            counted, self._tallies = self._tallies, Counter()
        try:
            accepted = storing.store(self.database, events, self.destinations, counted, self.owner)
        except BaseException:
            with self._tally_lock:
                self._tallies.update(counted)
            raise
        self._wakeup.wake()
        return accepted

    def _check_disk(self) -> None:
        """Refuse when the disk is under its floor; a look that found room counts for a second."""
        if not self.min_free_bytes or time.monotonic() < self._room_until:
            return
        free = self.database.free_bytes()
        if free is not None and free < self.min_free_bytes:
            raise StorageError("disk_low", f"{free // 1_000_000} MB are free on the disk")
        self._room_until = time.monotonic() + _ROOM_SECONDS

    # -- delivering ---------------------------------------------------------------------------

    def claim(
        self,
        *,
        limit: int,
        lease_seconds: float,
        destinations: Sequence[str] | None = None,
        paused: bool = False,
    ) -> list[Claimed]:
        """Lease at most ``limit`` due deliveries for each destination, oldest due first.

        ``destinations`` restricts to some (all that the outbox was given by default); paused ones
        give nothing, unless ``paused`` says so (to probe them). A lease must be longer than an attempt can take: when it runs out, the
        delivery is due again.
        """
        self.open()
        wanted = self.destinations if destinations is None else tuple(destinations)
        if time.monotonic() >= self._mend_at:
            self._mend_at = time.monotonic() + _MEND_SECONDS
            leases.mend_clock(self.database)
        return leases.claim(self.database, wanted, limit, lease_seconds, paused)

    def settle(self, outcomes: Sequence[Outcome]) -> list[bool]:
        """Record how attempts ended, all in one durable transaction.

        Gives, in order, whether each lease was still held. One that was lost changes nothing,
        though its attempt is recorded.
        """
        self.open()
        return leases.settle(self.database, outcomes, self.owner)

    def delivered(self, claimed: Claimed, *, status: int, took_ms: int = 0) -> bool:
        """Settle one delivery that the destination accepted; False if its lease was lost."""
        return self.settle([Outcome(claimed, "delivered", status, took_ms=took_ms)])[0]

    def retry(
        self,
        claimed: Claimed,
        *,
        delay: float,
        status: int | None,
        error: str | None,
        counted: bool = True,
        took_ms: int = 0,
    ) -> bool:
        """Make a delivery due again ``delay`` seconds from now; False if its lease was lost."""
        outcome = Outcome(claimed, "retry", status, error, delay, counted, took_ms)
        return self.settle([outcome])[0]

    def dead(
        self, claimed: Claimed, *, status: int | None, error: str | None, took_ms: int = 0
    ) -> bool:
        """Put a delivery to the dead letters; False if its lease was lost."""
        return self.settle([Outcome(claimed, "dead", status, error, took_ms=took_ms)])[0]

    def release(self, claimed: Sequence[Claimed]) -> None:
        """Give leases back untried: the deliveries are due at once."""
        self.settle([Outcome(one, "release") for one in claimed])

    def next_due(self, destinations: Sequence[str] | None = None) -> float | None:
        """Seconds until a delivery is due (0 when one is), None when nothing is pending.

        Leased deliveries count with the end of their lease; paused destinations do not count.
        """
        self.open()
        wanted = self.destinations if destinations is None else tuple(destinations)
        return leases.next_due(self.database, wanted)

    def wait(self, timeout: float) -> bool:
        """Sleep until something was stored by any process, at most ``timeout`` seconds.

        Gives whether it was woken. For one thread at a time.
        """
        self.open()
        return self._wakeup.wait(timeout)

    def wake(self) -> None:
        """End a `wait` of this process at once."""
        self._wakeup.wake()

    # -- destinations -------------------------------------------------------------------------

    def pause(self, destination: str, because: str, *, open_for: float = 0.0) -> bool:
        """Stop claims for a destination, in all processes, until it is resumed.

        Its breaker is open for ``open_for`` seconds. Gives whether it was this call that paused
        it; one that is paused already is left as it is.
        """
        self.open()
        return destinations.pause(self.database, destination, because, open_for)

    def resume(self, destination: str, *, at_once: bool = True) -> bool:
        """Let claims for a destination go on: breaker closed, what waits for a retry due now.

        Without ``at_once`` each delivery keeps its own time, so that one event that is refused
        again and again does not pause the destination each time it resumes. Gives whether it was paused; one that was not is left as it is.
        """
        self.open()
        resumed = destinations.resume(self.database, destination, at_once=at_once)
        self._wakeup.wake()
        return resumed

    def breaker(self, destination: str) -> Breaker:
        """Read a destination's circuit breaker."""
        self.open()
        return destinations.breaker(self.database, destination)

    def set_breaker(
        self, seen: Breaker, *, failures: int, open_for: float = 0.0, probing_for: float = 0.0
    ) -> bool:
        """Write a breaker if nobody has since ``seen`` was read; gives whether it was written.

        ``open_for`` and ``probing_for`` are seconds from now, by the database's clock; 0 means
        closed, and not probing.
        """
        self.open()
        return destinations.set_breaker(self.database, seen, failures, open_for, probing_for)

    # -- counters -----------------------------------------------------------------------------

    @property
    def owner(self) -> str:
        """Name of this process among the counters' writers."""
        return self.database.identity

    def count(self, name: str, number: int = 1, *, destination: str = "") -> None:
        """Add to a counter of all processes; it is stored with the next commit or `flush`."""
        with self._tally_lock:
            self._tallies[name, destination] += number

    def flush(self) -> None:
        """Store what was counted since the last commit."""
        self.open()
        self._flush_tallies()

    def _flush_tallies(self) -> None:
        with self._tally_lock:
            counted, self._tallies = self._tallies, Counter()
        if not counted:
            return
        try:
            storing.add_tallies(self.database, counted, self.owner)
        except BaseException:
            with self._tally_lock:
                self._tallies.update(counted)
            raise

    # -- looking and mending ------------------------------------------------------------------

    def status(self) -> Status:
        """The whole outbox at a glance; its cost does not grow with what has been delivered."""
        self.open()
        return views.status(self.database)

    def find(
        self, wanted: Filter, *, limit: int = 50, cursor: str | None = None, newest: bool = False
    ) -> Page:
        """Find events, oldest or ``newest`` first, without payloads.

        Raises ``ValueError`` for a cursor that no page of the same order gave.
        """
        self.open()
        return views.find(self.database, wanted, limit, cursor, newest=newest)

    def event(self, event_id: str) -> StoredEvent | None:
        """Give one event with its payload and all attempts, or None."""
        self.open()
        return views.event(self.database, event_id)

    def replay(
        self,
        wanted: Filter,
        *,
        rate: float = 0.0,
        destinations: Sequence[str] = (),
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Replayed:
        """Make deliveries due again, oldest first, with a fresh schedule of retries.

        ``rate`` spreads them over time, in deliveries a second (0: all at once).
        ``destinations`` restricts to some, and creates deliveries where an event has none for
        them; without it those of an event's deliveries are replayed that the filter names by
        state or destination, or all of them, and an event that was kept and not forwarded goes
        to the outbox's destinations. ``progress`` is told how many events are done.
        """
        self.open()
        replayed = replay.replay(
            self.database, wanted, rate, destinations, self.destinations, dry_run, progress
        )
        self._wakeup.wake()
        return replayed

    def purge(
        self,
        *,
        delivered_days: float,
        dead_days: float,
        references_days: float = 1095,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Purged:
        """Remove payloads of events settled for longer than the days given.

        ``delivered_days`` is for events that every destination accepted, ``dead_days`` for those
        with a dead letter and those that were kept and not forwarded. Nothing pending is touched,
        and what recognises a duplicate stays.
        """
        self.open()
        return purge.purge(
            self.database, delivered_days, dead_days, references_days, dry_run, progress
        )
