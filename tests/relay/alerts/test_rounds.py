"""Rounds over real databases: restarts, several processes, receivers that fail, a full disk."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from tests.relay.alerts.parts import Service, config
from tests.relay.store.parts import START, A, dead, delivered, new
from tests.relay.store.parts import accept as add
from tracknow_static.errors import StorageError
from tracknow_static.relay.alerts import rounds
from tracknow_static.relay.alerts.rounds import LEASE_SECONDS, Alerts
from tracknow_static.relay.alerts.send import BEGIN, END, STOPPED, Order
from tracknow_static.relay.store import destinations, leases, replay
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import Filter
from tracknow_static.relay.store.schema import facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.relay.store.parts import Clock

ONE, TWO = "json://one.example/planted", "slack://two.example/planted"
HOUR = 3600.0


class Sent:
    """Stands in for the process that sends; receivers in ``failing`` get nothing."""

    def __init__(self) -> None:
        self.failing: dict[str, str] = {}
        self.messages: list[tuple[str, str, str]] = []

    def __call__(self, orders: Sequence[Order], **_more: Any) -> list[list[str]]:
        for order in orders:
            if order.url not in self.failing:
                self.messages += [(order.url, one.kind, one.title) for one in order.messages]
        return [[self.failing.get(order.url, "")] * len(order.messages) for order in orders]

    def take(self) -> list[tuple[str, str]]:
        """Return receivers and kinds since the last look."""
        taken, self.messages = self.messages, []
        return [(url, kind) for url, kind, _ in taken]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Provide what rounds send."""
    made = Sent()
    monkeypatch.setattr(rounds, "send", made)
    return made


def kill_one(database: Database) -> None:
    """Make one dead letter of A; B accepts the event."""
    add(database, new())
    for claimed in leases.claim(database, limit=9, lease_seconds=9):
        if claimed.destination == A:
            dead(database, claimed, status=400, error=None)
        else:
            delivered(database, claimed, status=200)


def revive(database: Database) -> None:
    """Replay the dead letters, and accept them."""
    replay.replay(database, Filter(state="dead"))
    for claimed in leases.claim(database, limit=9, lease_seconds=9):
        delivered(database, claimed, status=200)


def test_a_dead_letter_is_reported_until_it_is_replayed(
    database: Database, clock: Clock, sent: Sent
) -> None:
    """One message at its beginning and one at its end, also across restarts."""
    alerts = Alerts(config(ONE), database)
    assert alerts.round() == 0
    kill_one(database)
    assert alerts.round() == 1
    assert Alerts(config(ONE), database).round() == 0
    clock.time += 2 * HOUR
    assert alerts.round() == 0
    revive(database)
    assert Alerts(config(ONE), database).round() == 1
    assert alerts.round() == 0
    assert sent.take() == [(ONE, BEGIN), (ONE, END)]


def test_a_receiver_that_fails_is_tried_again_and_delays_no_other(
    database: Database, clock: Clock, sent: Sent
) -> None:
    """Later and later, up to an hour; it then gets what is still true."""
    alerts = Alerts(config(ONE, TWO), database)
    sent.failing[TWO] = "it is away"
    kill_one(database)
    assert alerts.round() == 1
    assert sent.take() == [(ONE, BEGIN)]
    waits = []
    at = clock.time
    for _ in range(9):
        alerts.round()
        with database.read() as connection:
            state = rounds._shared.load(connection)
        assert state is not None
        ((_, until),) = state.failing.values()
        waits.append(until - clock.time)
        clock.time = until - 1
        assert alerts.round() == 0
        clock.time = until
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert clock.time > at
    sent.failing.clear()
    assert Alerts(config(ONE, TWO), database).round() == 1
    assert sent.take() == [(TWO, BEGIN)]


def test_what_begins_and_ends_while_a_receiver_is_away_is_no_news(
    database: Database, clock: Clock, sent: Sent
) -> None:
    """Nobody wants a pile of old messages."""
    alerts = Alerts(config(TWO), database)
    sent.failing[TWO] = "it is away"
    kill_one(database)
    alerts.round()
    revive(database)
    sent.failing.clear()
    clock.time += HOUR
    assert alerts.round() == 0


def test_a_new_receiver_hears_what_is_true_now(database: Database, sent: Sent) -> None:
    """And one that is configured no more is forgotten."""
    kill_one(database)
    Alerts(config(ONE), database).round()
    Alerts(config(TWO), database).round()
    assert sent.take() == [(ONE, BEGIN), (TWO, BEGIN)]
    with database.read() as connection:
        state = rounds._shared.load(connection)
    assert state is not None
    assert len(state.known) == 1


def test_one_process_at_a_time_sends(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one sends, another one leaves it alone; the lease of a dead one runs out."""
    other = Database(database.url.render_as_string(hide_password=False), clock=clock)
    kill_one(database)
    seen: list[int] = []

    def die(_orders: Sequence[Order], **_more: Any) -> list[list[str]]:
        sending = Sent()
        monkeypatch.setattr(rounds, "send", sending)
        seen.append(Alerts(config(ONE), other).round())
        raise KeyboardInterrupt

    monkeypatch.setattr(rounds, "send", die)
    with pytest.raises(KeyboardInterrupt):
        Alerts(config(ONE), database).round()
    clock.time += LEASE_SECONDS - 1
    seen.append(Alerts(config(ONE), other).round())
    clock.time += 1
    seen.append(Alerts(config(ONE), other).round())
    assert seen == [0, 0, 1]
    with database.read() as connection:
        state = rounds._shared.load(connection)
    # It may have to be another one that sends what comes next.
    assert state is not None
    assert state.owner == ""
    other.close()


def test_nothing_is_written_when_nothing_is_due(database: Database, sent: Sent) -> None:
    """A relay that is well does not pay for alerts with a commit."""
    alerts = Alerts(config(ONE), database)
    with database.read() as connection:
        before = connection.execute(select(facts)).all()
    for _ in range(3):
        alerts.round()
    with database.read() as connection:
        assert connection.execute(select(facts)).all() == before


def test_a_disk_that_cannot_be_written_is_reported(
    database: Database, clock: Clock, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is kept in memory, and stored when there is room."""
    alerts = Alerts(config(ONE), database)
    kill_one(database)
    run = database.run

    def full(_work: Any) -> None:
        raise StorageError("disk_full", "database or disk is full")

    monkeypatch.setattr(database, "run", full)
    assert [alerts.round(), alerts.round()] == [1, 0]
    clock.time += 2 * HOUR
    assert alerts.round() == 0
    monkeypatch.setattr(database, "run", run)
    assert alerts.round() == 0
    assert Alerts(config(ONE), database).round() == 0
    assert sent.take() == [(ONE, BEGIN)]


def test_another_error_of_the_database_sends_nothing(
    database: Database, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cannot take the lease does not know whether another process sends."""
    kill_one(database)

    def locked(_work: Any) -> None:
        raise StorageError("database_locked", "database is locked")

    monkeypatch.setattr(database, "run", locked)
    with pytest.raises(StorageError):
        Alerts(config(ONE), database).round()
    assert sent.take() == []


def test_a_relay_that_is_stopped_tries_again_at_once(
    database: Database, clock: Clock, sent: Sent
) -> None:
    """It was no failure of the receiver's."""
    sent.failing[ONE] = STOPPED
    kill_one(database)
    stopping = threading.Event()
    stopping.set()
    assert Alerts(config(ONE), database).round(stopping) == 0
    sent.failing.clear()
    assert Alerts(config(ONE), database).round() == 1


def test_no_secret_is_stored_or_logged(
    database: Database, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver's URL is known by a hash, and named by its place and its scheme."""
    caplog.set_level("DEBUG")
    sent.failing[TWO] = "it is away"
    kill_one(database)
    Alerts(config(ONE, TWO), database).round()
    with database.read() as connection:
        stored = str(connection.execute(select(facts)).all())
    assert "alerts" in stored
    assert "planted" not in stored + caplog.text
    assert "alert sent to URL 1 (json://…): Tracknow relay: dead-letter" in caplog.text
    assert "alert not sent to URL 2 (slack://…): it is away; tried again in 1 min" in caplog.text


def test_a_destination_that_is_paused_is_reported(
    database: Database, clock: Clock, service: Service
) -> None:
    """Through the real Apprise to a real service, begun and ended."""
    alerts = Alerts(config(service.url(), namespace="shop"), database)
    destinations.pause(database, A, "it answers 404")
    clock.time += 899
    assert alerts.round() == 0
    clock.time += 1
    assert alerts.round() == 1
    clock.time += HOUR
    destinations.resume(database, A)
    assert alerts.round() == 1
    assert service.titles == [
        "Tracknow relay (shop): destination-paused",
        "Tracknow relay (shop): destination-paused is over",
    ]
    (_, first), (_, last) = service.messages
    assert first["message"].splitlines() == [
        f"{A} is paused: it answers 404.",
        "Since 2026-09-21 14:13 UTC.",
        f"This helps: tracknow-relay resume {A}",
    ]
    assert (first["type"], last["type"]) == (BEGIN, END)
    assert clock.time > START
