"""How the dispatcher starts, wakes, drains and stops."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from tests.relay.deliver.parts import Shop
from tests.relay.deliver.stand_in import (
    Action,
    Request,
    StandIn,
    answer,
    hang,
    later,
    slowly,
)
from tracknow_static.relay.deliver import dispatcher as dispatchers

if TYPE_CHECKING:
    from tracknow_static.relay.store.wakeup import WakeUp


def test_stopping_finishes_what_is_in_flight_and_gives_back_the_rest(
    shop: Shop, destination: StandIn
) -> None:
    """After a stop nothing is leased, and what arrived is settled."""
    dispatcher = shop.dispatcher()
    dispatcher.start()
    (worker,) = dispatcher._workers

    def decide(_request: Request) -> Action:
        worker._pool.stopping.wait(100)
        return answer()

    destination.decide = lambda request: later(decide, request)
    shop.sell(100)
    # Some are sent, and others are leased and wait for their turn.
    assert destination.wait_for(lambda: len(destination.requests) >= 2)
    assert destination.wait_for(lambda: shop.states()["in_flight"] > shop.concurrency)
    assert dispatcher.stop()
    states = shop.states()
    assert states["in_flight"] == 0
    assert states["delivered"] == len(destination.requests) <= shop.concurrency
    assert states["pending"] == 100 - states["delivered"]
    assert not dispatcher.running


def test_stopping_ends_within_its_bound(small_shop: Shop, destination: StandIn) -> None:
    """A destination that hangs holds up no stop for longer than asked."""
    destination.decide = lambda _: hang()
    small_shop.sell()
    dispatcher = small_shop.dispatcher()
    dispatcher.start()
    (worker,) = dispatcher._workers
    assert destination.wait_for(lambda: bool(destination.requests))
    # One that waited for the attempt's own end would report that everything has ended.
    assert not dispatcher.stop(0.2)
    worker.join(100)
    destination.decide = lambda _: answer()
    assert small_shop.drain().delivered == 1


def test_starting_twice_starts_once(small_shop: Shop) -> None:
    """Every request of a web process may call `start`."""
    dispatcher = small_shop.dispatcher()
    dispatcher.start()
    before = set(threading.enumerate())
    dispatcher.start()
    # Others may begin or end meanwhile: those that send, or those of earlier tests.
    begun = {thread.name for thread in set(threading.enumerate()) - before}
    assert not begun & {"relay-worker", "relay-watch"}
    assert dispatcher.running
    assert dispatcher.stop()
    assert dispatcher.stop()


def test_an_event_wakes_the_dispatcher(
    shop: Shop, destination: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event stored by any process goes out without waiting for the next look."""
    monkeypatch.setattr("tracknow_static.relay.deliver.worker._LOOK_EVERY", 3600.0)
    dispatcher = shop.dispatcher()
    other = shop.another_database()
    dispatcher.start()
    (worker,) = dispatcher._workers
    while worker._look_at <= time.monotonic() or not is_listening(dispatcher.wakeup):
        time.sleep(0.01)
    for number, database in enumerate((shop.database, other), 1):
        shop.database, kept = database, shop.database
        shop.sell()
        shop.database = kept
        assert destination.wait_for(lambda wanted=number: len(destination.requests) == wanted)  # type: ignore[misc]
    assert dispatcher.stop()
    other.close()


def test_an_event_stored_before_anybody_listens_is_not_left_for_later(
    shop: Shop, destination: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come after the first look, while the connection that waits is being made."""
    monkeypatch.setattr("tracknow_static.relay.deliver.worker._LOOK_EVERY", 3600.0)
    dispatcher = shop.dispatcher()
    connect = dispatcher.wakeup._connect

    def connect_late() -> None:
        (worker,) = dispatcher._workers
        while worker._look_at <= time.monotonic():
            time.sleep(0.01)
        shop.sell()
        connect()

    monkeypatch.setattr(dispatcher.wakeup, "_connect", connect_late)
    dispatcher.start()
    assert destination.wait_for(lambda: len(destination.requests) == 1)
    assert dispatcher.stop()


def test_a_wait_that_failed_begins_again(
    small_shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that nobody expected does not leave new events to the next look."""
    monkeypatch.setattr("tracknow_static.relay.deliver.dispatcher._FAILED_SECONDS", 0.0)
    dispatcher = small_shop.dispatcher()
    calls: list[float] = []
    again = threading.Event()

    def fail_once(seconds: float) -> bool:
        calls.append(seconds)
        if len(calls) == 1:
            raise OSError(24, "Too many open files")
        again.set()
        return not dispatcher._stopping.wait(seconds)

    monkeypatch.setattr(dispatcher.wakeup, "wait", fail_once)
    dispatcher.start()
    assert again.wait(100)
    assert dispatcher.stop()
    assert "Too many open files" in caplog.text


def is_listening(wakeup: WakeUp) -> bool:
    """Whether a change from now on ends its wait."""
    is_sqlite = wakeup._database.backend == "sqlite"
    return wakeup._connection is not None and (not is_sqlite or wakeup._seen is not None)


def test_a_retry_comes_when_it_is_due(small_shop: Shop, destination: StandIn) -> None:
    """A dispatcher that sleeps wakes up for the next step of the schedule by itself."""
    small_shop.database.close()
    shop = Shop(small_shop.url, [destination.url])
    shop.database._clock = None
    destination.decide = lambda _: answer(200 if len(destination.requests) else 500)
    dispatcher = shop.dispatcher()
    dispatcher.start()
    shop.sell()
    assert destination.wait_for(lambda: len(destination.requests) == 2)
    assert dispatcher.stop()
    shop.close()


def test_a_drain_ends_when_its_time_is_over(
    small_shop: Shop, destination: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain from cron does not outlive its bound, and what is left stays due."""
    destination.decide = lambda _: slowly(0.2)
    small_shop.sell(200)

    def monotonic() -> float:
        return time.monotonic() + (1000 if len(destination.requests) > 3 else 0)

    monkeypatch.setattr(dispatchers, "time", SimpleNamespace(monotonic=monotonic))
    drained = small_shop.drain(500)
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
    stop = threading.Event()

    def decide(_request: Request) -> Action:
        stop.set()
        return slowly(0.2)

    destination.decide = decide
    small_shop.sell(200)
    drained = small_shop.dispatcher().drain(60, stop=stop)
    assert drained.left > 0


@pytest.mark.parametrize("started", [0, 1])
def test_a_system_without_more_threads_delays_events_and_loses_none(
    small_shop: Shop, destination: StandIn, caplog: pytest.LogCaptureFixture, started: int
) -> None:
    """A limit for threads, or little memory, makes attempts slower; each is made once.

    The log has it once, too.
    """
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
    assert caplog.text.count("attempts are made one at a time") == 1
