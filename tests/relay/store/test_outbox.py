"""The outbox's promises about events and leases, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.relay.store.outbox_parts import A, B, ids, new
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import Filter, Outcome
from tracknow_static.relay.store.outbox import Outbox

if TYPE_CHECKING:
    from tests.relay.store.outbox_parts import Clock


def test_duplicates_are_recognised(outbox: Outbox) -> None:
    """An event that comes again is acknowledged, stored once and due once; the first bytes stay."""
    assert outbox.accept(new(payload=b"first")).new
    assert not outbox.accept(new(payload=b"second")).new
    claimed = outbox.claim(limit=9, lease_seconds=60)
    assert [(one.destination, one.payload) for one in claimed] == [(A, b"first"), (B, b"first")]


def test_concurrent_duplicates_give_one_row(outbox: Outbox) -> None:
    """Fifty at once, through two outboxes as two processes have them, give one new event."""
    other = Outbox(Database(str(outbox.database.url)), [A, B])
    gate = threading.Barrier(50)

    def send(number: int) -> bool:
        gate.wait()
        return (outbox, other)[number % 2].accept(new()).new

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(send, range(50))) == 1
    assert len(outbox.find(Filter()).events) == 1
    assert outbox.status().tallies["duplicate", ""] == 49
    other.close()


def test_lease_hides_a_delivery_until_it_ends(outbox: Outbox, clock: Clock) -> None:
    """What is leased is claimed by nobody else; when the lease ends it is due by itself."""
    outbox.accept(new())
    assert len(outbox.claim(limit=9, lease_seconds=60)) == 2
    assert outbox.claim(limit=9, lease_seconds=60) == []
    assert outbox.next_due() == pytest.approx(60)
    clock.time += 61
    assert len(outbox.claim(limit=9, lease_seconds=60)) == 2


def test_fence_refuses_who_lost_the_lease(outbox: Outbox, clock: Clock) -> None:
    """An outcome counts only while its lease is the last one given."""
    outbox.accept(new())
    late = outbox.claim(limit=9, lease_seconds=60)
    clock.time += 61
    again = outbox.claim(limit=9, lease_seconds=60)
    assert outbox.settle([Outcome(one, "dead", 400) for one in late]) == [False, False]
    assert outbox.settle([Outcome(one, "delivered", 200) for one in again]) == [True, True]
    assert outbox.settle([Outcome(one, "retry", 500) for one in again]) == [False, False]
    stored = outbox.event("evt_1")
    assert stored is not None
    assert [one.state for one in stored.deliveries] == ["delivered", "delivered"]
    assert [[tried.status for tried in one.history] for one in stored.deliveries] == [
        [400, 200, 500],
        [400, 200, 500],
    ]


def test_outcome_of_an_ended_lease_that_nobody_took(outbox: Outbox, clock: Clock) -> None:
    """A worker that was slow, but met no other, has delivered."""
    outbox.accept(new())
    late = outbox.claim(limit=9, lease_seconds=60)
    clock.time += 1000
    assert outbox.delivered(late[0], status=200)


def test_retry_waits_and_counts(outbox: Outbox, clock: Clock) -> None:
    """A retry is due after its delay; an outage's attempts are tries that do not count."""
    outbox.accept(new())
    first = outbox.claim(limit=9, lease_seconds=60, destinations=[A])[0]
    outbox.retry(first, delay=10, status=503, error="status")
    assert outbox.claim(limit=9, lease_seconds=60, destinations=[A]) == []
    clock.time += 10
    second = outbox.claim(limit=9, lease_seconds=60, destinations=[A])[0]
    assert (second.attempts, second.tries) == (1, 1)
    outbox.retry(second, delay=0, status=None, error="refused", counted=False)
    third = outbox.claim(limit=9, lease_seconds=60, destinations=[A])[0]
    assert (third.attempts, third.tries) == (1, 2)


def test_released_is_due_at_once(outbox: Outbox) -> None:
    """What a stopping worker gives back is due at once, untried, and its lease counts no more."""
    outbox.accept(new())
    given = outbox.claim(limit=9, lease_seconds=600)
    outbox.release(given)
    again = outbox.claim(limit=9, lease_seconds=600)
    assert [(one.attempts, one.tries) for one in again] == [(0, 0), (0, 0)]
    assert not outbox.delivered(given[0], status=200)


def test_oldest_due_goes_first_and_limit_holds(outbox: Outbox, clock: Clock) -> None:
    """Each destination gets at most the limit, in the order of receipt."""
    for number in range(5):
        outbox.accept(new(number))
        clock.time += 1
    claimed = outbox.claim(limit=2, lease_seconds=60)
    assert sorted(ids(claimed)) == ["evt_0", "evt_0", "evt_1", "evt_1"]
    assert ids(outbox.claim(limit=2, lease_seconds=60, destinations=[A])) == ["evt_2", "evt_3"]


def test_parallel_claims_share_out(outbox: Outbox) -> None:
    """Workers that claim at the same time never get the same delivery."""
    for number in range(60):
        outbox.accept(new(number))
    other = Outbox(Database(str(outbox.database.url), clock=outbox.database._clock), [A, B])

    def work(number: int) -> list[int]:
        mine = []
        while claimed := (outbox, other)[number % 2].claim(limit=3, lease_seconds=600):
            mine += [one.delivery_id for one in claimed]
        return mine

    with ThreadPoolExecutor(6) as pool:
        got = [one for part in pool.map(work, range(6)) for one in part]
    # PostgreSQL passes over rows that others hold at the moment; a last round finds those.
    got += work(0)
    assert sorted(got) == sorted(set(got))
    assert len(got) == 120
    other.close()


def test_paused_destination_gives_nothing(outbox: Outbox, clock: Clock) -> None:
    """A paused destination is left alone, others are not; resuming makes what waits due."""
    outbox.accept(new())
    tried = outbox.claim(limit=9, lease_seconds=60, destinations=[A])[0]
    outbox.retry(tried, delay=10_000, status=401, error="status")
    assert outbox.pause(A, "http_401", open_for=60)
    assert not outbox.pause(A, "http_403")
    clock.time += 20_000
    assert {one.destination for one in outbox.claim(limit=9, lease_seconds=60)} == {B}
    assert len(outbox.claim(limit=9, lease_seconds=60, destinations=[A], paused=True)) == 1
    clock.time -= 19_000
    state = outbox.status().destinations[0]
    assert (state.state, state.paused_because) == ("paused", "http_401")
    outbox.release(outbox.claim(limit=9, lease_seconds=60, destinations=[A], paused=True))
    assert outbox.resume(A)
    assert not outbox.resume(A)
    assert outbox.status().destinations[0].breaker.open_for == 0


def test_resume_makes_retries_due(outbox: Outbox) -> None:
    """What waits for its retry is due when its destination is resumed; what is leased stays so."""
    outbox.accept(new(1))
    outbox.accept(new(2))
    first, _second = outbox.claim(limit=9, lease_seconds=60, destinations=[A])
    outbox.retry(first, delay=10_000, status=500, error="status")
    outbox.pause(A, "http_401")
    outbox.resume(A)
    assert ids(outbox.claim(limit=9, lease_seconds=60, destinations=[A])) == ["evt_1"]


def test_breaker_is_written_by_one(outbox: Outbox, clock: Clock) -> None:
    """Of many that saw the same breaker one alone may write it."""
    outbox.open()
    seen = outbox.breaker(A)

    def write(_: int) -> bool:
        return outbox.set_breaker(seen, failures=5, open_for=30, probing_for=10)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 1
    now = outbox.breaker(A)
    assert [now.failures, now.open_for, now.probing_for] == pytest.approx([5, 30, 10])
    clock.time += 31
    assert outbox.breaker(A).open_for == 0


def test_later_destination_gets_later_events(database_url: str) -> None:
    """A destination that is added gets new events; a replay to it sends older ones."""
    before = Outbox(Database(database_url), [A])
    before.accept(new(1))
    before.close()
    after = Outbox(Database(database_url), [A, B])
    after.accept(new(2))
    assert ids(after.claim(limit=9, lease_seconds=60, destinations=[B])) == ["evt_2"]
    assert after.replay(Filter(ids=("evt_1",)), destinations=[B]).deliveries == 1
    assert ids(after.claim(limit=9, lease_seconds=60, destinations=[B])) == ["evt_1"]
    after.close()


@pytest.mark.parametrize("ahead", [3600, 10 * 365 * 86_400])
def test_clock_set_right_parks_no_event(outbox: Outbox, clock: Clock, ahead: float) -> None:
    """An event stored while the clock ran ahead is due as soon as the clock is right."""
    clock.time += ahead
    outbox.accept(new())
    clock.time -= ahead
    assert len(outbox.claim(limit=9, lease_seconds=60)) == 2


def test_clock_set_right_ends_endless_retries(outbox: Outbox, clock: Clock) -> None:
    """A retry scheduled by a clock that ran ahead for years does not wait for years."""
    outbox.accept(new())
    clock.time += 10 * 365 * 86_400
    for one in outbox.claim(limit=9, lease_seconds=60):
        outbox.retry(one, delay=60, status=500, error="status")
    clock.time -= 10 * 365 * 86_400
    outbox._mend_at = 0.0  # a minute passes
    assert len(outbox.claim(limit=9, lease_seconds=60)) == 2


def test_wait_is_woken_by_another_process(database_url: str) -> None:
    """A worker that sleeps learns of an event that another process stored."""
    worker = Outbox(Database(database_url), [A])
    writer = Outbox(Database(database_url), [A])
    worker.open()
    worker.wait(0.2)
    timer = threading.Timer(0.3, lambda: writer.accept(new()))
    timer.start()
    started = time.monotonic()
    assert worker.wait(20)
    assert time.monotonic() - started < 15
    timer.join()
    writer.close()
    worker.close()


def test_wait_ends_without_news(outbox: Outbox) -> None:
    """Without news a wait ends with its time, and a wake ends it at once."""
    outbox.open()
    outbox.wait(0.01)
    assert not outbox.wait(0.05)
    threading.Timer(0.1, outbox.wake).start()
    assert outbox.wait(20)


def test_nothing_happens_before_it_is_needed(database_url: str) -> None:
    """Making an outbox opens no file, no connection and no thread, so that a server may fork."""
    before = threading.active_count()
    made = Outbox(Database(database_url), [A])
    assert threading.active_count() == before
    assert made.database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    if made.database.path is not None:
        assert not made.database.path.exists()
    made.close()
