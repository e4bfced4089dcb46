"""What is promised about events and leases, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.relay.store.parts import A, B, accept, delivered, ids, new, release, retry
from tracknow_static.relay.store import destinations, leases, queries, replay
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.destinations import correct_clock
from tracknow_static.relay.store.model import DeliveryResult, Filter
from tracknow_static.relay.store.wakeup import WakeUp

if TYPE_CHECKING:
    from tests.relay.store.parts import Clock


def test_duplicates_are_recognised(database: Database) -> None:
    """An event that comes again is acknowledged, stored once and due once; the first bytes stay."""
    assert accept(database, new(payload=b"first")).new
    assert not accept(database, new(payload=b"second")).new
    claimed = leases.claim(database, limit=9, lease_seconds=60)
    assert [(one.destination, one.payload) for one in claimed] == [(A, b"first"), (B, b"first")]


def test_concurrent_duplicates_give_one_row(database: Database) -> None:
    """Fifty at once, through two databases as two processes have them, give one new event."""
    other = Database(str(database.url), [A, B])
    gate = threading.Barrier(50)

    def send(number: int) -> bool:
        gate.wait()
        return accept((database, other)[number % 2], new()).new

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(send, range(50))) == 1
    assert len(queries.find(database, Filter()).events) == 1
    assert queries.status(database).tallies["duplicate", ""] == 49
    other.close()


def test_lease_hides_a_delivery_until_it_ends(database: Database, clock: Clock) -> None:
    """What is leased is claimed by nobody else; when the lease ends it is due by itself."""
    accept(database, new())
    assert len(leases.claim(database, limit=9, lease_seconds=60)) == 2
    assert leases.claim(database, limit=9, lease_seconds=60) == []
    assert leases.next_due(database) == pytest.approx(60)
    clock.time += 61
    assert len(leases.claim(database, limit=9, lease_seconds=60)) == 2


def test_fence_refuses_who_lost_the_lease(database: Database, clock: Clock) -> None:
    """An outcome counts only while its lease is the last one given."""
    accept(database, new())
    late = leases.claim(database, limit=9, lease_seconds=60)
    clock.time += 61
    again = leases.claim(database, limit=9, lease_seconds=60)
    assert leases.settle(database, [DeliveryResult(one, "dead", 400) for one in late]) == [
        False,
        False,
    ]
    assert leases.settle(database, [DeliveryResult(one, "delivered", 200) for one in again]) == [
        True,
        True,
    ]
    assert leases.settle(database, [DeliveryResult(one, "retry", 500) for one in again]) == [
        False,
        False,
    ]
    stored = queries.event(database, "evt_1")
    assert stored is not None
    assert [one.state for one in stored.deliveries] == ["delivered", "delivered"]
    assert [[tried.status for tried in one.history] for one in stored.deliveries] == [
        [400, 200, 500],
        [400, 200, 500],
    ]


def test_outcome_of_an_ended_lease_that_nobody_took(database: Database, clock: Clock) -> None:
    """A worker that was slow, but met no other, has delivered."""
    accept(database, new())
    late = leases.claim(database, limit=9, lease_seconds=60)
    clock.time += 1000
    assert delivered(database, late[0], status=200)


def test_retry_waits_and_counts(database: Database, clock: Clock) -> None:
    """A retry is due after its delay; an outage's attempts are tries that do not count."""
    accept(database, new())
    first = leases.claim(database, limit=9, lease_seconds=60, destinations=[A])[0]
    retry(database, first, delay=10, status=503, error="status")
    assert leases.claim(database, limit=9, lease_seconds=60, destinations=[A]) == []
    clock.time += 10
    second = leases.claim(database, limit=9, lease_seconds=60, destinations=[A])[0]
    assert (second.attempts, second.tries) == (1, 1)
    retry(database, second, delay=0, status=None, error="refused", counted=False)
    third = leases.claim(database, limit=9, lease_seconds=60, destinations=[A])[0]
    assert (third.attempts, third.tries) == (1, 2)


def test_released_is_due_at_once(database: Database) -> None:
    """What a stopping worker gives back is due at once, untried, and its lease counts no more."""
    accept(database, new())
    given = leases.claim(database, limit=9, lease_seconds=600)
    release(database, given)
    again = leases.claim(database, limit=9, lease_seconds=600)
    assert [(one.attempts, one.tries) for one in again] == [(0, 0), (0, 0)]
    assert not delivered(database, given[0], status=200)


def test_oldest_due_goes_first_and_limit_holds(database: Database, clock: Clock) -> None:
    """Each destination gets at most the limit, in the order of receipt."""
    for number in range(5):
        accept(database, new(number))
        clock.time += 1
    claimed = leases.claim(database, limit=2, lease_seconds=60)
    assert sorted(ids(claimed)) == ["evt_0", "evt_0", "evt_1", "evt_1"]
    assert ids(leases.claim(database, limit=2, lease_seconds=60, destinations=[A])) == [
        "evt_2",
        "evt_3",
    ]


def test_parallel_claims_share_out(database: Database) -> None:
    """Workers that claim at the same time never get the same delivery."""
    for number in range(60):
        accept(database, new(number))
    other = Database(str(database.url), [A, B], clock=database._clock)

    def work(number: int) -> list[int]:
        mine = []
        while claimed := leases.claim((database, other)[number % 2], limit=3, lease_seconds=600):
            mine += [one.delivery_id for one in claimed]
        return mine

    with ThreadPoolExecutor(6) as pool:
        got = [one for part in pool.map(work, range(6)) for one in part]
    # PostgreSQL passes over rows that others hold at the moment; a last round finds those.
    got += work(0)
    assert sorted(got) == sorted(set(got))
    assert len(got) == 120
    other.close()


def test_paused_destination_gives_nothing(database: Database, clock: Clock) -> None:
    """A paused destination is left alone, others are not; resuming makes what waits due."""
    accept(database, new())
    tried = leases.claim(database, limit=9, lease_seconds=60, destinations=[A])[0]
    retry(database, tried, delay=10_000, status=401, error="status")
    assert destinations.pause(database, A, "http_401", open_for=60)
    assert not destinations.pause(database, A, "http_403")
    clock.time += 20_000
    assert {one.destination for one in leases.claim(database, limit=9, lease_seconds=60)} == {B}
    assert (
        len(leases.claim(database, limit=9, lease_seconds=60, destinations=[A], paused=True)) == 1
    )
    clock.time -= 19_000
    state = queries.status(database).destinations[0].breaker
    assert (state.state, state.paused_because) == ("paused", "http_401")
    release(
        database, leases.claim(database, limit=9, lease_seconds=60, destinations=[A], paused=True)
    )
    assert destinations.resume(database, A)
    assert not destinations.resume(database, A)
    assert queries.status(database).destinations[0].breaker.open_for == 0


def test_resume_makes_retries_due(database: Database) -> None:
    """What waits for its retry is due when its destination is resumed; what is leased stays so."""
    accept(database, new(1))
    accept(database, new(2))
    first, _second = leases.claim(database, limit=9, lease_seconds=60, destinations=[A])
    retry(database, first, delay=10_000, status=500, error="status")
    destinations.pause(database, A, "http_401")
    destinations.resume(database, A)
    assert ids(leases.claim(database, limit=9, lease_seconds=60, destinations=[A])) == ["evt_1"]


def test_resume_is_many_short_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much waits, new events are stored meanwhile; progress says how far it is."""
    monkeypatch.setattr(destinations, "_CHUNK", 2)
    for number in range(5):
        accept(database, new(number))
    for claimed in leases.claim(database, limit=9, lease_seconds=60, destinations=[A]):
        retry(database, claimed, delay=10_000, status=500, error="status")
    destinations.pause(database, A, "http_401")
    done: list[int] = []

    def progress(number: int) -> None:
        done.append(number)
        accept(database, new(f"during_{number}"))

    assert destinations.resume(database, A, progress=progress)
    assert done == [2, 4, 5]
    assert len(leases.claim(database, limit=9, lease_seconds=60, destinations=[A])) == 8


def test_breaker_is_written_by_one(database: Database, clock: Clock) -> None:
    """Of many that saw the same breaker one alone may write it."""
    database.open()
    seen = destinations.breaker(database, A)

    def write(_: int) -> bool:
        return destinations.set_breaker(database, seen, failures=5, open_for=30, probing_for=10)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 1
    now = destinations.breaker(database, A)
    assert [now.failures, now.open_for, now.probing_for] == pytest.approx([5, 30, 10])
    clock.time += 31
    assert destinations.breaker(database, A).open_for == 0


def test_later_destination_gets_later_events(database_url: str) -> None:
    """A destination that is added gets new events; a replay to it sends older ones."""
    before = Database(database_url, [A])
    accept(before, new(1))
    before.close()
    after = Database(database_url, [A, B])
    accept(after, new(2))
    assert ids(leases.claim(after, limit=9, lease_seconds=60, destinations=[B])) == ["evt_2"]
    assert replay.replay(after, Filter(ids=("evt_1",)), destinations=[B]).deliveries == 1
    assert ids(leases.claim(after, limit=9, lease_seconds=60, destinations=[B])) == ["evt_1"]
    after.close()


@pytest.mark.parametrize("ahead", [3600, 10 * 365 * 86_400])
def test_clock_set_right_parks_no_event(database: Database, clock: Clock, ahead: float) -> None:
    """An event stored while the clock ran ahead is due as soon as the clock is right."""
    clock.time += ahead
    accept(database, new())
    clock.time -= ahead
    assert correct_clock(database) == 2
    assert len(leases.claim(database, limit=9, lease_seconds=60)) == 2


def test_clock_set_right_ends_endless_retries(database: Database, clock: Clock) -> None:
    """A retry scheduled by a clock that ran ahead for years does not wait for years."""
    accept(database, new())
    clock.time += 10 * 365 * 86_400
    for delivery in leases.claim(database, limit=9, lease_seconds=60):
        retry(database, delivery, delay=60, status=500, error="status")
    clock.time -= 10 * 365 * 86_400
    assert correct_clock(database) == 2
    assert len(leases.claim(database, limit=9, lease_seconds=60)) == 2


def test_wait_is_woken_by_another_process(database_url: str) -> None:
    """A worker that sleeps learns of an event that another process stored."""
    worker = Database(database_url, [A])
    writer = Database(database_url, [A])
    wakeup = WakeUp(worker)
    wakeup.wait(0.2)
    timer = threading.Timer(0.3, lambda: accept(writer, new()))
    timer.start()
    assert wakeup.wait(100)
    timer.join()
    wakeup.close()
    writer.close()
    worker.close()


def test_wait_ends_without_news(database: Database) -> None:
    """Without news a wait ends with its time, and a wake ends it at once."""
    wakeup = WakeUp(database)
    wakeup.wait(0.01)
    assert not wakeup.wait(0.05)
    threading.Timer(0.1, wakeup.wake).start()
    assert wakeup.wait(100)
    wakeup.close()


def test_nothing_happens_before_it_is_needed(database_url: str) -> None:
    """Making a database opens no file, no connection and no thread, so that a server may fork."""
    before = set(threading.enumerate())
    made = Database(database_url, [A])
    assert set(threading.enumerate()) <= before
    assert made.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    if made.path is not None:
        assert not made.path.exists()
    made.close()
