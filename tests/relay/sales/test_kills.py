"""SIGKILL at every point of the ledger: what it holds afterwards is what it holds without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.relay.forks import FORKS
from tests.relay.sales import victim
from tests.relay.sales.cases import MIXED
from tests.relay.sales.parts import build, contents
from tests.relay.sales.shapes import new
from tests.relay.store.parts import Clock
from tracknow_static.relay.sales import ledger as ledgers
from tracknow_static.relay.sales.ledger import LEASE_SECONDS, Ledger, forget
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store

if TYPE_CHECKING:
    from collections.abc import Iterator

POINTS = (ledgers.READ, ledgers.WRITTEN, ledgers.COMMITTED)


@pytest.fixture
def survivor(database_url: str) -> Iterator[Database]:
    """A database with events, whose clock is behind the lease of whoever died."""
    clock = Clock()
    database = Database(database_url, clock=clock)
    store(database, [new(body) for body in MIXED])
    clock.time += LEASE_SECONDS + 1
    yield database
    database.close()


def kill(url: str, task: str, point: str) -> None:
    """Let a process do a task and die at a point."""
    process = FORKS.Process(target=victim.live, args=(url, task, point), daemon=True)
    process.start()
    process.join(100)
    assert process.exitcode == -9, f"{point} was not reached"


Contents = tuple[list[Any], list[Any]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """What the ledger holds that nobody has killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    database = Database(f"sqlite:///{folder}/relay.sqlite3", clock=Clock())
    store(database, [new(body) for body in MIXED])
    build(database)
    found = contents(database)
    database.close()
    return found


@pytest.mark.parametrize("occurrence", [1, 3])
@pytest.mark.parametrize("point", POINTS)
def test_while_it_is_built(
    survivor: Database, database_url: str, undisturbed: Contents, point: str, occurrence: int
) -> None:
    """Another process goes on where the dead one was."""
    kill(database_url, "build", f"{point}:{occurrence}")
    build(survivor, limit=victim.BATCH)
    assert contents(survivor) == undisturbed


@pytest.mark.parametrize("point", POINTS)
def test_while_it_is_built_anew(
    survivor: Database, database_url: str, undisturbed: Contents, point: str
) -> None:
    """What is there stays, and another process reads the rest again."""
    build(survivor)
    kill(database_url, "rebuild", f"{point}:2")
    assert contents(survivor) == undisturbed
    build(survivor, limit=victim.BATCH)
    assert contents(survivor) == undisturbed


def test_while_old_sales_are_forgotten(survivor: Database, database_url: str) -> None:
    """They are there as a whole or not at all."""
    build(survivor)
    before = contents(survivor)
    kill(database_url, "forget", ledgers.WRITTEN)
    assert contents(survivor) == before
    assert forget(survivor, days=-1000 * 366) == len(before[1])
    assert contents(survivor) == ([], [])


def test_events_of_one_moment_are_not_left_behind(survivor: Database, database_url: str) -> None:
    """Of events that were stored at the same time, the dead one's rest is read without a new one."""
    kill(database_url, "build", f"{ledgers.COMMITTED}:1")
    assert Ledger(survivor).advance() == len(MIXED)
