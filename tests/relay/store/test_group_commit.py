"""Group commit: what is shared, what is bounded, and what a hung disk becomes."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.events import purchase
from tests.relay.calls import code, post, relay
from tracknow_static.errors import StorageError
from tracknow_static.relay.store import group_commit as module
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.group_commit import Writer
from tracknow_static.relay.store.model import Accepted, Filter, NewEvent

if TYPE_CHECKING:
    from collections.abc import Sequence


def new(number: int = 1) -> NewEvent:
    """An event of some number."""
    return NewEvent(f"evt_{number}", "charge.succeeded", b"{}")


class Store:
    """Stores nothing, and can be held up or made to fail."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)
        self.error: Exception | None = None

    def __call__(self, events: Sequence[NewEvent]) -> list[Accepted]:
        self.entered.release()
        self.open.wait(300)
        if self.error is not None:
            raise self.error
        self.batches.append(len(events))
        return [Accepted(one.id, new=True) for one in events]


def queued(writer: Writer, number: int) -> None:
    """Wait until that number of events waits for the thread."""
    deadline = time.monotonic() + 100
    while writer._queue.qsize() < number:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def waiting(pool: Executor, store: Store, writer: Writer, number: int) -> list[Future[Accepted]]:
    """Submit an event whose commit hangs until the store is open, and that many behind it."""
    store.open.clear()
    first = pool.submit(writer.submit, new(0))
    assert store.entered.acquire(timeout=100)
    return [first, *(pool.submit(writer.submit, new(each)) for each in range(1, number + 1))]


def test_waiting_requests_share_one_commit() -> None:
    """What gathers while a commit is under way is committed together, in order of arrival."""
    store = Store()
    writer = Writer(store, timeout=100)
    with ThreadPoolExecutor(40) as pool:
        sent = waiting(pool, store, writer, 39)
        queued(writer, 39)
        store.open.set()
        assert [one.result().id for one in sent] == [f"evt_{number}" for number in range(40)]
    assert store.batches == [1, 39]
    writer.stop()


def test_hung_commit_becomes_an_answer() -> None:
    """A caller waits for a hung disk no longer than the time-out, and nobody calls it stored."""
    store = Store()
    store.open.clear()
    writer = Writer(store, timeout=0.2)
    with pytest.raises(StorageError) as caught:
        writer.submit(new())
    assert caught.value.code == "timeout"
    writer._timeout = 100
    store.open.set()
    assert writer.submit(new(2)).new  # the same thread goes on when the disk does
    writer.stop()


def test_abandoned_event_is_not_committed_later() -> None:
    """An event whose caller was answered 503 before its commit began is left to Stripe's retry."""
    store = Store()
    writer = Writer(store, timeout=0.3)
    with ThreadPoolExecutor(5) as pool:
        sent = waiting(pool, store, writer, 4)
        assert all(isinstance(one.exception(), StorageError) for one in sent)
    store.open.set()
    writer.stop()
    assert store.batches == [1]


def test_backlog_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many wait, the next is refused at once."""
    monkeypatch.setattr(module, "_BACKLOG", 3)
    store = Store()
    writer = Writer(store, timeout=100)
    with ThreadPoolExecutor(4) as pool:
        sent = waiting(pool, store, writer, 3)
        queued(writer, 3)
        with pytest.raises(StorageError) as caught:
            writer.submit(new(4))
        assert caught.value.code == "busy"
        store.open.set()
        assert all(one.result().new for one in sent)
    writer.stop()


@pytest.mark.parametrize("error", [StorageError("disk_full", "full"), ValueError("a bug")])
def test_failed_commit_fails_its_whole_batch(error: Exception) -> None:
    """Nobody of a batch that failed is answered "stored", and the next batch is unharmed."""
    store = Store()
    store.error = error
    writer = Writer(store, timeout=100)
    with pytest.raises(StorageError):
        writer.submit(new())
    store.error = None
    assert writer.submit(new()).new
    writer.stop()


@pytest.mark.parametrize("error", [StorageError("data", "a value"), UnicodeError("a bug")])
def test_an_event_that_cannot_be_stored_fails_no_other(error: Exception) -> None:
    """After a batch that failed its events are tried one by one."""
    store = Store()

    def picky(events: Sequence[NewEvent]) -> list[Accepted]:
        accepted = store(events)
        if any(event.id == "evt_3" for event in events):
            raise error
        return accepted

    writer = Writer(picky, timeout=100)
    with ThreadPoolExecutor(6) as pool:
        sent = waiting(pool, store, writer, 5)
        queued(writer, 5)
        store.open.set()
        failed = [isinstance(future.exception(), StorageError) for future in sent]
    assert failed == [False, False, False, True, False, False]
    writer.stop()


def test_a_full_disk_is_asked_once_for_a_batch() -> None:
    """What concerns every event is not tried for each of them."""
    store = Store()
    calls: list[int] = []

    def full(events: Sequence[NewEvent]) -> list[Accepted]:
        calls.append(len(events))
        store(events)
        raise StorageError("disk_full", "full")

    writer = Writer(full, timeout=100)
    with ThreadPoolExecutor(6) as pool:
        sent = waiting(pool, store, writer, 5)
        queued(writer, 5)
        store.open.set()
        assert all(isinstance(future.exception(), StorageError) for future in sent)
    assert calls == [1, 5]
    writer.stop()


def test_stop_commits_what_waits() -> None:
    """Stopping finishes what was taken; a later event starts anew."""
    store = Store()
    writer = Writer(store, timeout=100)
    writer.submit(new())
    writer.stop()
    assert writer.submit(new()).new
    writer.stop()
    assert store.batches == [1, 1]


def test_stop_waits_for_its_own_thread() -> None:
    """A request that comes while the thread is stopped starts another one, and both are served."""
    store = Store()
    writer = Writer(store, timeout=100)
    store.open.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(writer.submit, new(1))
        assert store.entered.acquire(timeout=100)
        thread = writer._thread
        assert thread is not None
        stopped = pool.submit(writer.stop)
        while writer._thread is not None:
            time.sleep(0.001)
        second = pool.submit(writer.submit, new(2))
        assert store.entered.acquire(timeout=100), "the second thread commits beside the first"
        store.open.set()
        assert first.result().new
        assert second.result().new
        stopped.result()
    thread.join(100)
    assert not thread.is_alive()
    writer.stop()


def test_bug_in_storing_is_an_answer(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails below, the caller gets a 503 and no traceback."""
    application = relay(sqlite_url)
    post(application, purchase())

    def broken(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("tracknow_static.relay.store.events.store", broken)
    assert code(post(application, purchase(2))) == (503, "storage_unavailable")
    monkeypatch.undo()
    assert code(post(application, purchase(2))) == (200, "stored")
    application.stop(100)


def test_hung_disk_is_503_and_recovers(sqlite_url: str) -> None:
    """While the database hangs the answer is 503 with Retry-After; then the same event is taken."""
    application = relay(sqlite_url, TRACKNOW_RELAY_COMMIT_TIMEOUT="60")
    assert code(post(application, purchase())) == (200, "stored")
    writer = application.ingest._writer
    hung, release = threading.Event(), threading.Event()

    def hold() -> None:
        with application.database.write():
            hung.set()
            release.wait(300)

    holder = threading.Thread(target=hold)
    holder.start()
    assert hung.wait(100)
    writer._timeout = 0.3
    reply = post(application, purchase(2))
    writer._timeout = 60
    assert code(reply) == (503, "storage_unavailable")
    assert ("Retry-After", "30") in reply.headers
    release.set()
    holder.join()
    assert code(post(application, purchase(2))) == (200, "stored")
    assert len(queries.find(application.database, Filter()).events) == 2
    application.stop(100)


def test_a_failure_that_goes_on_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A full disk does not fill the log: the next line has the number of the events since."""
    store = Store()
    writer = Writer(store, timeout=100)

    def lines(*errors: str) -> list[str]:
        caplog.clear()
        for text in errors:
            store.error = StorageError("disk_full", text) if text else None
            with contextlib.suppress(StorageError):
                writer.submit(new())
        return [record.getMessage() for record in caplog.records]

    assert lines("full", "full", "full") == ["1 event not stored: full"]
    assert lines("locked") == ["3 events not stored: locked"]
    assert lines("", "locked") == ["1 event not stored: locked"]
    writer._log_at = 0.0
    assert lines("locked", "locked") == ["1 event not stored: locked"]
    writer.stop()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forked_children_share_the_file(sqlite_url: str) -> None:
    """An application that was used before the fork works in each child, and nothing is lost."""
    application = relay(sqlite_url)
    assert code(post(application, purchase("parent"))) == (200, "stored")
    children = []
    for name in ("one", "two", "three"):
        child = os.fork()
        if not child:
            status = 1
            try:
                answers = [code(post(application, purchase(f"{name}_{n}")))[0] for n in range(20)]
                application.stop(100)
                status = 0 if answers == [200] * 20 else 2
            finally:
                os._exit(status)
        children.append(child)
    assert code(post(application, purchase("parent_again"))) == (200, "stored")
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert len(queries.find(application.database, Filter(), limit=100).events) == 62
    assert queries.status(application.database).tallies["accepted", ""] == 62
    application.stop(100)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize(("patience", "answer"), [(100.0, "stored"), (0.0, "storage_unavailable")])
def test_a_fork_waits_for_what_is_at_work(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, patience: float, answer: str
) -> None:
    """A transaction ends before the fork, and the child stores; after one that does not, it refuses."""
    monkeypatch.setattr("tracknow_static.relay.app._FORK_SECONDS", patience)
    application = relay(sqlite_url)
    opened, forking, forked = threading.Event(), threading.Event(), threading.Event()
    # What was registered last is called first.
    os.register_at_fork(before=forking.set, after_in_parent=forked.set)

    def hold() -> None:
        with application.database.write():
            opened.set()
            assert (forking if patience else forked).wait(100)

    holder = threading.Thread(target=hold)
    holder.start()
    assert opened.wait(100)
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if code(post(application, purchase("child")))[1] == answer else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    holder.join()
    assert code(post(application, purchase("parent"))) == (200, "stored")
    application.stop(100)
