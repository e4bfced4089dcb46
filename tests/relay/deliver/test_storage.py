"""The database is locked, gone and back while events are on their way."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests.relay.deliver.parts import Shop
from tests.relay.deliver.stand_in import Action, Request, StandIn, answer, later
from tracknow_static.errors import StorageError
from tracknow_static.relay.deliver import worker
from tracknow_static.relay.deliver.worker import AHEAD
from tracknow_static.relay.store import sqlite_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.relay.conftest import Postgres


def break_after_first(destination: StandIn, break_it: Callable[[], object]) -> None:
    """Break the database when the first event arrives, before it can be settled."""
    lock = threading.Lock()
    broken = threading.Event()

    def decide(_request: Request) -> Action:
        with lock:
            if not broken.is_set():
                break_it()
                broken.set()
        return answer()

    destination.decide = lambda request: later(decide, request)


@contextlib.contextmanager
def delivering(shop: Shop) -> Iterator[None]:
    """Deliver while the block runs."""
    dispatcher = shop.dispatcher()
    dispatcher.start()
    try:
        yield
    finally:
        assert dispatcher.stop()


def all_settled(shop: Shop, number: int) -> bool:
    """Wait until this number of deliveries is recorded."""
    until = time.monotonic() + 100
    while time.monotonic() < until:
        with contextlib.suppress(StorageError):
            if shop.states()["delivered"] == number:
                return True
        time.sleep(0.1)
    return False


def wait_for_message(caplog: pytest.LogCaptureFixture, start: str) -> None:
    """Wait until a message that starts like this is logged; the test's time-out ends the wait."""
    while not any(record.getMessage().startswith(start) for record in caplog.records):
        time.sleep(0.05)


def test_a_locked_database_costs_time_and_nothing_else(
    sqlite_url: str,
    destination: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Answers that came while it was locked are recorded afterwards; nothing is sent twice."""
    monkeypatch.setattr(sqlite_file, "_BUSY_SECONDS", 0.1)
    shop = Shop(sqlite_url, [destination.url])
    ids = shop.sell(50)
    locker = sqlite3.connect(
        sqlite_url.removeprefix("sqlite:///"),
        isolation_level=None,
        check_same_thread=False,
        timeout=100,
    )
    break_after_first(destination, lambda: locker.execute("BEGIN EXCLUSIVE"))
    with caplog.at_level(logging.WARNING), delivering(shop):
        assert destination.wait_for(lambda: destination.answered > 0)
        wait_for_message(caplog, "database out of reach")
        time.sleep(1)
        during = len(destination.requests)
        locker.execute("ROLLBACK")
        assert all_settled(shop, 50)
    assert during <= shop.concurrency * (1 + AHEAD), (
        "no more than the window while nothing can be recorded"
    )
    assert destination.counts == dict.fromkeys(ids, 1)
    messages = [record.getMessage() for record in caplog.records]
    assert sum(message.startswith("database out of reach") for message in messages) == 1
    assert "database is back" in messages
    locker.close()
    shop.close()


def test_a_drain_that_stops_does_not_report_a_locked_database_as_back(
    sqlite_url: str,
    destination: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only what was asked of the database shows that it answers again."""
    monkeypatch.setattr(sqlite_file, "_BUSY_SECONDS", 0.1)
    shop = Shop(sqlite_url, [destination.url])
    shop.sell(1)
    locker = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    stop = threading.Event()

    def stop_later() -> None:
        wait_for_message(caplog, "database out of reach")
        stop.set()

    stopper = threading.Thread(target=stop_later)
    with caplog.at_level(logging.WARNING):
        stopper.start()
        assert shop.dispatcher().drain(60, stop=stop).delivered == 0
    stopper.join()
    assert "database is back" not in [record.getMessage() for record in caplog.records]
    locker.close()
    shop.close()


def test_a_full_disk_that_can_be_read_is_not_back(
    sqlite_url: str,
    destination: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With nothing due, a drain only reads after its first write: that one is tried again."""
    seen: list[str] = []

    def full_at_first(*_: object) -> None:
        seen.extend(record.getMessage().partition(":")[0] for record in caplog.records)
        caplog.clear()
        if len(tries) < 2:
            tries.append(1)
            raise StorageError("disk_full", "database or disk is full")

    tries: list[int] = []
    monkeypatch.setattr(worker, "correct_clock", full_at_first)
    shop = Shop(sqlite_url, [destination.url])
    with caplog.at_level(logging.WARNING):
        shop.drain()
    assert (len(tries), seen) == (2, ["database out of reach"])
    assert [record.getMessage() for record in caplog.records] == ["database is back"]
    shop.close()


def test_a_database_that_is_gone_for_a_while(sqlite_url: str, destination: StandIn) -> None:
    """A volume that is unmounted and mounted again costs no event."""
    shop = Shop(sqlite_url, [destination.url])
    ids = shop.sell(50)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    away = path.with_name("away")
    break_after_first(destination, lambda: path.rename(away))
    with delivering(shop):
        assert destination.wait_for(lambda: destination.answered > 0)
        time.sleep(0.5)
        away.rename(path)
        assert all_settled(shop, 50)
    assert destination.counts == dict.fromkeys(ids, 1)
    shop.close()


@pytest.mark.xdist_group("postgres-restarts")
def test_a_database_server_that_restarts(
    postgres: Postgres, postgres_url: str, destination: StandIn
) -> None:
    """A restart of PostgreSQL cuts every connection, and costs no event."""
    shop = Shop(postgres_url, [destination.url])
    ids = shop.sell(50)
    break_after_first(destination, postgres.stop)
    with delivering(shop):
        try:
            assert destination.wait_for(lambda: destination.answered > 0)
            time.sleep(0.5)
        finally:
            postgres.start()
        assert all_settled(shop, 50)
    assert destination.counts == dict.fromkeys(ids, 1)
    shop.close()


def test_a_schema_that_does_not_fit_is_an_outage(
    sqlite_url: str, destination: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """Between an upgrade of the program and of its database nothing fails unexpectedly."""
    shop = Shop(sqlite_url, [destination.url])
    ids = shop.sell(2)
    with shop.database.write() as connection:
        connection.execute(text("UPDATE schema_version SET version = version + 1"))
    shop.database.close()
    shop = Shop(sqlite_url, [destination.url])
    with delivering(shop):
        wait_for_message(caplog, "database out of reach")
        with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as file:
            file.execute("UPDATE schema_version SET version = version - 1")
            file.commit()
        assert destination.wait_for(lambda: destination.counts == dict.fromkeys(ids, 1))
    assert "unexpectedly" not in caplog.text
    shop.close()


def test_stopping_without_a_database_ends(sqlite_url: str, destination: StandIn) -> None:
    """A dispatcher that cannot record its outcomes still stops within its bound."""
    shop = Shop(sqlite_url, [destination.url])
    shop.sell(3)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    away = path.with_name("away")
    break_after_first(destination, lambda: path.rename(away))
    dispatcher = shop.dispatcher()
    dispatcher.start()
    assert destination.wait_for(lambda: destination.answered > 0)
    assert dispatcher.stop()
    away.rename(path)
    shop.close()
