"""Where the core's tests keep their files, and the outbox that several of them look at."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.relay.core.outbox_parts import A, B, Clock
from tracknow_static.relay.database import Database
from tracknow_static.relay.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMORY = Path("/dev/shm")
_ROOM = 256 * 1024 * 1024


@pytest.fixture
def fast_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if there is room: what is tested is order and locks, not the disk."""
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _ROOM:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="tn-relay-", dir=_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def sqlite_url(fast_path: Path) -> str:
    """URL of an SQLite file that does not exist yet."""
    return f"sqlite:///{fast_path / 'state' / 'relay.sqlite3'}"


@pytest.fixture
def clock() -> Clock:
    """The outbox's clock."""
    return Clock()


@pytest.fixture
def outbox(database_url: str, clock: Clock) -> Iterator[Outbox]:
    """An outbox with two destinations on each kind of database."""
    made = Outbox(Database(database_url, clock=clock), [A, B])
    yield made
    made.close()
