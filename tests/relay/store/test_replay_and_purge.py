"""Replaying and purging, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event as hooks

from tests.relay.store.parts import (
    START,
    A,
    B,
    accept,
    dead,
    delivered,
    ids,
    new,
    retry,
    settle_all,
)
from tests.relay.store.test_faults import mounted
from tracknow_static.errors import StorageError
from tracknow_static.relay.store import leases, purge, queries, replay
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import DeliveryResult, Filter

if TYPE_CHECKING:
    from pathlib import Path

    from tests.relay.store.parts import Clock


def test_replay_of_dead_letters(database: Database) -> None:
    """A replayed dead letter is due at once with a fresh schedule; a dry run changes nothing."""
    accept(database, new())
    settle_all(database, "dead")
    assert replay.replay(database, Filter(state="dead"), dry_run=True).deliveries == 2
    assert leases.claim(database, limit=9, lease_seconds=60) == []
    assert replay.replay(database, Filter(state="dead")).deliveries == 2
    again = leases.claim(database, limit=9, lease_seconds=60)
    assert [(one.attempts, one.tries) for one in again] == [(0, 0), (0, 0)]
    assert queries.status(database).destinations[0].dead == 0


@pytest.mark.parametrize(
    ("wanted", "due"),
    [
        (Filter(state="dead"), {"evt_1": [B]}),
        (Filter(state="delivered"), {"evt_1": [A], "evt_2": [A]}),
        (Filter(state="retrying"), {"evt_2": [B]}),
        (Filter(state="dead", destination=B), {"evt_1": [B]}),
        (Filter(state="dead", destination=A), {}),
        (Filter(destination=A), {"evt_1": [A], "evt_2": [A]}),
        (Filter(types=("charge.succeeded",)), {"evt_1": [A, B], "evt_2": [A, B]}),
    ],
)
def test_replay_means_the_deliveries_that_the_filter_names(
    database: Database, wanted: Filter, due: dict[str, list[str]]
) -> None:
    """By state or destination nothing goes where it was accepted; else the whole event does."""
    for number in (1, 2):
        accept(database, new(number))
    for one in leases.claim(database, limit=9, lease_seconds=9):
        if one.destination == A:
            delivered(database, one, status=200)
        elif one.event_id == "evt_1":
            dead(database, one, status=400, error="rejected")
        else:
            retry(database, one, delay=1000, status=500, error=None)
    number = sum(len(urls) for urls in due.values())
    assert replay.replay(database, wanted, dry_run=True).deliveries == number
    assert replay.replay(database, wanted).deliveries == number
    found: dict[str, list[str]] = {}
    for one in leases.claim(database, limit=9, lease_seconds=60):
        found.setdefault(one.event_id, []).append(one.destination)
    assert {event: sorted(urls) for event, urls in found.items()} == due


def test_replay_by_state_to_a_named_destination_goes_there(database: Database) -> None:
    """A destination that is named gets the events, whatever it did with them before."""
    accept(database, new())
    for one in leases.claim(database, limit=9, lease_seconds=9):
        if one.destination == A:
            delivered(database, one, status=200)
        else:
            dead(database, one, status=400, error="rejected")
    assert replay.replay(database, Filter(state="dead"), destinations=[A]).deliveries == 1
    assert [one.destination for one in leases.claim(database, limit=9, lease_seconds=60)] == [A]


def test_replay_cancels_the_scheduled_retry(database: Database, clock: Clock) -> None:
    """A replayed delivery that waited for a retry goes out once, not twice."""
    accept(database, new())
    for one in leases.claim(database, limit=9, lease_seconds=60):
        retry(database, one, delay=100, status=500, error="status")
    replay.replay(database, Filter())
    settle_all(database, "delivered")
    clock.time += 1000
    assert leases.claim(database, limit=9, lease_seconds=60) == []


def test_a_replayed_event_has_waited_since_its_replay(database: Database, clock: Clock) -> None:
    """However old it is, it gets all the time that a new one has before it is given up."""
    accept(database, new())
    assert {one.accepted_at for one in leases.claim(database, limit=9, lease_seconds=60)} == {START}
    clock.time += 60
    settle_all(database, "dead")
    clock.time += 60 * 86_400
    replay.replay(database, Filter(state="dead"))
    again = leases.claim(database, limit=9, lease_seconds=60)
    assert {one.accepted_at for one in again} == {clock.time}


def test_replay_leaves_alone_what_is_in_flight(database: Database) -> None:
    """A delivery that is being attempted is not made due a second time."""
    accept(database, new())
    leases.claim(database, limit=9, lease_seconds=60, destinations=[A])
    done = replay.replay(database, Filter())
    assert (done.deliveries, done.in_flight) == (1, 1)


def test_replay_spreads_by_rate(database: Database, clock: Clock) -> None:
    """A rate spreads deliveries over time, oldest event first, however many there are."""
    for number in range(5):
        accept(database, new(number))
        clock.time += 1
    while claimed := leases.claim(database, limit=9, lease_seconds=9):
        leases.settle(database, [DeliveryResult(one, "delivered", 200) for one in claimed])
    replay.replay(database, Filter(), rate=0.5, destinations=[A])
    assert ids(leases.claim(database, limit=9, lease_seconds=900)) == ["evt_0"]
    clock.time += 4
    assert ids(leases.claim(database, limit=9, lease_seconds=900)) == ["evt_1", "evt_2"]


def test_replay_of_a_kept_event_forwards_it(database: Database) -> None:
    """An event that was kept and not forwarded is forwarded when asked for; a thin one never."""
    accept(database, new(1, skipped_because="mode"))
    accept(database, new(2, skipped_because="thin"))
    done = replay.replay(database, Filter(state="kept"))
    assert (done.events, done.deliveries, done.thin) == (2, 2, 1)
    assert set(ids(leases.claim(database, limit=9, lease_seconds=60))) == {"evt_1"}


def test_replay_of_many_chunks(database: Database) -> None:
    """More events than one transaction takes are replayed once each, and progress is reported."""
    with ThreadPoolExecutor(64) as pool:
        list(pool.map(lambda number: accept(database, new(number)), range(450)))
    for _ in range(2):
        claimed = leases.claim(database, limit=450, lease_seconds=9)
        leases.settle(database, [DeliveryResult(one, "dead", 400) for one in claimed])
    seen: list[int] = []
    done = replay.replay(database, Filter(), destinations=[A], progress=seen.append)
    assert (done.events, done.deliveries) == (450, 450)
    assert seen == [200, 400, 450]


def test_purge_by_age_and_outcome(database: Database, clock: Clock) -> None:
    """Delivered payloads go first, dead and kept ones later, pending ones never."""
    for number in (1, 2, 3):
        accept(database, new(number))
    accept(database, new(4, skipped_because="type"))
    for one in leases.claim(database, limit=9, lease_seconds=9):
        kind = {"evt_1": "delivered", "evt_2": "dead"}.get(one.event_id)
        if kind and not (one.event_id == "evt_2" and one.destination == A):
            leases.settle(database, [DeliveryResult(one, kind, 200)])
        elif kind:
            delivered(database, one, status=200)

    def gone(**options: Any) -> set[str]:
        purge.purge(database, delivered_days=30, dead_days=90, check_clock=False, **options)
        return {one.id[4:] for one in queries.find(database, Filter()).events if one.purged_at}

    clock.time += 29 * 86_400
    assert gone() == set()
    clock.time += 2 * 86_400
    assert gone(dry_run=True) == set()
    assert gone() == set("1")
    clock.time += 60 * 86_400
    assert gone() == set("124")
    clock.time += 3650 * 86_400
    assert gone() == set("124")
    stored = queries.event(database, "evt_1")
    assert stored is not None
    assert (stored.payload, stored.deliveries[0].history) == (None, ())
    assert not accept(database, new(1)).new  # still recognised
    assert replay.replay(database, Filter(ids=("evt_1",))).purged == 1


def test_purge_says_how_much(database: Database, clock: Clock) -> None:
    """A purge tells events and bytes, and a dry run tells the same without doing it."""
    for number in range(3):
        accept(database, new(number, payload=b"x" * 10, skipped_because="type"))
    clock.time += 100 * 86_400
    planned = purge.purge(database, delivered_days=30, dead_days=90, dry_run=True)
    done = purge.purge(database, delivered_days=30, dead_days=90, check_clock=False)
    assert planned == done
    assert (done.events, done.size) == (3, 30)


def kept(database: Database, number: int, size: int = 20_000) -> None:
    """Store events that are not forwarded, whose payloads a purge may remove at once."""
    for index in range(number):
        accept(database, new(index, payload=b"x" * size, skipped_because="type"))


def test_purge_gives_space_back(sqlite_url: str) -> None:
    """The file shrinks by what was purged."""
    database = Database(sqlite_url)
    kept(database, 300)
    database.compact()
    assert database.path is not None
    before = database.path.stat().st_size
    assert purge.purge(database, delivered_days=0, dead_days=0).events == 300
    assert database.path.stat().st_size < before - 4_500_000
    database.close()


def test_a_full_disk_can_be_left(tmp_path: Path) -> None:
    """A purge needs no room that a full disk does not have, and makes room for new events."""
    folder = tmp_path / "small"
    with mounted(folder, "24m"):
        database = Database(f"sqlite:///{folder}/relay.sqlite3")
        with pytest.raises(StorageError) as caught:
            kept(database, 2000)
        assert caught.value.code == "disk_full"
        assert purge.purge(database, delivered_days=0, dead_days=0).events > 500
        assert accept(database, new("later", payload=b"x" * 20_000)).new
        database.close()


def test_purge_waits_for_a_clock_that_jumped(database: Database, clock: Clock) -> None:
    """A clock that is ahead for a while has nothing purged; one that stays there is believed."""
    kept(database, 1)

    def gone() -> int:
        return purge.purge(database, delivered_days=30, dead_days=30).events

    clock.time += 3600
    assert gone() == 0
    clock.time += 100 * 86_400
    assert purge.purge(database, delivered_days=30, dead_days=30).waits
    clock.time += 3600
    assert purge.purge(database, delivered_days=30, dead_days=30).waits
    clock.time -= 100 * 86_400
    assert gone() == 0
    stored = queries.event(database, "evt_0")
    assert stored is not None
    assert stored.payload is not None
    clock.time += 100 * 86_400
    assert gone() == 0
    clock.time += 86_400
    assert gone() == 1


def test_purge_and_replay_exclude_each_other(postgres_url: str, clock: Clock) -> None:
    """Whichever comes first, no delivery is due whose payload is gone."""
    database = Database(postgres_url, [A], clock=clock)
    kept(database, 40, size=10)
    clock.time += 100 * 86_400
    with ThreadPoolExecutor(2) as pool:
        removed = pool.submit(
            purge.purge, database, delivered_days=30, dead_days=90, check_clock=False
        )
        again = pool.submit(replay.replay, database, Filter(state="kept"))
        assert removed.result().events + again.result().deliveries == 40
    claimed = leases.claim(database, limit=100, lease_seconds=60)
    assert len(claimed) == again.result().deliveries
    assert [delivery.problem for delivery in claimed if delivery.problem] == []
    database.close()


@pytest.mark.parametrize("state", ["dead", "kept"])
def test_a_replay_grows_with_its_events(
    sqlite_url: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five times as many events are five times the work: no chunk looks for all of them again."""
    database = Database(sqlite_url, [A])
    monkeypatch.setattr(replay, "_CHUNK", 3)
    steps: list[int] = []

    @hooks.listens_for(database.engine, "connect")
    def _connected(made: Any, _record: object) -> None:
        made.set_progress_handler(lambda: steps.append(1), 10)

    def cost(first: int, last: int) -> int:
        for number in range(first, last):
            accept(database, new(number, skipped_because="type" if state == "kept" else None))
        while claimed := leases.claim(database, limit=100, lease_seconds=9):
            leases.settle(database, [DeliveryResult(one, "dead", 400) for one in claimed])
        steps.clear()
        assert replay.replay(database, Filter(state=state), dry_run=True).events == last
        return len(steps)

    few = cost(0, 40)
    assert cost(40, 200) < 10 * few
    database.close()
