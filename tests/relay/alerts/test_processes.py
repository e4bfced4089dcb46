"""Alerts of real processes: serve, worker and drain, two at once, and killed in between."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.events import encode, purchase
from tests.relay.operate.parts import (
    accept,
    command,
    database_of,
    environment,
    run,
    serving,
    whole_environment,
)
from tests.relay.store.parts import Clock, dead
from tracknow_static.relay import crash_points
from tracknow_static.relay.alerts import rounds
from tracknow_static.relay.alerts.send import send
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.store import leases
from tracknow_static.relay.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.relay.alerts.parts import Service
    from tests.relay.deliver.stand_in import StandIn

TITLE = "Tracknow relay: dead-letter"
# With more time for sending than a busy machine needs, and a lease that is longer still.
ROUND = """
from functools import partial
from tracknow_static.relay.alerts import rounds
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.store.database import Database
rounds.send = partial(rounds.send, seconds=300.0)
rounds.LEASE_SECONDS = 600.0
config = RelayConfig.from_environ()
print(rounds.Alerts(config, Database.from_config(config)).round())
"""


def filled(database_url: str, destination: StandIn, service: Service) -> dict[str, str]:
    """Return the environment of a relay with one dead letter."""
    found = environment(database_url, destination.url, alerts=service.url())
    accept(found, encode(purchase(1)))
    database = database_of(found)
    for claimed in leases.claim(database, limit=9, lease_seconds=9):
        dead(database, claimed, status=400, error=None)
    database.close()
    return found


@pytest.fixture
def environ(sqlite_url: str, destination: StandIn, service: Service) -> dict[str, str]:
    """Provide it with SQLite."""
    return filled(sqlite_url, destination, service)


@pytest.fixture
def either(database_url: str, destination: StandIn, service: Service) -> dict[str, str]:
    """Provide it with SQLite and with PostgreSQL."""
    return filled(database_url, destination, service)


def begin_round(environ: Mapping[str, str], point: str = "") -> subprocess.Popen[str]:
    """Begin a round in a process of its own, which dies at the point."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", ROUND],
        env={**whole_environment(environ), crash_points.VARIABLE: point},
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a round; return its exit code and what it printed."""
    with process:
        printed, _ = process.communicate(timeout=250)
    return process.returncode, printed.strip()


def test_of_two_processes_one_sends(either: dict[str, str], service: Service) -> None:
    """They begin at once; the message comes once."""
    found = [end(process) for process in [begin_round(either), begin_round(either)]]
    assert sorted(found) == [(0, "0"), (0, "1")]
    assert service.titles == [TITLE]


@pytest.mark.parametrize(("point", "messages"), [(rounds.DECIDED, 1), (rounds.SENT, 2)])
def test_a_process_that_is_killed_leaves_the_message_to_another(
    either: dict[str, str],
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    messages: int,
) -> None:
    """At least once: twice if it was sent, and nobody knew."""
    assert end(begin_round(either, point)) == (-signal.SIGKILL, "")
    config, clock = RelayConfig.from_environ(either), Clock()
    database = Database.from_config(config, clock=clock)
    with database.read() as connection:
        state = rounds._shared.load(connection)
    assert state is not None
    monkeypatch.setattr(rounds, "LEASE_SECONDS", 600.0)
    monkeypatch.setattr(rounds, "send", partial(send, seconds=300.0))
    clock.time = state.until - 1
    assert rounds.Alerts(config, database).round() == 0
    clock.time = state.until
    assert rounds.Alerts(config, database).round() == 1
    database.close()
    assert service.titles == [TITLE] * messages


def test_serve_reports_without_being_asked(
    environ: dict[str, str], service: Service, tmp_path: Path
) -> None:
    """It also goes on when a service hangs, and stops in time."""
    environ["TRACKNOW_RELAY_ALERTS"] = f"{service.url('/hang')} {service.url()}"
    with serving(environ, tmp_path) as relay:
        assert service.wait_for(lambda: len({path for path, _ in service.messages}) == 2)
        assert relay.take(encode(purchase(2))) == 200
        assert relay.end() == 0
        assert "alert" in relay.log.read_text()
        assert "Traceback" not in relay.log.read_text()
    assert service.titles == [TITLE]


def test_a_worker_reports(environ: dict[str, str], service: Service, tmp_path: Path) -> None:
    """A host that only delivers has alerts, too."""
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command("worker"), env=whole_environment(environ), stdout=log, stderr=log
        )
    try:
        assert service.wait_for(lambda: service.titles == [TITLE])
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert process.wait(100) == 0
        process.kill()
        process.wait()


def test_a_drain_reports_at_its_end(environ: dict[str, str], service: Service) -> None:
    """Once for what is new, and nothing at the next one."""
    run(environ, "drain")
    run(environ, "drain")
    assert service.titles == [TITLE]


def test_a_drain_without_the_extra_delivers(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with alerts is wrong with nothing else."""
    monkeypatch.setattr("tracknow_static.relay.alerts.send.is_installed", lambda: False)
    accept(environ, encode(purchase(2)))
    result = run(environ, "drain")
    assert "delivered 1" in result.stdout or result.stdout == ""
    assert "pip install 'tracknow-static[alerts]'" in result.stderr


def test_every_point_is_killed_here() -> None:
    """A point that somebody adds is noticed."""
    points = {one for one in crash_points.ALL if one.startswith("alerts.")}
    assert points == {rounds.DECIDED, rounds.SENT}
