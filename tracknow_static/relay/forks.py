"""Objects that hold locks, threads or connections start anew in a forked process."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Has a method that the child process calls before anything else."""

    def after_fork(self) -> None:
        """Drop what belongs to the parent process."""


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
