"""One destination's road: claim, send, settle, over and over, beside the other destinations' roads.

At most ``window`` deliveries are under way: leased, and not settled yet. Those, and no others, can
be sent a second time when the process dies. DeliveryResults that come in while one transaction is being
synced are settled by the next one together, which makes a backlog drain fast.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from tracknow_static.relay import crash_points
from tracknow_static.relay.deliver import breaker, verdict
from tracknow_static.relay.deliver.breaker import Gate, Lesson
from tracknow_static.relay.deliver.hands import Done, Hands, Job
from tracknow_static.relay.deliver.sender import shown
from tracknow_static.relay.store import destinations, leases
from tracknow_static.relay.store.database import StorageError
from tracknow_static.relay.store.model import DeliveryResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.relay.deliver.sender import Network
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import Breaker, Claimed

_log = logging.getLogger(__name__)

CLAIMED = crash_points.declare("deliver.claimed", "deliveries are leased, none of them is sent")
PROBING = crash_points.declare(
    "deliver.probing", "the right to probe is taken, the probe is not sent"
)
SETTLING = crash_points.declare(
    "deliver.settling", "answers are collected, none of them is recorded"
)
SETTLED = crash_points.declare(
    "deliver.settled", "outcomes are recorded, the breaker knows nothing yet"
)

# Claimed ahead for each sending thread: fewer, larger transactions. Three instead of seven cost a
# quarter more processor time for each delivery.
AHEAD = 7
# A lease has to outlast the attempt, and the settling too.
MARGIN = 5.0
# So long the first answer waits for others to share its transaction.
_LINGER = 0.01
# Somebody else's resume, or a clock that was set, is noticed after so many seconds at the latest.
_LOOK_EVERY = 30.0
# What is due and yet was not claimed is being claimed by another process: look again so soon.
_LOOK_SOON = 0.05
# Seconds between two looks for due times that a wrong clock wrote.
_CORRECT_EVERY = 60.0
_STORAGE_WAITS = (0.2, 0.5, 1.0, 2.0, 5.0)


class Lane(threading.Thread):
    """Delivers what is due for one destination until it is told to stop.

    ``drain`` makes it end by itself when nothing is due any more. ``clock`` gives Unix time.
    ``tally`` counts how deliveries ended: ``delivered``, ``retried``, ``dead``, ``released``, and
    ``lost`` (the lease was over, so that somebody else delivers it too).
    """

    def __init__(
        self,
        database: Database,
        destination: str,
        network: Network,
        *,
        concurrency: int,
        lease_seconds: float,
        drain: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name="relay-lane", daemon=True)
        if lease_seconds <= network.timeout + MARGIN:
            raise ValueError(
                f"a lease of {lease_seconds:g} s is too short for attempts of "
                f"{network.timeout:g} s: two workers would send the same event"
            )
        self.destination = destination
        self.window = concurrency * (1 + AHEAD)
        self.tally: Counter[str] = Counter()
        self._database = database
        self._lease = lease_seconds
        # Later than this after the claim, the lease might end before an attempt does.
        self._start_within = lease_seconds - network.timeout - MARGIN
        self._drain = drain
        self._clock = clock
        self._hands = Hands(destination, network, concurrency)
        self._woken = threading.Event()
        self._under_way = 0
        self._done: list[Done] = []
        # `time.monotonic` when the database is asked for due deliveries next.
        self._look_at = 0.0
        # `time.monotonic` when due times are compared next with what a correct clock writes.
        self._correct_at = 0.0
        self._untouched = False
        self._storage_fails = 0

    # -- called from other threads ------------------------------------------------------------

    def wake(self) -> None:
        """Look for due deliveries now."""
        if not self._woken.is_set():
            self._woken.set()
            self._hands.call()

    def stop(self) -> None:
        """Finish what is being sent, give back what is not, then end; returns at once."""
        self._hands.stopping.set()
        self._hands.call()

    # -- the loop -----------------------------------------------------------------------------

    def run(self) -> None:
        """Work until stopped, whatever the database does."""
        while not self._finished():
            self._turn_safely()
        self._hands.dismiss()

    def _turn_safely(self) -> None:
        try:
            self._turn()
        except StorageError as error:
            if not self._storage_fails:
                _log.error("database out of reach: %s", error, extra=self._about())
            self._storage_fails += 1
        except Exception:  # noqa: BLE001 - a lane that ends would strand its destination
            _log.exception("delivery stumbled and goes on", extra=self._about())
            self._storage_fails += 1
        else:
            if self._storage_fails:
                _log.warning("database is back", extra=self._about())
            self._storage_fails = 0

    def _finished(self) -> bool:
        if not self._hands.stopping.is_set() or self._under_way:
            return False
        # A database that is gone gets one more chance; then the leases run out by themselves.
        return not self._done or self._storage_fails > 1

    def _turn(self) -> None:
        self._collect()
        self._settle()
        if self._woken.is_set():
            self._woken.clear()
            self._look_at = 0.0
        if self._drain and not self._under_way:
            self._look_at = 0.0
        if self._may_claim() and time.monotonic() >= self._look_at:
            self._claim()

    def _may_claim(self) -> bool:
        # Half-empty, so that few transactions claim many deliveries.
        return not self._hands.stopping.is_set() and self._under_way <= self.window // 2

    def _collect(self) -> None:
        """Wait for an answer, a call or the time to look; then take the answers that follow."""
        wait = _LOOK_EVERY
        if self._storage_fails:
            wait = _STORAGE_WAITS[min(self._storage_fails, len(_STORAGE_WAITS)) - 1]
        elif self._may_claim():
            wait = self._look_at - time.monotonic()
        until = time.monotonic() + wait
        fresh = 0
        while True:
            try:
                one = self._hands.back.get(timeout=max(until - time.monotonic(), 0.0))
            except queue.Empty:
                return
            if one is None:
                # A call. While the database is out there is nothing to hurry for.
                if not self._storage_fails or self._hands.stopping.is_set():
                    until = 0.0
                continue
            self._under_way -= 1
            self._done.append(one)
            fresh += 1
            if not self._under_way or fresh >= self.window // 4:
                until = 0.0
            elif fresh == 1 and not self._storage_fails:
                until = time.monotonic() + _LINGER

    # -- claiming -----------------------------------------------------------------------------

    def _claim(self) -> None:
        seen = destinations.breaker(self._database, self.destination)
        self._untouched = breaker.untouched(seen)
        state, wait = breaker.gate(seen)
        if state is Gate.CLOSED and not (self._hands.shut.is_set() and self._under_way):
            self._hands.reopen()
            self._claim_many()
        elif state is Gate.PROBE and not self._under_way:
            self._claim_probe(seen)
        else:
            # What is under way comes back and is learnt from; then the lane looks again.
            self._look_in(wait or _LOOK_EVERY)

    def _claim_many(self) -> None:
        room, leased_at = self.window - self._under_way, time.monotonic()
        self._correct_due_times()
        found = leases.claim(
            self._database,
            limit=room,
            lease_seconds=self._lease,
            destinations=[self.destination],
        )
        if found:
            crash_points.reach(CLAIMED)
        self._hand_out(found, leased_at, probe=False)
        if len(found) < room:
            self._look_in(leases.next_due(self._database, [self.destination]))

    def _correct_due_times(self) -> None:
        if time.monotonic() >= self._correct_at:
            self._correct_at = time.monotonic() + _CORRECT_EVERY
            leases.correct_due_times(self._database, [self.destination])

    def _claim_probe(self, seen: Breaker) -> None:
        """Send one event, if this process is the one that gets to."""
        leased_at = time.monotonic()
        self._correct_due_times()
        found = leases.claim(
            self._database,
            limit=1,
            lease_seconds=self._lease,
            destinations=[self.destination],
            paused=True,
        )
        if found and not destinations.set_breaker(
            self._database, seen, failures=seen.failures, probing_for=self._lease
        ):
            leases.settle(self._database, [DeliveryResult(one, "release") for one in found])
            found = []
        if found:
            crash_points.reach(PROBING)
        self._hand_out(found, leased_at, probe=True)
        due = None if found else leases.next_due(self._database, [self.destination])
        self._look_in(_LOOK_EVERY if found else due)

    def _hand_out(self, found: list[Claimed], leased_at: float, *, probe: bool) -> None:
        for claimed in found:
            self._under_way += 1
            job = Job(claimed, probe, leased_at + self._start_within)
            self._hands.give(job, under_way=self._under_way)

    def _look_in(self, wait: float | None) -> None:
        """Decide when the database is asked next, unless something happens before."""
        if self._drain and not self._under_way:
            self.stop()
        wait = _LOOK_EVERY if wait is None else min(max(wait, _LOOK_SOON), _LOOK_EVERY)
        self._look_at = time.monotonic() + wait

    # -- outcomes -----------------------------------------------------------------------------

    def _settle(self) -> None:
        if not self._done:
            return
        done, now = self._done, self._clock()
        outcomes = [_outcome(one, now) for one in done]
        crash_points.reach(SETTLING)
        held = leases.settle(self._database, outcomes)
        # From here on they are not settled again, whatever fails.
        self._done = []
        crash_points.reach(SETTLED)
        for one, outcome, kept in zip(done, outcomes, held):  # noqa: B905 - one each, by contract
            self._tell(one, outcome, kept=kept)
        if any(outcome.kind != "delivered" for outcome in outcomes):
            self._look_at = 0.0
        self._learn(done, now)

    def _learn(self, done: list[Done], now: float) -> None:
        """Bring the breaker up to date, for all processes."""
        lessons = [Lesson.of(one.answer, probe=one.job.probe, now=now) for one in done]
        taught = [one for one in lessons if one is not None]
        if not taught or (self._untouched and all(one.harmless for one in taught)):
            return
        self._untouched = False
        if breaker.learn(self._database, self.destination, taught) is not Gate.CLOSED:
            self._hands.shut.set()
        self._look_at = 0.0

    def _tell(self, one: Done, outcome: DeliveryResult, *, kept: bool) -> None:
        """Count and log how an attempt ended."""
        if not kept:
            self.tally["lost"] += 1
            _log.warning("the lease ended before the attempt", extra=self._about(one, outcome))
            return
        self.tally[outcome.kind] += 1
        if outcome.kind == "delivered":
            _log.info("delivered", extra=self._about(one, outcome))
        elif outcome.kind == "dead":
            _log.error("dead letter: not tried again", extra=self._about(one, outcome))
        elif outcome.kind == "retry":
            _log.warning("not delivered yet", extra=self._about(one, outcome))

    def _about(
        self, one: Done | None = None, outcome: DeliveryResult | None = None
    ) -> dict[str, Any]:
        """Give a log line's fields."""
        fields: dict[str, Any] = {"destination": shown(self.destination)}
        if one is not None:
            claimed = one.job.claimed
            fields |= {"event": claimed.event_id, "type": claimed.type}
            fields |= {"attempt": claimed.attempts + 1}
        if outcome is not None:
            fields |= {"status": outcome.status, "error": outcome.error}
            fields |= {"took_ms": outcome.took_ms}
            if outcome.kind == "retry":
                fields |= {"next_in": round(outcome.delay)}
        if one is not None and one.answer is not None and one.answer.detail:
            fields |= {"detail": one.answer.detail}
        return fields


def _outcome(one: Done, now: float) -> DeliveryResult:
    if one.answer is None:
        return DeliveryResult(one.job.claimed, "release")
    return verdict.outcome(one.job.claimed, one.answer, probe=one.job.probe, now=now)
