"""Everything at once, for a while: what was acknowledged arrives unchanged and has its sale.

``TRACKNOW_SOAK_SECONDS`` makes it longer (from two minutes on processes are frozen, too), and
``TRACKNOW_SOAK_SEED`` another one: in the suite the order of troubles is always the same.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from tests.relay.deliver import victim
from tests.relay.deliver.shifted import OFFSET
from tests.relay.deliver.stand_in import (
    Action,
    Request,
    StandIn,
    answer,
    dribble,
    flood,
    hang,
    raw,
    reset,
)
from tests.relay.deliver.test_kills import WINDOW, check
from tests.relay.deliver.test_processes import Fleet, Stripe, wait_until_it_listens
from tests.servers import call
from tracknow_static import exit_codes
from tracknow_static.relay.deliver.dispatcher import Dispatcher
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.store import destinations, queries, replay
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import Filter
from tracknow_static.relay.store.schema import events, sales

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.relay.conftest import Postgres

SECONDS = float(os.environ.get("TRACKNOW_SOAK_SECONDS", "6"))
SEED = os.environ.get("TRACKNOW_SOAK_SEED", "7")
HOUR, DAY = 3600.0, 86_400.0
# Longer than the lease of an attempt with a time-out of two seconds.
_FROZEN_SECONDS = 36.0
_LONG = 120.0

HOSTILE: tuple[Callable[[], Action], ...] = (
    lambda: answer(500, b"x" * 9000),
    lambda: answer(503),
    lambda: answer(429, Retry_After="99999999999"),
    lambda: answer(302, Location="http://127.0.0.1:1/"),
    lambda: answer(404),
    reset,
    lambda: raw(b"HTTP/1.1 200"),
    lambda: raw(b"<" * 90_000),
    # The status counts, whatever becomes of the body: these two accept.
    lambda: replace(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nshort"), status=200),
    lambda: replace(flood(4_000_000), status=200),
    lambda: dribble(b"HTTP/1.1 200 OK\r\n\r\n", 0.5),
    lambda: hang(6),
)


class Trouble:
    """Makes one thing go wrong after another, at random and for a short time each."""

    def __init__(
        self, fleet: Fleet, destination: StandIn, clock: Path, chance: random.Random
    ) -> None:
        self.happened: Counter[str] = Counter()
        self.kinds: list[Callable[[], None]] = [
            self.kill,
            self.kill_all,
            self.jump,
            self.be_down,
        ]
        self._fleet = fleet
        self._destination = destination
        self._clock = clock
        self._chance = chance
        # Of its own: the destination's thread asks for it whenever an event comes.
        self._answers = random.Random(chance.random())
        self.misbehave()

    def make(self, seconds: float) -> None:
        """Make trouble of every kind in turn, in a random order, until the time is over."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for kind in self._chance.sample(self.kinds, len(self.kinds)):
                time.sleep(self._chance.uniform(0.2, 1.5))
                kind()
                self.revive()
                self.happened[getattr(kind, "__name__", "database")] += 1

    def misbehave(self) -> None:
        """Let the destination do something else than accept, one time in four."""

        def decide(_request: Request) -> Action:
            return self._answers.choice(HOSTILE)() if self._answers.random() < 0.25 else answer()

        self._destination.decide = decide

    def be_down(self) -> None:
        """Let the destination be down for a while."""
        self._destination.decide = lambda _: reset()
        time.sleep(self._chance.uniform(0.5, 2))
        self.misbehave()

    def kill(self) -> None:
        """Kill one process and start it again."""
        self._restart(self._chance.choice(sorted(self._fleet.running)))

    def kill_all(self) -> None:
        """Kill all at once, as a power cut does."""
        for name in sorted(self._fleet.running):
            self._fleet.kill(name)
        for name in (*self._fleet.ports, "worker"):
            self._start(name)

    def freeze(self) -> None:
        """Stop one process until its leases are over, and let it go on."""
        process = self._fleet.running[self._chance.choice(sorted(self._fleet.running))]
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(_FROZEN_SECONDS)
        os.killpg(process.pid, signal.SIGCONT)

    def jump(self) -> None:
        """Set the clock of all processes wrong for a moment."""
        wrong = self._chance.choice([-6 * HOUR, -60.0, HOUR, 100 * DAY])
        # In place: whoever has mapped a file that is cut gets a SIGBUS.
        with self._clock.open("r+b", buffering=0) as file:
            file.write(OFFSET.pack(wrong))
            time.sleep(self._chance.uniform(0.5, 2))
            file.seek(0)
            file.write(OFFSET.pack(0.0))

    def revive(self) -> None:
        """Start again what found no database when it started, as a service manager does."""
        for name, process in list(self._fleet.running.items()):
            if process.poll() is not None:
                assert process.returncode == exit_codes.FAILED
                del self._fleet.running[name]
                self._start(name)

    def wait_until_all_work(self) -> None:
        """Wait until every process has its database; those that give up are started again."""
        names = sorted(self._fleet.running)
        until = time.monotonic() + 200
        while not all(self._works(name) for name in names):
            assert time.monotonic() < until, "a process does not start"
            time.sleep(0.05)
            self.revive()

    def _works(self, name: str) -> bool:
        process = self._fleet.running[name]
        wait_until_it_listens(process)
        if process.poll() is not None or name not in self._fleet.ports:
            return process.poll() is None
        with contextlib.suppress(OSError, http.client.HTTPException):
            return call(self._fleet.ports[name], "GET", "/readyz").status == 200
        return False

    def _restart(self, name: str) -> None:
        self._fleet.kill(name)
        self._start(name)

    def _start(self, name: str) -> None:
        if name in self._fleet.ports:
            self._fleet.serve(name)
        else:
            self._fleet.start(name, "worker")


def soak(url: str, stand_in: StandIn, folder: Path, *, more: Callable[[Trouble], None]) -> None:
    """Let three processes live through all of it, and look whether everything is there."""
    clock = folder / "clock"
    clock.write_bytes(OFFSET.pack(0.0))
    fleet = Fleet(url, stand_in.url, folder / "log")
    fleet.program = (sys.executable, "-m", "tests.relay.deliver.shifted", str(clock))
    fleet.changes = {"TRACKNOW_RELAY_TIMEOUT": "2"}
    trouble = Trouble(fleet, stand_in, clock, random.Random(SEED))
    trouble.kinds.append(functools.partial(more, trouble))
    if SECONDS >= _LONG:
        trouble.kinds.append(trouble.freeze)
    try:
        for name in ("relay-1", "relay-2"):
            fleet.serve(name)
            fleet.wait_until_up(name)
        fleet.start("worker", "worker")
        stripe = Stripe(fleet, ("relay-1", "relay-2"))
        with stripe.selling():
            assert stripe.wait_for_more(20)
            trouble.make(SECONDS)
            # One that was starting during the last trouble may give up only now.
            trouble.wait_until_all_work()
            assert stripe.wait_for_more(20), "after all of it nothing is received"
        stand_in.decide = lambda _: answer()
        assert set(fleet.end().values()) == {0}
    finally:
        for name in list(fleet.running):
            fleet.kill(name)
    settle(url, stand_in)
    # Each trouble may repeat what three processes had in flight.
    check(stand_in, stripe.acknowledged, repeats=3 * WINDOW * (1 + trouble.happened.total()))
    print(f"{len(stripe.acknowledged)} acknowledged, {dict(trouble.happened)}")


def settle(url: str, stand_in: StandIn) -> None:
    """Deliver the rest an hour, and a day later; every stored event then has its sale."""
    for later in (HOUR, DAY):
        relay = victim.config(url, (stand_in.url,))
        database = Database.from_config(relay, clock=functools.partial(_moved, later))
        destinations.resume(database, stand_in.url)
        # What failed while the clock was far ahead had become too old for another attempt.
        replay.replay(database, Filter(state="dead"))
        Dispatcher.from_config(relay, database).drain(120 + 2 * SECONDS)
        found = queries.status(database).destinations[0]
        database.close()
    assert (found.pending, found.dead, found.in_flight) == (0, 0, 0)
    Ledger(database).catch_up(200)
    with database.read() as connection:
        stored = connection.execute(select(func.count()).select_from(events)).scalar()
        verdicts = Counter(connection.execute(select(sales.c.verdict)).scalars())
    assert verdicts == {"attributed": stored}
    database.close()


def _moved(seconds: float) -> float:
    return time.time() + seconds


@pytest.mark.slow
@pytest.mark.timeout(5 * SECONDS + 600)
def test_a_soak_on_sqlite(sqlite_url: str, destination: StandIn, tmp_path: Path) -> None:
    """Kills, wrong clocks, a bad destination, and a volume that is away for a while."""
    volume = Path(sqlite_url.removeprefix("sqlite:///")).parent

    def lose_the_volume(trouble: Trouble) -> None:
        # One that starts while it is away makes a database, and would lose it under the volume.
        trouble.wait_until_all_work()
        # As an unmounted volume: its place is an empty folder, and open handles go on in it.
        away, empty = volume.with_name("away"), volume.with_name("empty")
        volume.rename(away)
        volume.mkdir()
        time.sleep(1.5)
        volume.rename(empty)
        away.rename(volume)
        for path in empty.iterdir():
            assert path.name.endswith(("-turn", "-reserve")), f"{path.name} was made"
            path.unlink()
        empty.rmdir()

    soak(sqlite_url, destination, tmp_path, more=lose_the_volume)


@pytest.mark.slow
@pytest.mark.timeout(5 * SECONDS + 600)
@pytest.mark.xdist_group("postgres-restarts")
def test_a_soak_on_postgresql(
    postgres: Postgres, postgres_url: str, destination: StandIn, tmp_path: Path
) -> None:
    """Kills, wrong clocks, a bad destination, and a server that crashes."""

    def crash(_trouble: Trouble) -> None:
        postgres.stop(signal.SIGQUIT)
        time.sleep(0.5)
        postgres.start()

    soak(postgres_url, destination, tmp_path, more=crash)
