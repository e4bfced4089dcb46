"""A destination, filled databases, and logging left as it was: commands set it up for their process."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    """Put handlers, levels and the environment back."""
    names = ("", "tracknow_static", "_granian")
    loggers = [logging.getLogger(name) for name in names]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    hook, environ = threading.excepthook, dict(os.environ)
    yield
    for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)
    threading.excepthook = hook
    os.environ.clear()
    os.environ.update(environ)


@pytest.fixture
def environ(request: pytest.FixtureRequest, sqlite_url: str) -> dict[str, str]:
    """Return the environment of an SQLite database that the module's own ``filled`` has filled."""
    return request.module.filled(sqlite_url)  # type: ignore[no-any-return]


@pytest.fixture
def either(request: pytest.FixtureRequest, database_url: str) -> dict[str, str]:
    """Return the same on SQLite and on PostgreSQL."""
    return request.module.filled(database_url)  # type: ignore[no-any-return]
