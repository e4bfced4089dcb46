"""A database that is locked, gone, full, crashed or replaced: 503, nothing lost, and recovery."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.events import purchase
from tests.relay.calls import code, post, relay
from tests.relay.forks import FORKS
from tests.relay.store.parts import close_while_it_is_watched
from tracknow_static.errors import StorageError
from tracknow_static.relay.store import ingest, queries, sqlite_file
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import Filter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.relay.conftest import Postgres
    from tracknow_static.relay.app import Relay

STORED = (200, "stored")
UNAVAILABLE = (503, "storage_unavailable")


def stored(application: Relay) -> list[str]:
    """Ids of the events that are stored."""
    return [one.id for one in queries.find(application.database, Filter(), limit=1000).events]


def path_of(application: Relay) -> Path:
    """The SQLite file behind a relay."""
    path = application.database.path
    assert path is not None
    return path


@pytest.fixture
def application(sqlite_url: str) -> Iterator[Relay]:
    """A relay that has taken one event."""
    made = relay(sqlite_url)
    assert code(post(made, purchase(1))) == STORED
    yield made
    made.stop(100)


def test_locked_by_a_stranger(application: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program holds SQLite's lock the answer is 503, afterwards all is well."""
    monkeypatch.setattr(sqlite_file, "_BUSY_SECONDS", 0.2)
    short = relay(str(application.database.url))
    stranger = sqlite3.connect(path_of(application), isolation_level=None)
    stranger.execute("BEGIN EXCLUSIVE")
    reply = post(short, purchase(2))
    assert code(reply) == UNAVAILABLE
    assert ("Retry-After", "30") in reply.headers
    stranger.execute("ROLLBACK")
    stranger.close()
    assert code(post(short, purchase(2))) == STORED
    assert stored(short) == ["evt_1", "evt_2"]
    short.stop(100)


def test_folder_gone_and_back(application: Relay) -> None:
    """A volume that is gone is a 503, never a new file that Stripe's events vanish with."""
    folder = path_of(application).parent
    away = folder.with_name("away")
    folder.rename(away)
    assert code(post(application, purchase(2))) == UNAVAILABLE
    away.rename(folder)
    assert code(post(application, purchase(2))) == STORED
    assert stored(application) == ["evt_1", "evt_2"]


def test_deleted_file_takes_no_event_with_it(application: Relay) -> None:
    """While the file is away nothing is acknowledged, into no other file either."""
    path = path_of(application)
    path.rename(path.with_name("away"))
    assert code(post(application, purchase(2))) == UNAVAILABLE
    assert code(post(application, purchase(2))) == UNAVAILABLE
    path.with_name("away").rename(path)
    assert code(post(application, purchase(2))) == STORED
    assert stored(application) == ["evt_1", "evt_2"]


def test_replaced_file_is_noticed(application: Relay) -> None:
    """A file restored from a backup is used as it is, and the one before it no more."""
    path = path_of(application)
    application.database.close()
    shutil.copy(path, path.with_name("backup"))
    assert code(post(application, purchase(2))) == STORED
    application.database.close()
    os.replace(path.with_name("backup"), path)  # noqa: PTH105
    assert code(post(application, purchase(3))) in (STORED, UNAVAILABLE)
    assert code(post(application, purchase(3))) == STORED
    assert stored(application) == ["evt_1", "evt_3"]


def test_another_database_in_its_place_is_refused(application: Relay) -> None:
    """A running relay never moves to another file; with its own it goes on and has every event."""
    path = path_of(application)
    folder = path.parent
    away = folder.with_name("away")
    folder.rename(away)
    assert code(post(application, purchase(2))) == UNAVAILABLE
    stranger = Database(f"sqlite:///{path}")
    stranger.open()
    stranger.close()
    for _ in range(3):
        assert code(post(application, purchase(2))) == UNAVAILABLE
    shutil.rmtree(folder)
    away.rename(folder)
    assert code(post(application, purchase(2))) == STORED
    assert stored(application) == ["evt_1", "evt_2"]


def test_an_empty_file_in_its_place_stays_empty(application: Relay) -> None:
    """A running relay makes no database of a file that took the place of its own."""
    path = path_of(application)
    folder, away = path.parent, path.parent.with_name("away")
    folder.rename(away)
    folder.mkdir()
    path.touch()
    for _ in range(3):
        assert code(post(application, purchase(2))) == UNAVAILABLE
    with contextlib.closing(sqlite3.connect(path)) as found:
        assert found.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    shutil.rmtree(folder)
    away.rename(folder)
    assert code(post(application, purchase(2))) == STORED
    assert stored(application) == ["evt_1", "evt_2"]


def test_who_waited_for_a_turn_writes_into_no_other_file(
    application: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that another thread has found meanwhile is used by nobody before it is recognised."""
    path, database = path_of(application), application.database
    folder, away = path.parent, path.parent.with_name("away")
    stranger = Database(f"sqlite:///{folder.with_name('other') / path.name}")
    stranger.open()
    stranger.close()
    # It was open when this thread looked. Then it waited, and another thread looked.
    monkeypatch.setattr(database, "open", lambda: None)
    folder.rename(away)
    folder.with_name("other").rename(folder)
    database._lose_file()
    database._schema_fits = False
    database._prepare_file()
    with pytest.raises(StorageError, match="opened again"), database.write():
        pass


@pytest.mark.parametrize("replaced", [False, True])
def test_a_lost_log_is_noticed(application: Relay, replaced: bool, caplog: Any) -> None:
    """Without SQLite's log nothing more is acknowledged, and nothing acknowledged is missing."""
    path = path_of(application)
    log = path.with_name(path.name + "-wal")
    log.unlink()
    if replaced:
        log.write_bytes(b"")
    for _ in range(2):
        assert code(post(application, purchase(2))) == UNAVAILABLE
    assert "log was deleted or replaced" in caplog.text
    application.stop(100)
    again = Database(f"sqlite:///{path}")
    assert [event.id for event in queries.find(again, Filter()).events] == ["evt_1"]
    again.close()


def test_who_only_looks_makes_no_database(sqlite_url: str) -> None:
    """A missing file is an error that names it, and stays missing."""
    looking = Database(sqlite_url, create=False)
    with pytest.raises(StorageError, match="there is no database") as caught:
        queries.status(looking)
    assert caught.value.code == "database_gone"
    assert looking.path is not None
    assert not looking.path.parent.exists()
    looking.close()


def test_a_command_waits_for_its_turn_no_longer_than_a_person(
    application: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who only looks says what it waits for while another process holds the database."""
    monkeypatch.setattr(sqlite_file, "PATIENCE_SECONDS", 0.1)
    looking = Database(str(application.database.url), create=False)
    with application.database.turn(), pytest.raises(StorageError, match="has been writing for"):
        queries.status(looking)
    assert queries.status(looking).tallies["accepted", ""] == 1
    looking.close()


def test_a_stop_ends_while_another_process_holds_the_database(
    application: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is counted may not be stored then; the process ends all the same."""
    monkeypatch.setattr(ingest, "_CLOSE_SECONDS", 0.1)
    other = Database(str(application.database.url))
    assert code(post(application, {"no": "event"})) == (400, "not_an_event")
    stopping = threading.Thread(target=application.stop, args=(100,))
    with other.turn():
        stopping.start()
        stopping.join(100)
        assert not stopping.is_alive()
    other.close()


def test_no_folder_to_write_to(fast_path: Path) -> None:
    """A path below a file cannot be made: 503, and no traceback."""
    (fast_path / "file").write_text("")
    made = relay(f"sqlite:///{fast_path}/file/relay.sqlite3")
    assert code(post(made, purchase())) == UNAVAILABLE
    made.stop(100)


def test_floor_of_free_space(application: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the floor no event is taken; with space again the same event is."""
    application.ingest.min_free_bytes = 1_000_000
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=999_999))
    assert code(post(application, purchase(2))) == UNAVAILABLE
    monkeypatch.undo()
    assert code(post(application, purchase(2))) == STORED


@pytest.mark.parametrize(("free", "warnings"), [(15_999_999, 1), (16_000_000, 0)])
def test_a_start_without_room_for_the_reserve_is_logged(
    fast_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    free: int,
    warnings: int,
) -> None:
    """A purge of a full disk needs it, so that its absence is in the log."""
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=free))
    database = Database(f"sqlite:///{fast_path}/relay.sqlite3", [])
    database.open()
    database.open()
    database.close()
    assert len([one for one in caplog.messages if "no room was set aside" in one]) == warnings
    assert (fast_path / "relay.sqlite3-reserve").exists() is not bool(warnings)


def test_floor_is_read_from_the_configuration(sqlite_url: str) -> None:
    """The floor is the configured number of megabytes."""
    made = relay(sqlite_url, TRACKNOW_RELAY_MIN_FREE_MB="1000000")
    assert code(post(made, purchase())) == UNAVAILABLE
    made.stop(100)


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """A small file system of its own, while the block lasts."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk(tmp_path: Path) -> None:
    """On a disk that fills up every event is either stored and acknowledged, or a 503.

    With space again events are taken as before, and none that was acknowledged is missing.
    """
    folder = tmp_path / "small"
    with mounted(folder, "1m"):
        made = relay(f"sqlite:///{folder}/relay.sqlite3")
        taken = []
        for number in range(200):
            reply = code(post(made, purchase(number, note="x" * 20_000)))
            assert reply in (STORED, UNAVAILABLE)
            if reply == STORED:
                taken.append(f"evt_{number}")
        assert 0 < len(taken) < 200
        assert code(post(made, purchase("full", note="x" * 20_000))) == UNAVAILABLE
        subprocess.run(["mount", "-o", "remount,size=20m", str(folder)], check=True)
        assert code(post(made, purchase("later", note="x" * 20_000))) == STORED
        assert sorted(stored(made)) == sorted([*taken, "evt_later"])
        made.stop(100)


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT])
def test_postgresql_crashes_and_comes_back(
    postgres: Postgres, postgres_url: str, how: signal.Signals
) -> None:
    """A server that is gone is a 503; when it is back the relay goes on by itself."""
    made = relay(postgres_url)
    assert code(post(made, purchase(1))) == STORED
    postgres.stop(how)
    try:
        assert code(post(made, purchase(2))) == UNAVAILABLE
    finally:
        postgres.start()
    assert code(post(made, purchase(2))) == STORED
    assert stored(made) == ["evt_1", "evt_2"]
    made.stop(100)


def test_cut_connections_are_mended(postgres: Postgres, postgres_url: str) -> None:
    """A restart of the server between two events costs nothing: the commit is tried again."""
    made = relay(postgres_url)
    assert code(post(made, purchase(1))) == STORED
    name = made.database.url.database
    postgres.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    )
    assert code(post(made, purchase(2))) == STORED
    made.stop(100)


def test_unreachable_server(fast_path: Path) -> None:
    """A database that was never there is a 503 from the first request on."""
    made = relay(f"postgresql://relay@/relay?host={fast_path}")
    assert code(post(made, purchase())) == UNAVAILABLE
    made.stop(100)


def test_a_connection_is_never_closed_while_it_is_used(sqlite_url: str) -> None:
    """SQLite's driver would end the process, as when a volume goes away under a relay."""
    process = FORKS.Process(target=close_while_it_is_watched, args=(sqlite_url,), daemon=True)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_a_commit_into_a_file_that_another_thread_lost_is_refused(application: Relay) -> None:
    """Who looks for the file anew forgets nothing that others have under way."""
    folder = path_of(application).parent
    away = folder.with_name("away")
    database = application.database
    writing = database.write()
    writing.__enter__()
    folder.rename(away)
    with pytest.raises(StorageError):
        queries.status(database)
    with pytest.raises(StorageError) as caught:
        writing.__exit__(None, None, None)
    assert caught.value.code == "database_gone"
    away.rename(folder)
    assert code(post(application, purchase(2))) == STORED


def test_a_volume_that_goes_between_two_looks_comes_back(
    application: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log that is away with its file is not taken for a lost one, which only a restart ends."""
    path = path_of(application)
    folder, away = path.parent, path.parent.with_name("away")
    look = sqlite_file._inode

    def go_away(looked_at: str | Path) -> tuple[int, int]:
        if str(looked_at).endswith("-wal") and folder.exists():
            folder.rename(away)
        return look(looked_at)

    monkeypatch.setattr(sqlite_file, "_inode", go_away)
    assert code(post(application, purchase(2))) == UNAVAILABLE
    monkeypatch.undo()
    away.rename(folder)
    assert code(post(application, purchase(2))) == STORED
