"""How the dispatcher starts, wakes, drains and stops."""

from __future__ import annotations

import threading
import time
from unittest import mock

import pytest

from tests.relay.deliver.parts import Shop, network
from tests.relay.deliver.stand_in import (
    StandIn,
    answer,
    hang,
    slowly,
)


def test_stopping_finishes_what_is_in_flight_and_gives_back_the_rest(
    shop: Shop, destination: StandIn
) -> None:
    """After a stop nothing is leased, and what arrived is settled."""
    destination.decide = lambda _: slowly(0.3)
    shop.sell(100)
    dispatcher = shop.dispatcher()
    dispatcher.start()
    assert destination.wait_for(lambda: len(destination.requests) >= 2)
    assert dispatcher.stop()
    states = shop.states()
    assert states["in_flight"] == 0
    assert states["delivered"] == len(destination.requests) <= 3 * shop.concurrency
    assert states["pending"] == 100 - states["delivered"]
    assert not dispatcher.running


def test_stopping_ends_within_its_bound(small_shop: Shop, destination: StandIn) -> None:
    """A destination that hangs holds up no stop for longer than asked."""
    destination.decide = lambda _: hang(30)
    small_shop.network = network(timeout=2)
    small_shop.sell()
    dispatcher = small_shop.dispatcher()
    dispatcher.start()
    assert destination.wait_for(lambda: bool(destination.requests))
    started = time.monotonic()
    assert not dispatcher.stop(0.2)
    assert time.monotonic() - started < 2
    small_shop.now += small_shop.lease_seconds
    destination.decide = lambda _: answer()
    time.sleep(2.2)
    small_shop.now += small_shop.lease_seconds
    assert small_shop.drain().delivered == 1


def test_starting_twice_starts_once(small_shop: Shop) -> None:
    """Every request of a web process may call `start`."""
    dispatcher = small_shop.dispatcher()
    dispatcher.start()
    before = threading.active_count()
    dispatcher.start()
    assert threading.active_count() == before
    assert dispatcher.running
    assert dispatcher.stop()
    assert dispatcher.stop()


def test_an_event_wakes_the_dispatcher(shop: Shop, destination: StandIn) -> None:
    """An event stored by any process goes out without waiting for the next look."""
    dispatcher = shop.dispatcher()
    other = shop.another_database()
    dispatcher.start()
    time.sleep(0.3)
    started = time.monotonic()
    for number, database in enumerate((shop.database, other), 1):
        shop.database, kept = database, shop.database
        shop.sell()
        shop.database = kept
        assert destination.wait_for(lambda wanted=number: len(destination.requests) == wanted, 20)  # type: ignore[misc]
    assert time.monotonic() - started < 20, "the next look would come after 30 s"
    assert dispatcher.stop()
    other.close()


def test_a_retry_comes_when_it_is_due(small_shop: Shop, destination: StandIn) -> None:
    """A dispatcher that sleeps wakes up for the next step of the schedule by itself."""
    small_shop.database.close()
    shop = Shop(small_shop.url, [destination.url])
    shop.database._clock = None
    destination.decide = lambda _: answer(200 if len(destination.requests) else 500)
    dispatcher = shop.dispatcher()
    dispatcher.start()
    shop.sell()
    assert destination.wait_for(lambda: len(destination.requests) == 2, 20)
    assert dispatcher.stop()
    shop.close()


def test_a_drain_ends_when_its_time_is_over(small_shop: Shop, destination: StandIn) -> None:
    """A drain from cron does not outlive its bound, and what is left stays due."""
    destination.decide = lambda _: slowly(0.2)
    small_shop.sell(200)
    drained = small_shop.drain(0.5)
    assert 0 < drained.delivered < 200
    assert drained.delivered + drained.left == 200
    assert small_shop.states()["in_flight"] == 0


def test_a_drain_leaves_only_what_is_due(shop: Shop, destination: StandIn) -> None:
    """A retry that is scheduled for later is not left over: nothing could have been done."""
    destination.decide = lambda request: answer(500 if request.event in failing else 200)
    failing = set(shop.sell(2))
    shop.sell(3)
    drained = shop.drain()
    assert (drained.delivered, drained.retried, drained.left) == (3, 2, 0)


def test_a_drain_can_be_stopped(small_shop: Shop, destination: StandIn) -> None:
    """SIGTERM ends a drain as it ends a worker."""
    destination.decide = lambda _: slowly(0.2)
    small_shop.sell(200)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    drained = small_shop.dispatcher().drain(60, stop=stop)
    assert drained.left > 0


@pytest.mark.parametrize("started", [0, 1])
def test_a_system_without_more_threads_delays_events_and_loses_none(
    small_shop: Shop, destination: StandIn, started: int
) -> None:
    """A limit for threads, or little memory, makes attempts slower; each is made once."""
    start, left = threading.Thread.start, [started]

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("relay-sender"):
            left[0] -= 1
            if left[0] < 0:
                raise RuntimeError("can't start new thread")
        start(thread)

    ids = small_shop.sell(30)
    with mock.patch.object(threading.Thread, "start", refuse):
        drained = small_shop.drain()
    assert (drained.delivered, drained.left) == (30, 0)
    assert destination.counts == dict.fromkeys(ids, 1)
