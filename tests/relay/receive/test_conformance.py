"""One set of checks for the relay and for relays with a flaw: it must tell them apart."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.events import encode, purchase, sign
from tests.relay.calls import call, code, config, environ, post
from tests.relay.forks import FORKS
from tests.relay.receive.server import ROOT
from tests.relay.receive.variants import VARIANTS, module, post_once
from tracknow_static.relay import crash_points
from tracknow_static.relay.store import events, group_commit, leases, queries
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import Filter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.relay.app import Relay


def killed_at(url: str, variant: str, point: str) -> str:
    """What a process that is killed at a point had answered by then: the status or nothing."""
    receiver, sender = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=post_once, args=(variant, url, point, sender), daemon=True)
    process.start()
    sender.close()
    process.join(100)
    with receiver, contextlib.suppress(EOFError):
        return str(receiver.recv())
    return ""


def survives_a_kill(url: str, variant: str) -> bool:
    """What was answered before SIGKILL is there afterwards, with its delivery."""
    for point in (events.BEGUN, events.COMMITTED):
        answered = killed_at(url, variant, point)
        database = Database(url, ["https://acme-tracking.tracknow.info/stripe/postback"])
        stored = queries.event(database, "evt_1")
        database.close()
        if answered == "200" and stored is None:
            return False
        if stored is not None and not stored.deliveries:
            return False
    return True


def is_in_memory_of(made: Relay) -> list[str]:
    """Ids of the events that are stored."""
    return [one.id for one in queries.find(made.database, Filter(), limit=200).events]


def recognises_duplicates(made: Relay) -> bool:
    """Fifty at once give one row and fifty 200s."""
    gate = threading.Barrier(50)

    def send(_: int) -> int:
        gate.wait()
        return code(post(made, purchase()))[0]

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(send, range(50)))
    return statuses == [200] * 50 and len(is_in_memory_of(made)) == 1


def refuses(made: Relay, seconds: float) -> bool:
    """A signature of another time is refused."""
    payload = encode(purchase())
    signature = sign(payload, at=time.time() + seconds)
    return code(call(made, environ(payload, signature)))[0] == 400


def syncs(made: Relay) -> bool:
    """The connection that commits waits for the disk."""
    made.database.open()
    with made.database.write() as connection:
        return connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def stores_nothing_unverified(made: Relay) -> bool:
    """A forged event leaves no row."""
    payload = encode(purchase())
    call(made, environ(payload, sign(payload, "whsec_forged_one")))
    made.database.open()
    return is_in_memory_of(made) == []


def is_honest_about_failure(made: Relay) -> bool:
    """Without its database the relay answers 503."""
    post(made, purchase(1))
    path = made.database.path
    assert path is not None
    path.parent.rename(path.parent.with_name("elsewhere"))
    try:
        return code(post(made, purchase(2)))[0] == 503
    finally:
        path.parent.with_name("elsewhere").rename(path.parent)


def tells_nothing(made: Relay) -> bool:
    """All bad signatures get the same answer."""
    payload = encode(purchase())
    headers = [None, "x", sign(payload, "whsec_forged_one"), sign(payload, at=1)]
    return len({call(made, environ(payload, header)) for header in headers}) == 1


CHECKS: dict[str, Callable[[Relay], bool]] = {
    "duplicates": recognises_duplicates,
    # Far beyond the five minutes: time goes on meanwhile, and the limit itself has tests with a clock.
    "stale": lambda made: refuses(made, -3600),
    "future": lambda made: refuses(made, 3600),
    "sync": syncs,
    "unverified": stores_nothing_unverified,
    "failure": is_honest_about_failure,
    "silence": tells_nothing,
}

# Each flaw and the check that must find it.
FLAWS = {
    "checks_then_inserts": "duplicates",
    "accepts_stale_signatures": "stale",
    "accepts_future_signatures": "future",
    "does_not_sync": "sync",
    "parses_before_verifying": "unverified",
    "answers_200_when_storage_fails": "failure",
    "tells_which_part_failed": "silence",
}
KILLED = ("acknowledges_before_commit", "stores_events_without_deliveries")


def made(url: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> Relay:
    """Make a variant; what it replaces in a module is put back after the test."""
    monkeypatch.setattr(module, "verify", module.verify)
    return VARIANTS[variant](config(url))


@pytest.mark.parametrize("check", CHECKS)
def test_relay_passes(sqlite_url: str, check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay passes every check."""
    application = made(sqlite_url, "right", monkeypatch)
    assert CHECKS[check](application)
    application.stop(100)


@pytest.mark.parametrize(("variant", "check"), FLAWS.items())
def test_flaw_is_found(
    sqlite_url: str, variant: str, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay with one flaw fails the check that is there for it."""
    application = made(sqlite_url, variant, monkeypatch)
    assert not CHECKS[check](application)
    application.stop(100)


def test_relay_survives_a_kill(sqlite_url: str) -> None:
    """Killed before or after its commit, the relay has what it acknowledged."""
    assert survives_a_kill(sqlite_url, "right")


@pytest.mark.parametrize("variant", KILLED)
def test_flaw_is_found_by_a_kill(sqlite_url: str, variant: str) -> None:
    """A relay that answers early, or stores in two steps, loses a purchase when killed."""
    assert not survives_a_kill(sqlite_url, variant)


def test_every_flaw_has_its_check() -> None:
    """No variant is there without a check that must find it."""
    assert {"right", *FLAWS, *KILLED} == set(VARIANTS)


INGEST = [
    group_commit.QUEUED,
    events.BEGUN,
    events.INSERTED,
    events.COMMITTING,
    events.COMMITTED,
    group_commit.RELEASED,
    "ingest.answering",
]


def test_every_ingest_point_is_killed_at() -> None:
    """The list below misses no point of ingest."""
    assert sorted(INGEST) == sorted(one for one in crash_points.ALL if one.startswith("ingest."))


@pytest.mark.parametrize("point", INGEST)
def test_killed_at_every_ingest_point(database_url: str, point: str) -> None:
    """Killed at any point of ingest: nothing acknowledged is missing, the retry makes it whole.

    An event that is there has its delivery, and Stripe's retry gives one event in all.
    """
    assert killed_at(database_url, "right", point) == ""
    database = Database(database_url, config(database_url).destinations)
    durable = point in (events.COMMITTED, group_commit.RELEASED, "ingest.answering")
    # A commit thread may get further than the request that is killed beside it.
    if point != group_commit.QUEUED:
        assert (queries.event(database, "evt_1") is not None) == durable
    database.close()
    again = VARIANTS["right"](config(database_url))
    assert code(post(again, purchase()))[0] == 200
    assert is_in_memory_of(again) == ["evt_1"]
    assert len(leases.claim(again.database, limit=9, lease_seconds=60)) == 1
    again.stop(100)


def test_process_really_dies(sqlite_url: str) -> None:
    """An armed point ends the process by SIGKILL, at the occurrence that was named."""
    script = "from tracknow_static.relay import crash_points\n"
    script += "crash_points.reach('x'); print(1, flush=True)\n"
    done = subprocess.run(
        [sys.executable, "-c", script + "crash_points.reach('x'); print(2)"],
        cwd=ROOT,
        env={**os.environ, crash_points.VARIABLE: "x:2"},
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (-9, b"1\n")
