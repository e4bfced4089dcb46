"""Objects that hold locks, threads or connections start anew in a forked process."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Has a method that the child process calls before anything else."""

    def after_fork(self) -> None:
        """Drop what belongs to the parent process."""


class Closable(Forkable, Protocol):
    """Also has a method that the parent calls before it forks."""

    def before_fork(self) -> None:
        """Close what must not be open in both processes."""


def renew_after_fork(forkable: Forkable) -> None:
    """Call ``forkable.after_fork()`` in every child process forked while the object lives."""
    if not hasattr(os, "register_at_fork"):  # pragma: no cover - Windows does not fork
        return
    reference = weakref.ref(forkable)

    def renew() -> None:
        alive = reference()
        if alive is not None:
            alive.after_fork()

    os.register_at_fork(after_in_child=renew)


def close_before_fork(closable: Closable) -> None:
    """Call ``closable.before_fork()`` in this process whenever it is about to fork."""
    if not hasattr(os, "register_at_fork"):  # pragma: no cover - Windows does not fork
        return
    reference = weakref.ref(closable)

    def close() -> None:
        alive = reference()
        if alive is not None:
            alive.before_fork()

    os.register_at_fork(before=close)
