"""The threads beside the requests: they go on after a failure, and begin together or not at all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.events import purchase
from tests.relay.calls import code, config, post
from tracknow_static.relay import background_thread, create_application
from tracknow_static.relay.background_thread import BackgroundThread

if TYPE_CHECKING:
    from pathlib import Path


def test_a_failure_that_nobody_expected_ends_no_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The ledger, or the purge, would otherwise rest until the process is restarted."""
    monkeypatch.setattr(background_thread, "PAUSE_SECONDS", 0.0)
    begun: list[int] = []
    again = threading.Event()

    def work(stopping: threading.Event) -> None:
        begun.append(1)
        if len(begun) == 1:
            raise OSError(24, "Too many open files")
        again.set()
        stopping.wait()

    thread = BackgroundThread("relay-test", work)
    thread.start()
    assert again.wait(100)
    assert thread.stop(100)
    assert "relay-test failed unexpectedly" in caplog.text


@pytest.mark.parametrize(
    "name", ["relay-worker", "relay-watch", "relay-sales", "relay-housekeeping"]
)
def test_threads_start_together_or_not_at_all(
    fast_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """While the system has no thread to give, a call is answered with 503 and nothing is left."""
    start, refused = threading.Thread.start, threading.Event()

    def refuse(thread: threading.Thread) -> None:
        if thread.name == name and not refused.is_set():
            refused.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    before = set(threading.enumerate())
    made = create_application(
        config(
            f"sqlite:///{fast_path}/relay.sqlite3",
            TRACKNOW_RELAY_DESTINATIONS="http://127.0.0.1:9/nobody",
            TRACKNOW_RELAY_ALLOW_INSECURE_DESTINATIONS="true",
        )
    )
    assert code(post(made, purchase())) == (503, "storage_unavailable")
    for thread in set(threading.enumerate()) - before:
        thread.join(100)
        assert not thread.is_alive()
    assert code(post(made, purchase())) == (200, "stored")
    assert made.stop(100)
