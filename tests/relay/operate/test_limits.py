"""Every command ends, also when the database does not answer, and reports what it waits for."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.relay.operate.parts import database_of, environment, run, run_json
from tracknow_static.errors import StorageError
from tracknow_static.relay.operate import cli

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def held(sqlite_url: str) -> Iterator[Path]:
    """Hold the lock that writers queue at, as a process does that was stopped while it wrote."""
    lock = Path(sqlite_url.removeprefix("sqlite:///") + "-turn")
    with lock.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield lock


def prepared(sqlite_url: str, *destinations: str) -> dict[str, str]:
    """Make a database without any limit of time."""
    environ = environment(sqlite_url, *destinations)
    with contextlib.closing(database_of(environ)) as database:
        database.open()
    return environ


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the limits."""
    seconds = cli.opened.__wrapped__.__kwdefaults__  # type: ignore[attr-defined]
    monkeypatch.setitem(seconds, "seconds", 0.5)
    monkeypatch.setattr(cli, "_PATIENCE", 0.1)
    for module in ("repair", "run"):
        monkeypatch.setattr(f"tracknow_static.relay.operate.{module}.CHANGING", 0.5)
    monkeypatch.setattr("tracknow_static.relay.operate.check._SECONDS", 0.5)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["list"],
        ["show", "evt_1"],
        ["migrate"],
        ["replay", "--all"],
        ["resume", "--all"],
        ["purge"],
        ["purge", "--event", "evt_1"],
        ["retire", "https://old.example/", "--give-up"],
        ["drain"],
        ["worker"],
        ["serve"],
    ],
)
def test_a_command_gives_up_on_a_lock(sqlite_url: str, arguments: list[str]) -> None:
    """It first reports which lock it waits for, and fails after its limit."""
    environ = prepared(sqlite_url)
    with held(sqlite_url) as lock:
        result = run(environ, *arguments, code=3)
    assert f"Waiting for {lock}, a lock that another process holds" in result.stderr
    assert "Error: gave up after 0.5 s" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("impatient")
def test_check_reports_a_lock(sqlite_url: str) -> None:
    """It is a failed check; the destinations are checked all the same."""
    environ = prepared(sqlite_url, "http://127.0.0.1:1/hook")
    with held(sqlite_url) as lock:
        found = run_json(environ, "check", code=1)["checks"]
    texts = {entry["what"]: entry["text"] for entry in found if entry["result"] == "failed"}
    assert f"{lock}" in texts["database"]
    assert "destination" in texts


def test_progress_gives_a_command_more_time(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long purge is not ended while it purges, and is when nothing happens any more."""
    database = database_of(environment(sqlite_url))
    with monkeypatch.context() as patched, cli.limited(database, 3600):
        patched.setattr(cli, "_PATIENCE", 3600)
        for _ in range(4):
            cli.restart()
            time.sleep(0.01)
            left, _ = signal.getitimer(signal.ITIMER_REAL)
            cli.restart()
            assert signal.getitimer(signal.ITIMER_REAL)[0] > left
    with pytest.raises(StorageError, match="gave up"), cli.limited(database, 0.2):
        time.sleep(30)
    database.close()


def test_a_limit_leaves_no_timer_behind(sqlite_url: str) -> None:
    """After it the process has the timer and the handler that it had before."""
    before = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0] > 0
    run(environment(sqlite_url), "migrate")
    after = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert before == after
