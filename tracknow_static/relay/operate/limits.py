"""How long a command waits for the database, and what it reports meanwhile."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

import click

from tracknow_static.relay import logs
from tracknow_static.relay.store.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.relay.store.database import Database

# Seconds for each step of what changes the store.
CHANGING = 600.0
# Seconds of silence before a person reads what is waited for.
_PATIENCE = 2.0


class _Limit:
    """A time-out that a signal enforces: locks and answers are waited for in system calls."""

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._reported = False

    def restart(self) -> None:
        first = min(_PATIENCE, self._seconds)
        self._reported = False
        signal.setitimer(signal.ITIMER_REAL, first)

    def ring(self, _number: int, _frame: Any) -> None:
        what = waited_for(self._database)
        if self._reported or self._seconds <= _PATIENCE:
            raise StorageError("timeout", f"gave up after {self._seconds:g} s: waiting for {what}")
        self._reported = True
        click.echo(f"Waiting for {what} …", err=True)
        signal.setitimer(signal.ITIMER_REAL, self._seconds - _PATIENCE)


_current: _Limit | None = None


@contextlib.contextmanager
def limited(database: Database, seconds: float) -> Iterator[None]:
    """Allow the block ``seconds``, and again after each call of :func:`restart`.

    Raises :class:`StorageError` when they are over. Only a main thread can be interrupted, and
    Windows has no such signal: elsewhere there is no limit.
    """
    global _current  # noqa: PLW0603 - a process has one timer
    if not hasattr(signal, "setitimer") or (
        threading.current_thread() is not threading.main_thread()
    ):
        yield
        return
    limit, outer = _Limit(database, seconds), _current
    handler = signal.signal(signal.SIGALRM, limit.ring)
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    _current = limit
    limit.restart()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)
        _current = outer


def restart() -> None:
    """Start the time of the current limit anew: there is progress."""
    if _current is not None:
        _current.restart()


def waited_for(database: Database) -> str:
    """Return what a command can only be waiting for, in words."""
    if database.path is None:
        where = logs.hide(database.url.render_as_string(hide_password=True))
        return f"{where}: its server is slow to answer, or another session holds a lock"
    lock = database.path.with_name(database.path.name + "-turn")
    if _is_held(str(lock)):
        return f"{lock}, a lock that another process holds (`fuser {lock}` lists it)"
    return f"{database.path}: another program locks it, or its disk is slow to answer"


def _is_held(lock: str) -> bool:
    import fcntl

    with contextlib.suppress(FileNotFoundError, PermissionError), open(lock, "rb") as file:  # noqa: PTH123
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
