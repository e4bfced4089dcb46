"""What becomes of events while destinations fail or refuse. Time is the shop's clock."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from tests.relay.deliver.parts import NOON, Shop, network, to
from tests.relay.deliver.stand_in import (
    Action,
    Request,
    StandIn,
    answer,
    later,
    reset,
)
from tracknow_static.relay.deliver import schedule
from tracknow_static.relay.deliver.breaker import THRESHOLD
from tracknow_static.relay.deliver.schedule import LONGEST_OPEN
from tracknow_static.relay.store import destinations, queries, replay
from tracknow_static.relay.store.destinations import correct_clock
from tracknow_static.relay.store.model import PAUSED, Filter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.relay.deliver.dispatcher import Drained
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import Breaker

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600


def destination_state(shop: Shop) -> str:
    """Return whether the first destination is active or paused."""
    return queries.status(shop.database).destinations[0].breaker.state


# -- outages


def test_an_hour_of_500s_loses_nothing_and_is_no_bombardment(
    shop: Shop, destination: StandIn
) -> None:
    """Everything arrives after the outage, which cost no event its schedule."""
    destination.decide = lambda _: answer(500)
    ids = shop.sell(40)
    shop.drain()
    for _ in range(20):
        ids += shop.sell(3)
        shop.live(3 * MINUTE, step=3 * MINUTE)
    tried = len(destination.requests)
    # The five that opened the breaker, what was under way beside them, and the probes.
    assert THRESHOLD <= tried <= THRESHOLD + shop.concurrency + HOUR / LONGEST_OPEN + 10
    assert max(shop.delivery(one).attempts for one in ids) <= 1
    destination.decide = lambda _: answer()
    shop.live(LONGEST_OPEN * 1.2 + 1, step=LONGEST_OPEN * 1.2 + 1)
    shop.drain()
    assert shop.states() == {"pending": 0, "in_flight": 0, "delivered": 100, "dead": 0}
    assert set(destination.counts) == set(ids)


@pytest.mark.parametrize("fault", ["status", "reset", "refused"])
def test_five_days_of_outage_lose_nothing(
    small_shop: Shop, destination: StandIn, fault: str
) -> None:
    """However a destination is out, and however few events there are, none of them dies of it."""
    shop = small_shop
    if fault == "refused":
        shop.network = network(lookup=to("127.0.0.9"))
    destination.decide = lambda _: reset() if fault == "reset" else answer(503)
    url = destination.url.replace("127.0.0.1", "shop.example") if fault == "refused" else None
    if url:
        shop = Shop(small_shop.url + "2", [url], network=shop.network)
    (one,) = shop.sell()
    shop.live(MINUTE, step=5)
    shop.live(5 * DAY, step=4 * HOUR)
    delivery = shop.delivery(one)
    assert delivery.state == "pending"
    # More probes than the schedule has steps, and none of them counted.
    assert len(delivery.history) > len(schedule.STEPS) + 1
    assert delivery.attempts <= THRESHOLD
    destination.decide = lambda _: answer()
    shop.network = network(lookup=to("127.0.0.1"))
    shop.live(HOUR, step=LONGEST_OPEN)
    assert shop.delivery(one).state == "delivered"
    shop.close()


def test_an_event_that_fails_alone_ends_among_the_dead_letters(
    small_shop: Shop, destination: StandIn
) -> None:
    """While others are accepted its attempts count: it dies when the schedule ends, after 3 days."""
    (bad,) = small_shop.sell()
    destination.decide = lambda request: answer(500 if request.event == bad else 200)
    started = small_shop.now
    while small_shop.delivery(bad).state == "pending":
        assert small_shop.now < started + 5 * DAY
        wait = small_shop.delivery(bad).due_at - small_shop.now
        small_shop.now += max(wait, 1)
        small_shop.sell()
        small_shop.drain()
    assert small_shop.now - started >= 3 * DAY
    assert destination.counts[bad] == len(schedule.STEPS) + 1
    assert small_shop.delivery(bad).last_error == "gave_up"
    assert small_shop.states()["pending"] == 0


def test_a_failing_event_does_not_bar_the_way(small_shop: Shop, destination: StandIn) -> None:
    """While the breaker is open the next probe is another event, which finds the destination up."""
    (bad,) = small_shop.sell()
    destination.decide = lambda request: answer(500 if request.event == bad else 200)
    small_shop.live(2 * MINUTE, step=1)
    assert destinations.breaker(small_shop.database, destination.url).failures >= THRESHOLD
    (good,) = small_shop.sell()
    small_shop.live(2 * LONGEST_OPEN, step=LONGEST_OPEN / 2)
    assert small_shop.delivery(good).state == "delivered"


def test_the_next_probe_is_a_newer_event(small_shop: Shop, destination: StandIn) -> None:
    """In a quiet shop one sale that always fails keeps the next one waiting for one probe only."""
    (bad,) = small_shop.sell()
    destination.decide = lambda request: answer(500 if request.event == bad else 200)
    small_shop.live(HOUR, step=LONGEST_OPEN / 4)
    (good,) = small_shop.sell()
    small_shop.live(LONGEST_OPEN * 1.2 + 1, step=5)
    assert small_shop.delivery(good).state == "delivered"


@contextlib.contextmanager
def all_together(number: int) -> Iterator[None]:
    """Let that number of workers see the breaker before any of them may change it."""
    look, meeting = destinations.breaker, threading.Barrier(number)
    met: set[int] = set()

    def wait(database: Database, url: str) -> Breaker:
        seen = look(database, url)
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            meeting.wait(100)
        return seen

    with mock.patch.object(destinations, "breaker", wait):
        yield


def test_one_probe_at_a_time_over_all_processes(shop: Shop, destination: StandIn) -> None:
    """When a breaker's wait is over, one of many dispatchers sends one event."""
    destination.decide = lambda _: answer(500)
    shop.sell(50)
    shop.drain()
    opened = len(destination.requests)
    ended: list[Drained] = []

    def wait_for_all(_request: Request) -> Action:
        # By then each of them has sent a probe, or found that it may not.
        destination.wait_for(lambda: len(destination.requests) - opened + len(ended) >= 5)
        return answer(500)

    destination.decide = lambda request: later(wait_for_all, request)
    shop.now += LONGEST_OPEN
    others = [shop.another_database() for _ in range(4)]
    dispatchers = [shop.dispatcher(database) for database in (*others, shop.database)]
    threads = [
        threading.Thread(target=lambda made: ended.append(made.drain(100)), args=(dispatcher,))
        for dispatcher in dispatchers
    ]
    with all_together(len(threads)):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(200)
    for database in others:
        database.close()
    assert len(destination.requests) == opened + 1


def test_what_was_claimed_when_the_breaker_opened_is_given_back(
    shop: Shop, destination: StandIn
) -> None:
    """Events that wait in the process for their turn are not burnt in an outage, nor held."""
    destination.decide = lambda _: answer(500)
    shop.sell(200)
    shop.drain()
    assert len(destination.requests) <= THRESHOLD + shop.concurrency
    assert shop.states()["in_flight"] == 0


# -- verdicts


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_rejected_event_is_dead_at_once_and_can_be_replayed(
    small_shop: Shop, destination: StandIn, status: int
) -> None:
    """Another attempt would meet the same; a replay is a fresh start."""
    destination.decide = lambda _: answer(status)
    (one,) = small_shop.sell()
    assert small_shop.drain().dead == 1
    assert small_shop.delivery(one).last_status == status
    destination.decide = lambda _: answer()
    assert replay.replay(small_shop.database, Filter(state="dead")).deliveries == 1
    assert small_shop.drain().delivered == 1
    assert destination.requests[-1].event == one


@pytest.mark.parametrize("status", [401, 404, 302])
def test_a_misconfiguration_pauses_loudly_and_loses_nothing(
    small_shop: Shop, destination: StandIn, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """One error in the log, no more events sent, none counted, and it resumes when fixed."""
    destination.decide = lambda _: answer(status)
    ids = small_shop.sell(50)
    with caplog.at_level(logging.INFO):
        small_shop.drain()
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert f"it answered {status}" in errors[0].getMessage()
    assert "tracknow-relay resume" in errors[0].getMessage()
    assert destination_state(small_shop) == PAUSED
    assert len(destination.requests) <= small_shop.concurrency
    small_shop.drain()
    tried = len(destination.requests)
    assert tried <= small_shop.concurrency
    small_shop.live(DAY, step=HOUR)
    probes = len(destination.requests) - tried
    assert 10 <= probes <= 26, "about one an hour, with jitter"
    assert {small_shop.delivery(one).attempts for one in ids} == {0}
    destination.decide = lambda _: answer()
    small_shop.live(2 * HOUR, step=HOUR)
    assert small_shop.states() == {"pending": 0, "in_flight": 0, "delivered": 50, "dead": 0}


def test_a_fixed_destination_resumes_within_minutes(small_shop: Shop, destination: StandIn) -> None:
    """The first probe comes after a minute."""
    destination.decide = lambda _: answer(404)
    small_shop.sell(3)
    small_shop.drain()
    destination.decide = lambda _: answer()
    small_shop.live(90, step=10)
    assert small_shop.states()["delivered"] == 3


def test_an_operator_resumes_at_once(small_shop: Shop, destination: StandIn) -> None:
    """Nothing waits for a probe after `resume`, the refused event neither."""
    destination.decide = lambda _: answer(401)
    small_shop.sell(5)
    small_shop.drain()
    destination.decide = lambda _: answer()
    assert destinations.resume(small_shop.database, destination.url)
    assert small_shop.drain().delivered == 5


def test_one_refused_event_does_not_stop_the_others(small_shop: Shop, destination: StandIn) -> None:
    """A firewall that dislikes one payload delays the others for minutes of a day."""
    (bad,) = small_shop.sell()
    destination.decide = lambda request: answer(403 if request.event == bad else 200)
    waited = 0
    for _ in range(48):
        (good,) = small_shop.sell()
        small_shop.live(30 * MINUTE, step=30 * MINUTE)
        waited += small_shop.delivery(good).state == "pending"
    assert small_shop.delivery(bad).state == "pending"
    assert waited <= 24
    assert destination.counts[bad] <= 30
    assert small_shop.states()["delivered"] >= 47


def test_rebinding_to_a_private_address_pauses(small_shop: Shop, destination: StandIn) -> None:
    """A destination whose name suddenly leads inside gets nothing and is paused; nothing is lost."""
    url = destination.url.replace("127.0.0.1", "shop.example")
    inside = network(private=False, lookup=to("127.0.0.1"))
    shop = Shop(small_shop.url + "2", [url], network=inside)
    shop.sell(3)
    shop.drain()
    assert destination.connections == 0
    paused = queries.status(shop.database).destinations[0]
    assert paused.breaker.state == PAUSED
    assert "127.0.0.1" in str(paused.breaker.paused_because)
    assert shop.states()["pending"] == 3
    shop.close()


@pytest.mark.parametrize(("status", "wish"), [(429, "120"), (503, "120"), (429, "9" * 40)])
def test_a_busy_destination_is_left_alone(
    small_shop: Shop, destination: StandIn, status: int, wish: str
) -> None:
    """Retry-After holds for all events, up to six hours."""
    until = min(int(wish), schedule.LONGEST_RETRY_AFTER)
    destination.decide = lambda _: answer(status, Retry_After=wish)
    ids = small_shop.sell(30)
    small_shop.drain()
    tried = len(destination.requests)
    assert tried <= small_shop.concurrency
    destination.decide = lambda _: answer()
    small_shop.live(until - 1, step=until / 7)
    assert len(destination.requests) == tried
    small_shop.live(5, step=1)
    assert small_shop.states()["delivered"] == 30
    assert {small_shop.delivery(one).attempts for one in ids} == {1}, "only what was accepted"


# -- clocks


def test_a_clock_set_back_in_an_outage_delays_nothing(shop: Shop, destination: StandIn) -> None:
    """Breaker and deliveries wait as long as they would have, not the hours of the correction too."""
    destination.decide = lambda _: answer(500)
    shop.sell(10)
    shop.live(10 * MINUTE, step=30)
    assert destinations.breaker(shop.database, destination.url).open_for > 0
    shop.now -= 6 * HOUR
    destination.decide = lambda _: answer()
    shop.live(LONGEST_OPEN * 1.2 + 60, step=30)
    assert shop.states() == {"pending": 0, "in_flight": 0, "delivered": 10, "dead": 0}


def test_a_clock_set_back_is_corrected_once(shop: Shop, destination: StandIn) -> None:
    """Another process, or a later look, moves nothing a second time."""
    destination.decide = lambda _: answer(429, Retry_After="3600")
    shop.sell()
    shop.drain()
    shop.now -= 6 * HOUR
    others = [shop.another_database() for _ in range(2)]
    assert [correct_clock(database) for database in others] == [1, 0]
    for database in others:
        assert 3500 < destinations.breaker(database, destination.url).open_for <= 3600
        database.close()


def test_a_clock_that_jumps_loses_nothing(shop: Shop, destination: StandIn) -> None:
    """Whatever was scheduled under a wrong clock goes out when the clock is right again."""
    destination.decide = lambda _: answer(500)
    shop.now = NOON + 3650 * DAY
    shop.sell(20)
    shop.live(MINUTE, step=5)
    shop.now = NOON
    destination.decide = lambda _: answer()
    shop.live(HOUR, step=10 * MINUTE)
    assert shop.states() == {"pending": 0, "in_flight": 0, "delivered": 20, "dead": 0}
