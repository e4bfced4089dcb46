"""What SQLAlchemy raises, as the one error of the store with a short and stable code."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    SQLAlchemyError,
    StatementError,
)

from tracknow_static.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def as_storage_error() -> Iterator[None]:
    """Raise :class:`StorageError` for whatever SQLAlchemy raises; no text of it holds a payload."""
    try:
        yield
    except DBAPIError as error:
        text = _text_of(error.orig)
        of_data = isinstance(error, (DataError, IntegrityError))
        lines = text.strip().splitlines()
        code = "data" if of_data else _code_of(text)
        raise StorageError(code, lines[0] if lines else "unknown") from error
    except SQLAlchemyError as error:
        code = "data" if isinstance(error, StatementError) else "database"
        raise StorageError(code, str(error).splitlines()[0]) from error


def is_transient(error: StorageError) -> bool:
    """Whether it was a deadlock, a conflict or a cut connection: what may work the next time."""
    cause = error.__cause__
    if not isinstance(cause, DBAPIError):
        return False
    # PostgreSQL's serialization_failure and deadlock_detected.
    state = getattr(cause.orig, "sqlstate", None)
    return cause.connection_invalidated or state in ("40001", "40P01")


def _text_of(error: BaseException | None) -> str:
    # No room for the index of SQLite's log: its own text is "disk I/O error".
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_SHMSIZE:
        return "database or disk is full"
    return str(error)


def _code_of(text: str) -> str:
    lowered = text.lower()
    for part, code in (
        ("is full", "disk_full"),
        ("no space", "disk_full"),
        ("locked", "database_locked"),
        ("readonly", "database_readonly"),
        ("not a database", "not_a_database"),
    ):
        if part in lowered:
            return code
    return "database"
