"""The deliveries of one destination: claim, send, settle, over and over, apart from all others.

At most ``window`` deliveries are under way: leased, and not settled yet. Only those can be sent a
second time when the process dies. Results that arrive while one transaction is being synced are
settled together by the next one, which makes a backlog drain fast.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from tracknow_static.errors import RelayError
from tracknow_static.relay import crash_points
from tracknow_static.relay.deliver import breaker, verdict
from tracknow_static.relay.deliver.breaker import BreakerInput, Gate
from tracknow_static.relay.deliver.sender import Job, SenderPool
from tracknow_static.relay.store import destinations, leases
from tracknow_static.relay.store.destinations import correct_clock
from tracknow_static.relay.store.model import DeliveryResult, without_query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracknow_static.relay.deliver.network import Network
    from tracknow_static.relay.deliver.sender import Finished
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import Breaker, Claimed

_log = logging.getLogger(__name__)

CLAIMED = crash_points.declare("deliver.claimed", "deliveries are leased, none of them is sent")
PROBING = crash_points.declare(
    "deliver.probing", "the right to probe is taken, the probe is not sent"
)
SETTLING = crash_points.declare("deliver.settling", "answers are read, none of them is recorded")
SETTLED = crash_points.declare(
    "deliver.settled", "results are recorded, the breaker is not up to date"
)

# Claimed ahead for each sending thread: fewer, larger transactions. Three instead of seven cost a
# quarter more processor time for each delivery.
AHEAD = 7
# A lease has to outlast the attempt, and the settling too.
MARGIN = 5.0
# How long the first answer waits for others to share its transaction.
_LINGER = 0.01
# A destination that was resumed elsewhere, or a clock that was set, is noticed after this time.
_LOOK_EVERY = 30.0
# What is due and yet was not claimed is being claimed by another process: look again soon.
_LOOK_SOON = 0.05
# Seconds between two looks for times that a wrong clock wrote.
_CORRECT_EVERY = 60.0
_STORAGE_WAITS = (0.2, 0.5, 1.0, 2.0, 5.0)
# Connections are closed after this time without a delivery.
_IDLE = 5.0


class DestinationWorker(threading.Thread):
    """Delivers what is due for one destination until it is stopped.

    ``drain`` makes it end by itself when nothing is due any more. ``clock`` returns Unix time.
    ``tally`` counts how deliveries ended: ``delivered``, ``rejected``, ``retry``, ``dead``,
    ``release``, and ``lost`` (the lease was over, so that another process delivers it too).
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
        super().__init__(name="relay-worker", daemon=True)
        if lease_seconds <= network.timeout + MARGIN:
            raise ValueError(
                f"a lease of {lease_seconds:g} s is too short for attempts of "
                f"{network.timeout:g} s: two workers would send the same event"
            )
        self.destination = destination
        self.window = concurrency * (1 + AHEAD)
        self.tally: Counter[str] = Counter()
        self._database = database
        self._lease_seconds = lease_seconds
        # Later than this after the claim, the lease might end before an attempt does.
        self._start_within = lease_seconds - network.timeout - MARGIN
        self._drain = drain
        self._clock = clock
        self._pool = SenderPool(destination, network, concurrency, clock=clock)
        self._woken = threading.Event()
        self._under_way = 0
        self._finished: list[Finished] = []
        # Sessions under way, by what they share with their charges, and jobs that wait for them.
        self._sessions: dict[str, int] = {}
        self._after: dict[int, list[Job]] = {}
        # `time.monotonic` when the database is asked for due deliveries next.
        self._look_at = 0.0
        # `time.monotonic` when times are compared next with what a correct clock writes.
        self._correct_at = 0.0
        self._is_healthy = False
        self._storage_failures = 0

    # -- called from other threads ------------------------------------------------------------

    def wake(self) -> None:
        """Look for due deliveries now."""
        if not self._woken.is_set():
            self._woken.set()
            self._pool.nudge()

    def stop(self) -> None:
        """Finish what is being sent, give back what is not, then end; returns at once."""
        self._pool.stopping.set()
        self._pool.nudge()

    def abort(self) -> None:
        """End attempts in flight without their answers: their deliveries are given back."""
        self._pool.abort()

    # -- the loop -----------------------------------------------------------------------------

    def run(self) -> None:
        """Work until stopped, whatever the database does."""
        while not self._is_done():
            self._turn_safely()
        self._pool.shut_down()

    def _turn_safely(self) -> None:
        try:
            asked = self._turn()
        except RelayError as error:
            if not self._storage_failures:
                _log.error("database out of reach: %s", error, extra=self._fields())
            self._storage_failures += 1
        except Exception:  # noqa: BLE001 - its destination would be stranded
            _log.exception("delivery failed unexpectedly and goes on", extra=self._fields())
            self._storage_failures += 1
        else:
            if self._storage_failures and asked:
                _log.warning("database is back", extra=self._fields())
                self._storage_failures = 0

    def _is_done(self) -> bool:
        if not self._pool.stopping.is_set() or self._under_way:
            return False
        # A database that is gone gets one more chance; then the leases run out by themselves.
        return not self._finished or self._storage_failures > 1

    def _turn(self) -> bool:
        """Do what there is to do; return whether the database was asked for anything."""
        self._collect()
        asked = bool(self._finished)
        self._settle()
        if self._woken.is_set():
            self._woken.clear()
            self._look_at = 0.0
        if self._drain and not self._under_way:
            self._look_at = 0.0
        if self._may_claim() and time.monotonic() >= self._look_at:
            self._claim()
            asked = True
        return asked

    def _may_claim(self) -> bool:
        # Half-empty, so that few transactions claim many deliveries.
        return not self._pool.stopping.is_set() and self._under_way <= self.window // 2

    def _collect(self) -> None:
        """Wait for an answer, a wake-up or the time to look; then read the answers that follow."""
        until = time.monotonic() + self._wait_seconds()
        fresh = 0
        while True:
            try:
                finished = self._pool.finished.get(timeout=max(until - time.monotonic(), 0.0))
            except queue.Empty:
                if not self._under_way:
                    self._pool.close_connections()
                return
            if finished is None:
                # While the database is out of reach there is nothing to hurry for.
                if not self._storage_failures or self._pool.stopping.is_set():
                    until = 0.0
                continue
            self._under_way -= 1
            self._finished.append(finished)
            self._go_on_after(finished.job.claimed)
            fresh += 1
            if not self._under_way or fresh >= self.window // 4:
                until = 0.0
            elif fresh == 1 and not self._storage_failures:
                until = time.monotonic() + _LINGER

    def _go_on_after(self, ended: Claimed) -> None:
        """Send what waited for a session that has been sent."""
        for key in ended.sale_keys if ended.is_session else ():
            if self._sessions.get(key) == ended.delivery_id:
                del self._sessions[key]
        for job in self._after.pop(ended.delivery_id, ()):
            self._pool.submit(job)

    def _wait_seconds(self) -> float:
        if self._storage_failures:
            return _STORAGE_WAITS[min(self._storage_failures, len(_STORAGE_WAITS)) - 1]
        if not self._may_claim():
            return _LOOK_EVERY
        wait = self._look_at - time.monotonic()
        return min(wait, _IDLE) if self._pool.has_connections and not self._under_way else wait

    # -- claiming -----------------------------------------------------------------------------

    def _claim(self) -> None:
        self._correct_clock()
        state = destinations.breaker(self._database, self.destination)
        self._is_healthy = breaker.is_healthy(state)
        gate, wait = breaker.gate(state)
        if gate is Gate.CLOSED and not (self._pool.on_hold.is_set() and self._under_way):
            self._pool.release()
            self._claim_many()
        elif gate is Gate.PROBE and not self._under_way:
            self._claim_probe(state)
        else:
            # What is under way ends and changes the breaker; then the worker looks again.
            self._look_in(wait or _LOOK_EVERY)

    def _claim_many(self) -> None:
        room, leased_at = self.window - self._under_way, time.monotonic()
        found = self._lease(room)
        if found:
            crash_points.reach(CLAIMED)
        self._start(found, leased_at, probe=False)
        if len(found) < room:
            self._look_in(leases.next_due(self._database, [self.destination]))

    def _claim_probe(self, state: Breaker) -> None:
        """Send one event, if this process is the one that gets to probe."""
        leased_at = time.monotonic()
        found = self._lease(1, paused=True)
        if found and not destinations.set_breaker(
            self._database, state, failures=state.failures, probing_for=self._lease_seconds
        ):
            leases.settle(self._database, [DeliveryResult(claimed, "release") for claimed in found])
            found = []
        if found:
            crash_points.reach(PROBING)
        self._start(found, leased_at, probe=True)
        if found:
            self._look_in(_LOOK_EVERY)
        else:
            self._look_in(leases.next_due(self._database, [self.destination]))

    def _lease(self, limit: int, *, paused: bool = False) -> Sequence[Claimed]:
        return leases.claim(
            self._database,
            limit=limit,
            lease_seconds=self._lease_seconds,
            destinations=[self.destination],
            paused=paused,
        )

    def _start(self, found: Sequence[Claimed], leased_at: float, *, probe: bool) -> None:
        self._under_way += len(found)
        for claimed in found:
            if claimed.is_session:
                self._sessions.update(dict.fromkeys(claimed.sale_keys, claimed.delivery_id))
        for claimed in found:
            job = Job(claimed, probe, start_by=leased_at + self._start_within)
            keys = () if claimed.is_session else claimed.sale_keys
            first = next((self._sessions[key] for key in keys if key in self._sessions), None)
            if first is None:
                self._pool.submit(job)
            else:
                self._after.setdefault(first, []).append(job)

    def _correct_clock(self) -> None:
        if time.monotonic() >= self._correct_at:
            correct_clock(self._database, [self.destination])
            # Not before: what failed is tried again, and only what was written shows that the
            # database is back.
            self._correct_at = time.monotonic() + _CORRECT_EVERY

    def _look_in(self, wait: float | None) -> None:
        """Decide when the database is asked next, unless something happens before."""
        if self._drain and not self._under_way:
            self.stop()
        wait = _LOOK_EVERY if wait is None else min(max(wait, _LOOK_SOON), _LOOK_EVERY)
        self._look_at = time.monotonic() + wait

    # -- results ------------------------------------------------------------------------------

    def _settle(self) -> None:
        if not self._finished:
            return
        finished, now = self._finished, self._clock()
        results = [_result(ended, now) for ended in finished]
        crash_points.reach(SETTLING)
        held = leases.settle(self._database, results)
        # From here on they are not settled again, whatever fails.
        self._finished = []
        crash_points.reach(SETTLED)
        for ended, result, is_held in zip(finished, results, held, strict=True):
            self._record(ended, result, is_held=is_held)
        if any(result.kind != "delivered" for result in results):
            self._look_at = 0.0
        self._update_breaker(finished)

    def _update_breaker(self, finished: list[Finished]) -> None:
        """Bring the breaker up to date, for all processes."""
        inputs = [
            BreakerInput(ended.verdict, ended.job.probe)
            for ended in finished
            if ended.verdict is not None or ended.job.probe
        ]
        if not inputs or (self._is_healthy and all(seen.keeps_healthy for seen in inputs)):
            return
        self._is_healthy = False
        if breaker.update(self._database, self.destination, inputs) is not Gate.CLOSED:
            self._pool.on_hold.set()
        self._look_at = 0.0

    def _record(self, ended: Finished, result: DeliveryResult, *, is_held: bool) -> None:
        """Count and log how an attempt ended."""
        fields = self._fields(ended, result)
        if not is_held:
            self.tally["lost"] += 1
            _log.warning("the lease ended before the attempt", extra=fields)
            return
        self.tally[result.kind] += 1
        if result.kind == "delivered":
            _log.info("delivered", extra=fields)
        elif result.kind == "rejected":
            _log.error("delivered, and rejected: success is false in the answer", extra=fields)
        elif result.kind == "dead":
            _log.error("dead letter: not tried again", extra=fields)
        elif result.kind == "retry":
            _log.warning("not delivered yet", extra=fields)

    def _fields(
        self, ended: Finished | None = None, result: DeliveryResult | None = None
    ) -> dict[str, Any]:
        """Return a log line's fields."""
        fields: dict[str, Any] = {"destination": without_query(self.destination)}
        if ended is not None:
            claimed = ended.job.claimed
            fields |= {"event": claimed.event_id, "type": claimed.type}
            fields |= {"attempt": claimed.attempts + 1}
            if ended.verdict is not None and ended.verdict.detail:
                fields |= {"detail": ended.verdict.detail}
        if result is not None:
            fields |= {"status": result.status, "error": result.error}
            fields |= {"took_ms": result.took_ms}
            if result.kind == "retry":
                fields |= {"next_in": round(result.delay)}
        return fields


def _result(ended: Finished, now: float) -> DeliveryResult:
    claimed, probe = ended.job.claimed, ended.job.probe
    if ended.verdict is None:
        return DeliveryResult(claimed, "release")
    return verdict.result(claimed, ended.verdict, probe=probe, now=now)
