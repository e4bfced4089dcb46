"""Many events and many processes, killed at random: the relay as it is deployed."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.events import SECRET, sign
from tests.relay.deliver import victim
from tests.relay.deliver.parts import Shop
from tests.relay.deliver.stand_in import StandIn, slowly
from tests.relay.deliver.test_kills import WINDOW, check, let_live, recover
from tests.relay.forks import FORKS
from tests.servers import free_port, wait_until_listens

if TYPE_CHECKING:
    from collections.abc import Iterator

# With 2,500 it is killed ten times, with 5,000 more than twenty times.
ENOUGH = int(os.environ.get("TRACKNOW_TEST_KILLED_EVENTS", "2500"))


@pytest.mark.slow
@pytest.mark.timeout(400 + ENOUGH // 10)
def test_a_soak_with_random_kills(sqlite_url: str, destination: StandIn) -> None:
    """Of thousands of acknowledged events none is lost, however often the relay is killed."""
    chance = random.Random(1)
    acknowledged: set[str] = set()
    kills = 0
    while len(acknowledged) < ENOUGH:
        spec = victim.Spec(
            sqlite_url, (destination.url,), events=3000, threads=8, first=kills * 3000
        )
        death = let_live(spec, kill_after=chance.randrange(10, 500))
        assert death.exitcode == -signal.SIGKILL
        acknowledged |= death.acknowledged
        kills += 1
    recover(sqlite_url, destination)
    check(destination, acknowledged, repeats=kills * WINDOW)


def test_each_child_of_a_fork_delivers(database_url: str, destination: StandIn) -> None:
    """A server may load the relay, fork, and let every child receive and deliver."""
    receiver, sender = FORKS.Pipe(duplex=False)
    spec = victim.Spec(database_url, (destination.url,), events=10)
    process = FORKS.Process(target=victim.fork_first, args=(spec, sender), daemon=False)
    process.start()
    sender.close()
    assert receiver.recv() == [0, 0]
    process.join(100)
    receiver.close()
    recover(database_url, destination)
    assert dict(destination.counts) == {f"evt_{number}": 1 for number in range(20)}


@dataclass
class Fleet:
    """Relay processes as an operator starts them, all on one database."""

    database: str
    destination: str
    log: Path
    program: tuple[str, ...] = (str(Path(sys.executable).with_name("tracknow-relay")),)
    changes: dict[str, str] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, name: str, *arguments: str) -> None:
        """Start one by its command."""
        environment = {
            **{key: value for key, value in os.environ.items() if "TRACKNOW" not in key},
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "TRACKNOW_RELAY_DATABASE": self.database,
            "TRACKNOW_RELAY_DESTINATIONS": self.destination,
            "TRACKNOW_RELAY_ALLOW_INSECURE_DESTINATIONS": "true",
            "TRACKNOW_RELAY_CONCURRENCY": str(victim.CONCURRENCY),
            "TRACKNOW_RELAY_TIMEOUT": "60",
            "TRACKNOW_RELAY_LOG_LEVEL": "error",
            **self.changes,
        }
        with self.log.open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*self.program, *arguments],
                env=environment,
                stderr=log,
                start_new_session=True,
            )

    def serve(self, name: str) -> None:
        """Start a relay that takes events in, on the same port as before."""
        if name not in self.ports:
            self.ports[name] = free_port()
        self.start(name, "serve", "--bind", f"127.0.0.1:{self.ports[name]}")

    def kill(self, name: str) -> None:
        """Kill one with all its processes."""
        os.killpg(self.running[name].pid, signal.SIGKILL)
        self.running.pop(name).wait(100)

    def end(self) -> dict[str, int]:
        """Stop all, as systemd does; return their exit codes."""
        for process in self.running.values():
            wait_until_it_listens(process)
        for process in self.running.values():
            process.terminate()
        codes = {name: process.wait(100) for name, process in self.running.items()}
        self.running.clear()
        return codes

    def wait_until_up(self, name: str) -> None:
        """Wait until a relay takes connections."""
        wait_until_listens(self.ports[name], self.running[name], self.log)

    def sell(self, number: int, name: str) -> bool:
        """Let Stripe send one event to a relay; return whether it was acknowledged."""
        body = victim.payload(number)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body),
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=60)
        try:
            connection.request("POST", "/stripe/webhook", body, headers)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@pytest.fixture
def fleet(postgres_url: str, destination: StandIn, tmp_path: Path) -> Iterator[Fleet]:
    """Provide a fleet on one PostgreSQL; what a test leaves running is killed."""
    made = Fleet(postgres_url, destination.url, tmp_path / "log")
    yield made
    for name in list(made.running):
        made.kill(name)


def wait_until_it_listens(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has a handler for SIGTERM: by then it has opened its database.

    One that ends before has none.
    """
    until = time.monotonic() + 100
    while process.poll() is None and time.monotonic() < until:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.05)


class Stripe:
    """Sends events to relays in turn, each until one of them acknowledges it."""

    def __init__(self, fleet: Fleet, relays: tuple[str, ...]) -> None:
        self.acknowledged: set[str] = set()
        self._fleet = fleet
        self._relays = relays
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._sell, args=(first,), daemon=True) for first in range(4)
        ]

    @contextlib.contextmanager
    def selling(self) -> Iterator[None]:
        """Send while the block runs."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join(100)

    def wait_for_more(self, number: int) -> bool:
        """Wait until this number of further events is acknowledged."""
        enough, until = len(self.acknowledged) + number, time.monotonic() + 100
        while len(self.acknowledged) < enough and time.monotonic() < until:
            time.sleep(0.05)
        return len(self.acknowledged) >= enough

    def _sell(self, first: int) -> None:
        turns = itertools.cycle(self._relays)
        for number in itertools.count(first, len(self._threads)):
            while not self._fleet.sell(number, next(turns)):
                if self._over.wait(0.05):
                    return
            self.acknowledged.add(f"evt_{number}")
            if self._over.is_set():
                return


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_three_relays_and_two_workers_die_one_at_a_time(
    fleet: Fleet, destination: StandIn, postgres_url: str
) -> None:
    """On one PostgreSQL the others carry on, and the database hands over what the dead one held."""
    relays, workers = ("relay-1", "relay-2", "relay-3"), ("worker-1", "worker-2")
    for name in relays:
        fleet.serve(name)
    for name in workers:
        fleet.start(name, "worker")
    for name in relays:
        fleet.wait_until_up(name)
    stripe = Stripe(fleet, relays)
    with stripe.selling():
        for name in (*relays, *workers):
            assert stripe.wait_for_more(40)
            fleet.kill(name)
            assert stripe.wait_for_more(40), f"nothing is received without {name}"
            if name in relays:
                fleet.serve(name)
            else:
                fleet.start(name, "worker")
    for name in relays:
        fleet.wait_until_up(name)
    assert set(fleet.end().values()) == {0}
    recover(postgres_url, destination)
    check(destination, stripe.acknowledged, repeats=5 * WINDOW)


def test_a_worker_told_to_stop_finishes_and_gives_back(
    fleet: Fleet, destination: StandIn, postgres_url: str
) -> None:
    """SIGTERM: what is in flight is settled, the rest is due for others, and the exit is clean."""
    destination.decide = lambda _: slowly(0.4)
    shop = Shop(postgres_url, [destination.url])
    shop.now = time.time()
    # More than it could deliver in half a minute.
    shop.sell(150)
    fleet.start("worker", "worker")
    assert destination.wait_for(lambda: len(destination.requests) >= 2)
    assert fleet.end() == {"worker": 0}
    states = shop.states()
    shop.close()
    assert states["in_flight"] == 0
    assert states["delivered"] == len(destination.requests)
    assert states["pending"] == 150 - states["delivered"] > 0
