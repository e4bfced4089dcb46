"""Each event is read once, whatever the clock does and whoever else reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.relay.sales.parts import summary
from tests.relay.sales.shapes import new, paid, session
from tests.relay.store.parts import accept
from tracknow_static.relay import crash_points
from tracknow_static.relay.sales import ledger as ledgers
from tracknow_static.relay.sales.ledger import LEASE_SECONDS, Ledger
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store
from tracknow_static.relay.store.schema import events

if TYPE_CHECKING:
    from tests.relay.store.parts import Clock


def test_reading_on_reads_only_what_is_new(database: Database, clock: Clock) -> None:
    """A ledger that goes on reads each event once, also within the overlap."""
    ledger = Ledger(database)
    accept(database, new(paid("a")[0]))
    assert [ledger.advance(), ledger.advance()] == [1, 0]
    clock.time += 1
    accept(database, new(paid("a")[1]))
    assert [ledger.advance(), ledger.advance()] == [1, 0]
    assert summary(database) == {"cs_a": ("attributed", 0, None)}


def test_an_event_that_is_stored_late_is_read(database: Database, clock: Clock) -> None:
    """A clock that was set back a little hides no event from the ledger."""
    ledger = Ledger(database)
    accept(database, new(session("a")))
    assert ledger.advance() == 1
    clock.time -= 3
    accept(database, new(session("b")))
    assert ledger.advance() == 1
    assert set(summary(database)) == {"cs_a", "cs_b"}


def test_a_clock_that_was_set_back_an_hour(database: Database, clock: Clock) -> None:
    """What is stored after it has been set right is read, although it seems to be old."""
    ledger = Ledger(database)
    clock.time += 3600
    accept(database, new(session("a")))
    assert ledger.advance() == 1
    clock.time -= 3600
    accept(database, new(session("b")))
    while ledger.advance():
        pass
    assert set(summary(database)) == {"cs_a", "cs_b"}


@pytest.mark.parametrize("wrong", [-3600.0, -60.0, 60.0, 100 * 86_400.0])
def test_a_clock_that_is_wrong_for_a_moment(database: Database, clock: Clock, wrong: float) -> None:
    """What is stored under it, and after it, is read, whenever the ledger looks."""
    ledger = Ledger(database)
    accept(database, new(session("before")))
    ledger.catch_up(100)
    clock.time += wrong
    accept(database, new(session("meanwhile")))
    if wrong > 0:
        ledger.catch_up(100)
    clock.time -= wrong - 1
    accept(database, new(session("after")))
    clock.time += 200
    ledger.catch_up(100)
    assert set(summary(database)) == {"cs_before", "cs_meanwhile", "cs_after"}


def test_a_clock_that_is_set_back_during_a_batch(
    database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored behind the position that the batch is about to write is read by the next one."""
    database, other = (Database(database_url, clock=clock) for _ in range(2))
    ledger = Ledger(database)
    accept(database, new(session("before")))
    assert ledger.advance() == 1
    clock.time += 100
    accept(database, new(session("batch")))
    stored: list[Any] = []

    def meanwhile(point: str) -> None:
        if point == ledgers.READ and not stored:
            clock.time -= 60
            stored.append(accept(other, new(session("meanwhile"))))
            clock.time += 60

    with monkeypatch.context() as patched:
        patched.setattr(crash_points, "reach", meanwhile)
        assert ledger.advance() == 1
    assert stored[0].new
    assert [ledger.advance(), ledger.advance()] == [1, 0]
    assert set(summary(database)) == {"cs_before", "cs_batch", "cs_meanwhile"}
    database.close()
    other.close()


def test_one_process_at_a_time_and_another_goes_on(database_url: str, clock: Clock) -> None:
    """While one reads the other waits; when it is dead for its lease, the other takes over."""
    first, second = (Database(database_url, clock=clock) for _ in range(2))
    one, other = Ledger(first), Ledger(second)
    store(first, [new(session(str(number))) for number in range(5)])
    assert one.advance(limit=3) == 3
    assert other.advance(limit=3) == 0
    clock.time += LEASE_SECONDS + 1
    # The overlap is read again, since nobody knows what the dead one saw of it.
    accept(first, new(session("new")))
    while other.advance(limit=3):
        pass
    assert len(summary(first)) == 6
    # The one that was taken for dead finds that the state is another's.
    accept(first, new(session("newer")))
    assert one.advance() == 0
    assert other.advance() == 1
    first.close()
    second.close()


def test_two_that_work_at_once_write_once(
    database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was computed from a state that another has replaced is not written."""
    first, second = (Database(database_url, clock=clock) for _ in range(2))
    accept(first, new(session("a")))
    one, other = Ledger(first), Ledger(second)
    results: list[int] = []

    def meanwhile(point: str) -> None:
        if point == ledgers.READ and not results:
            results.append(-1)
            results.append(other.advance())

    monkeypatch.setattr(crash_points, "reach", meanwhile)
    assert one.advance() == 0
    assert results == [-1, 1]
    assert summary(first) == {"cs_a": ("attributed", 0, None)}
    first.close()
    second.close()


def test_events_being_stored_are_not_passed(postgres_url: str) -> None:
    """PostgreSQL: an event that is committed late, behind others, is read all the same."""
    database = Database(postgres_url)
    ledger = Ledger(database)
    values = {"received_at": database.now(), **new(session("late"))._asdict()}
    with database.write() as connection:
        connection.execute(events.insert().values(values))
        other = Database(postgres_url)
        for number in range(3):
            accept(other, new(session(f"early{number}")))
        assert ledger.advance() == 0
        other.close()
    assert ledger.advance() == 4
    database.close()
