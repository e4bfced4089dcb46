"""``serve`` and ``worker`` fetch by themselves; and what happens without key, library or time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.account.stand_in import Failure
from tests.relay.backfill.parts import DAY
from tests.relay.operate.parts import (
    command,
    run,
    run_json,
    serving,
    whole_environment,
)
from tests.servers import ended
from tracknow_static.errors import AccountError
from tracknow_static.relay.backfill import listing, transport
from tracknow_static.relay.backfill.backfill import Backfill
from tracknow_static.relay.backfill.listing import Lists
from tracknow_static.relay.backfill.thread import Backfiller
from tracknow_static.relay.store.ingest import Ingest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.relay.backfill.parts import Shop
    from tests.relay.backfill.place import Place
    from tests.relay.deliver.stand_in import StandIn


def until(true: Callable[[], bool], seconds: float = 100) -> bool:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_serve_fetches_at_start(place: Place, destination: StandIn, tmp_path: Path) -> None:
    """What was missed while it was away is delivered, marked and unsigned; status knows."""
    place.sell("a", DAY)
    place.environ |= {
        "TRACKNOW_RELAY_DESTINATIONS": destination.url,
        "TRACKNOW_RELAY_SIGNED_DESTINATIONS": "",
        "TRACKNOW_RELAY_DELIVER": "true",
    }
    with serving(place.environ, tmp_path) as relay:
        assert destination.wait_for(lambda: len(destination.requests) == 2)
        # The poll ends after its events are on their way.
        assert until(lambda: "missed events were fetched" in relay.log.read_text())
        assert relay.end() == 0
    for request in destination.requests:
        assert request.headers["tracknow-event-source"] == "api"
        assert request.headers["content-type"].startswith("application/json")
        assert "stripe-signature" not in request.headers
    found = run_json(place.environ, "status")["backfill"]
    assert (found["found"], found["endpoint"], found["error"]) == (2, "enabled", None)


def test_worker_fetches_at_start(place: Place, destination: StandIn, tmp_path: Path) -> None:
    """A host that only delivers does the same."""
    place.sell("a", DAY)
    place.environ |= {
        "TRACKNOW_RELAY_DESTINATIONS": destination.url,
        "TRACKNOW_RELAY_SIGNED_DESTINATIONS": "",
    }
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            command("worker"), env=whole_environment(place.environ), stdout=log, stderr=log
        )
        with ended(process):
            assert destination.wait_for(lambda: len(destination.requests) == 2)


def test_nothing_is_fetched_without_being_wanted(small_shop: Shop) -> None:
    """A key for the command alone, or none at all."""
    assert small_shop.config.backfills
    assert not replace(small_shop.config, backfill=False).backfills
    assert not replace(small_shop.config, api_key=None).backfills


def test_without_the_library(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "stripe", None)
    monkeypatch.delitem(sys.modules, transport.__name__)
    result = run(place.environ, "backfill", code=2)
    assert "pip install 'tracknow-static[stripe]'" in result.output


def test_a_relay_that_stops_gives_the_task_back(small_shop: Shop) -> None:
    """Between two pages; another process goes on at once."""
    for number in range(10):
        small_shop.sell(number, ago=DAY - number)
    small_shop.stripe.page = 4
    stopping = threading.Event()
    ingest = Ingest.from_config(small_shop.config, small_shop.database)
    task = Backfill(small_shop.config, ingest, stopping=stopping)
    assert task.poll(lambda listed: stopping.set() if listed == 8 else None) is None
    assert len(small_shop.rows()) == 8
    assert (small_shop.state.owner, small_shop.state.error) == ("", "")
    small_shop.poll()
    assert len(small_shop.rows()) == 20
    ingest.close()


def test_the_thread_reports_a_failure_once(
    small_shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """A key that was revoked is in the log and in the state, not in the log every minute."""
    ingest = Ingest.from_config(small_shop.config, small_shop.database)
    thread = Backfiller(small_shop.config, ingest)
    small_shop.stripe.denied = ("/v1/events",)
    stopping = threading.Event()
    task = Backfill(small_shop.config, ingest, running_since=small_shop.now)
    for _ in range(3):
        assert not thread._round(task, stopping)
    assert caplog.text.count("Events: Read") == 1
    assert "Events: Read" in small_shop.state.error
    small_shop.stripe.denied = ()
    assert thread._round(task, stopping)
    assert small_shop.state.error == ""
    ingest.close()


def test_an_answer_that_trickles(small_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripe may be slow: an answer as a whole has its time, and the poll fails with a text."""
    small_shop.stripe.failures.append(Failure(200, on="/v1/events", times=9, trickle=0.05))
    limits = {"largest": transport.LARGEST, "seconds": 0.2}
    monkeypatch.setattr(transport.BoundedClient.__init__, "__kwdefaults__", limits)
    with pytest.raises(AccountError, match="cannot be reached"):
        small_shop.poll()
    small_shop.stripe.failures.clear()


def test_at_most_25_requests_a_second(small_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request waits for its turn; the clock of the waits is the test's own."""
    moment, waits = [100.0], []
    monkeypatch.setattr(listing, "time", SimpleNamespace(monotonic=lambda: moment[0]))

    class Stopping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            moment[0] += timeout or 0.0
            return False

    assert small_shop.config.api_key is not None
    lists = Lists(small_shop.config.api_key, small_shop.config, stopping=Stopping())
    for _ in range(50):
        lists._pace()
    assert sum(waits) == pytest.approx(49 / 25)
