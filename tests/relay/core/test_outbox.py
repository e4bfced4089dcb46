"""The outbox's promises, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tracknow_static.relay.database import Database
from tracknow_static.relay.outbox import Outbox
from tracknow_static.relay.records import Filter, NewEvent, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

A, B = "https://a.example/postback", "https://b.example/postback"
START = 1_790_000_000.0


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    """The outbox's clock."""
    return Clock()


@pytest.fixture
def outbox(database_url: str, clock: Clock) -> Iterator[Outbox]:
    """An outbox with two destinations on each kind of database."""
    made = Outbox(Database(database_url, clock=clock), [A, B])
    yield made
    made.close()


def new(number: int | str = 1, **changes: Any) -> NewEvent:
    """An event of some number."""
    values: dict[str, Any] = {"id": f"evt_{number}", "type": "charge.succeeded"}
    return NewEvent(**{**values, "payload": b"{%d}" % len(str(number)), **changes})


def ids(claimed: Any) -> list[str]:
    """Ids of the events of deliveries."""
    return [one.event_id for one in claimed]


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


def test_status_counts(outbox: Outbox, clock: Clock) -> None:
    """The summary tells each destination's deliveries by what has become of them."""
    for number in range(5):
        outbox.accept(new(number))
    one, two, three, *_ = outbox.claim(limit=4, lease_seconds=60, destinations=[A])
    outbox.settle(
        [
            Outcome(one, "delivered", 200),
            Outcome(two, "retry", 500, "status", 5),
            Outcome(three, "dead", 400, "status"),
        ]
    )
    clock.time += 7
    a, b = outbox.status().destinations
    assert (a.pending, a.retrying, a.in_flight, a.dead, a.delivered) == (3, 1, 1, 1, 1)
    assert a.oldest_pending_age == pytest.approx(7)
    assert (b.pending, b.retrying, b.in_flight, b.dead, b.delivered) == (5, 0, 0, 0, 0)
    tallies = outbox.status().tallies
    assert tallies["accepted", ""] == 5
    assert tallies["retried", A] == 1


def test_counters_add_up_over_processes(outbox: Outbox) -> None:
    """Counters of several processes are added up, and survive the purge of their owners."""
    other = Outbox(Database(str(outbox.database.url)), [A, B])
    for one in (outbox, other):
        one.count("refused:x")
        one.count("refused:x", 2)
        one.flush()
    assert outbox.status().tallies["refused:x", ""] == 6
    other.close()


def test_counters_of_gone_processes_are_kept(outbox: Outbox, clock: Clock) -> None:
    """A purge adds old counters together and loses none."""
    outbox.count("refused:x", 3)
    outbox.flush()
    clock.time += 8 * 86_400
    outbox.purge(delivered_days=30, dead_days=90)
    outbox.count("refused:x", 4)
    outbox.flush()
    assert outbox.status().tallies["refused:x", ""] == 7


def test_find_pages_through_everything_once(outbox: Outbox, clock: Clock) -> None:
    """Pages follow each other without gap or overlap, oldest first."""
    for number in range(7):
        outbox.accept(new(number))
        clock.time += number % 2  # some at the same time
    found, cursor = [], None
    while True:
        page = outbox.find(Filter(), limit=2, cursor=cursor)
        found += [one.id for one in page.events]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == [f"evt_{number}" for number in range(7)]
    with pytest.raises(ValueError, match="cursor"):
        outbox.find(Filter(), cursor="nonsense")


def test_find_by_everything(outbox: Outbox, clock: Clock) -> None:
    """Each condition of a filter restricts, and all of them together."""
    outbox.accept(new(1, type="checkout.session.completed", reference="R1", payment_intent="pi_1"))
    outbox.accept(new(2, payment_intent="pi_1"))
    outbox.accept(new(3, type="checkout.session.completed", reference="R2", customer="cus_2"))
    clock.time += 100
    outbox.accept(new(4, customer="cus_2"))
    outbox.accept(new(5, type="x.y", kept_because="type"))
    outbox.dead(outbox.claim(limit=1, lease_seconds=9, destinations=[B])[0], status=400, error="x")

    def found(**conditions: Any) -> set[str]:
        return {one.id[4:] for one in outbox.find(Filter(**conditions)).events}

    assert found() == set("12345")
    assert found(ids=("evt_2", "evt_9")) == set("2")
    assert found(types=("charge.succeeded",)) == set("24")
    assert found(reference="R1") == set("12")
    assert found(reference="R2") == set("34")
    assert found(since=START + 50) == set("45")
    assert found(until=START + 50) == set("123")
    assert found(state="kept") == found(kept_because="type") == set("5")
    assert found(state="dead") == found(state="dead", destination=B) == set("1")
    assert found(state="dead", destination=A) == set()
    assert found(state="pending") == set("1234")
    assert found(state="retrying") == found(state="delivered") == set()
    assert found(destination=A) == set("1234")
    assert found(types=("charge.succeeded",), until=START + 50) == set("2")
    with pytest.raises(ValueError, match="state: 'lost' is not accepted"):
        found(state="lost")


def test_twins_are_flagged(outbox: Outbox, clock: Clock) -> None:
    """A second event about the same object with the same type names the first one."""
    for number, subject in enumerate(["ch_1", "ch_1", "ch_2", "ch_1"]):
        outbox.accept(new(number, object_id=subject))
        clock.time += 1
    outbox.accept(new(9, object_id="ch_1", type="charge.refunded"))
    twins = {one.id: one.twin_of for one in outbox.find(Filter()).events}
    assert twins == {
        "evt_0": None,
        "evt_1": "evt_0",
        "evt_2": None,
        "evt_3": "evt_0",
        "evt_9": None,
    }


def test_renewal_finds_its_reference(outbox: Outbox, clock: Clock) -> None:
    """Years later a charge still finds its click id, by its customer, though payloads are gone."""
    outbox.accept(new("s", type="checkout.session.completed", reference="R", customer="cus_1"))
    outbox.settle(
        [Outcome(one, "delivered", 200) for one in outbox.claim(limit=9, lease_seconds=9)]
    )
    for year in range(4):
        clock.time += 365 * 86_400
        outbox.accept(new(f"c{year}", customer="cus_1"))
        outbox.purge(delivered_days=30, dead_days=90, references_days=400)
        stored = outbox.event(f"evt_c{year}")
        assert stored is not None
        assert stored.reference_found == "R"
    clock.time += 401 * 86_400
    assert outbox.purge(delivered_days=30, dead_days=90, references_days=400).references == 1


def settle_all(outbox: Outbox, kind: str) -> None:
    """Settle everything that is due in one way."""
    status = 200 if kind == "delivered" else 400
    outbox.settle([Outcome(one, kind, status) for one in outbox.claim(limit=9, lease_seconds=9)])


def test_replay_of_dead_letters(outbox: Outbox) -> None:
    """A replayed dead letter is due at once with a fresh schedule; a dry run changes nothing."""
    outbox.accept(new())
    settle_all(outbox, "dead")
    assert outbox.replay(Filter(state="dead"), dry_run=True).deliveries == 2
    assert outbox.claim(limit=9, lease_seconds=60) == []
    assert outbox.replay(Filter(state="dead")).deliveries == 2
    again = outbox.claim(limit=9, lease_seconds=60)
    assert [(one.attempts, one.tries) for one in again] == [(0, 0), (0, 0)]
    assert outbox.status().destinations[0].dead == 0


def test_replay_cancels_the_scheduled_retry(outbox: Outbox, clock: Clock) -> None:
    """A replayed delivery that waited for a retry goes out once, not twice."""
    outbox.accept(new())
    for one in outbox.claim(limit=9, lease_seconds=60):
        outbox.retry(one, delay=100, status=500, error="status")
    outbox.replay(Filter())
    settle_all(outbox, "delivered")
    clock.time += 1000
    assert outbox.claim(limit=9, lease_seconds=60) == []


def test_replay_leaves_alone_what_is_in_flight(outbox: Outbox) -> None:
    """A delivery that is being attempted is not made due a second time."""
    outbox.accept(new())
    outbox.claim(limit=9, lease_seconds=60, destinations=[A])
    done = outbox.replay(Filter())
    assert (done.deliveries, done.in_flight) == (1, 1)


def test_replay_spreads_by_rate(outbox: Outbox, clock: Clock) -> None:
    """A rate spreads deliveries over time, oldest event first, however many there are."""
    for number in range(5):
        outbox.accept(new(number))
        clock.time += 1
    while claimed := outbox.claim(limit=9, lease_seconds=9):
        outbox.settle([Outcome(one, "delivered", 200) for one in claimed])
    outbox.replay(Filter(), rate=0.5, destinations=[A])
    assert ids(outbox.claim(limit=9, lease_seconds=900)) == ["evt_0"]
    clock.time += 4
    assert ids(outbox.claim(limit=9, lease_seconds=900)) == ["evt_1", "evt_2"]


def test_replay_of_a_kept_event_forwards_it(outbox: Outbox) -> None:
    """An event that was kept and not forwarded is forwarded when asked for; a thin one never."""
    outbox.accept(new(1, kept_because="mode"))
    outbox.accept(new(2, kept_because="thin"))
    done = outbox.replay(Filter(state="kept"))
    assert (done.events, done.deliveries, done.thin) == (2, 2, 1)
    assert set(ids(outbox.claim(limit=9, lease_seconds=60))) == {"evt_1"}


def test_replay_of_many_chunks(outbox: Outbox) -> None:
    """More events than one transaction takes are replayed once each, and progress is told."""
    with ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda number: outbox.accept(new(number)), range(450)))
    for _ in range(2):
        claimed = outbox.claim(limit=450, lease_seconds=9)
        outbox.settle([Outcome(one, "dead", 400) for one in claimed])
    seen: list[int] = []
    done = outbox.replay(Filter(), destinations=[A], progress=seen.append)
    assert (done.events, done.deliveries) == (450, 450)
    assert seen == [200, 400, 450]


def test_purge_by_age_and_outcome(outbox: Outbox, clock: Clock) -> None:
    """Delivered payloads go first, dead and kept ones later, pending ones never."""
    for number in (1, 2, 3):
        outbox.accept(new(number))
    outbox.accept(new(4, kept_because="type"))
    for one in outbox.claim(limit=9, lease_seconds=9):
        kind = {"evt_1": "delivered", "evt_2": "dead"}.get(one.event_id)
        if kind and not (one.event_id == "evt_2" and one.destination == A):
            outbox.settle([Outcome(one, kind, 200)])
        elif kind:
            outbox.delivered(one, status=200)

    def gone(**options: Any) -> set[str]:
        outbox.purge(delivered_days=30, dead_days=90, **options)
        return {one.id[4:] for one in outbox.find(Filter()).events if one.purged_at}

    clock.time += 29 * 86_400
    assert gone() == set()
    clock.time += 2 * 86_400
    assert gone(dry_run=True) == set()
    assert gone() == set("1")
    clock.time += 60 * 86_400
    assert gone() == set("124")
    clock.time += 3650 * 86_400
    assert gone() == set("124")
    stored = outbox.event("evt_1")
    assert stored is not None
    assert (stored.payload, stored.deliveries[0].history) == (None, ())
    assert not outbox.accept(new(1)).new  # still recognised
    assert outbox.replay(Filter(ids=("evt_1",))).purged == 1


def test_purge_says_how_much(outbox: Outbox, clock: Clock) -> None:
    """A purge tells events and bytes, and a dry run tells the same without doing it."""
    for number in range(450):
        outbox.accept(new(number, payload=b"x" * 10, kept_because="type")) if number < 3 else None
    clock.time += 100 * 86_400
    planned = outbox.purge(delivered_days=30, dead_days=90, dry_run=True)
    done = outbox.purge(delivered_days=30, dead_days=90)
    assert planned == done
    assert (done.events, done.size) == (3, 30)


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
