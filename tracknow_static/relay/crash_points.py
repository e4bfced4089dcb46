"""Named points in the life of an event where a process may die.

Each point is between two steps, of which the first must hold without the second: a test arms one, the
process kills itself there, and afterwards nothing that was acknowledged may be missing. Without a
test a point costs one comparison.

``TRACKNOW_RELAY_POINT=NAME`` kills at the first time that NAME is reached,
``TRACKNOW_RELAY_POINT=NAME:3`` at the third.
"""

from __future__ import annotations

import os
import signal
import threading

VARIABLE = "TRACKNOW_RELAY_POINT"

# Name to what has just happened there. Filled by `declare` where the points are.
ALL: dict[str, str] = {}


def declare(name: str, doc: str) -> str:
    """Add a point to ``ALL`` and return its name; ``doc`` names what has just happened there."""
    ALL[name] = doc
    return name


def _armed(text: str) -> tuple[str, int]:
    name, _, occurrence = text.partition(":")
    return name, int(occurrence or "1")


_name, _left = _armed(os.environ.get(VARIABLE, ""))
_lock = threading.Lock()


def reach(name: str) -> None:
    """Pass the point, or die there by SIGKILL if the environment armed it."""
    if name != _name:
        return
    global _left  # noqa: PLW0603 - one process, one armed point
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
