"""Bounding many waits on an event loop by one timer.

A timer for each would cost more than the rest of a short wait. All waits here have the same length,
so the oldest is the first to run out; it ends a little late, never early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

# Of its length a wait may take this part longer.
_LATE = 0.1


class Bounded(Protocol):
    """A wait that can be ended."""

    def give_up(self) -> None:
        """End the wait; called on the loop, at most once."""


class Deadlines:
    """The waits of one loop, each ended after ``seconds``; use it on that loop alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._ends: dict[Bounded, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, wait: Bounded) -> None:
        """Begin a wait."""
        self._ends[wait] = self._loop.time() + self._seconds
        if self._timer is None:
            self._sleep(self._seconds)

    def remove(self, wait: Bounded) -> None:
        """Forget a wait that has ended, by itself or by us."""
        self._ends.pop(wait, None)

    def _sleep(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds + self._seconds * _LATE, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        over = []
        for wait, end in self._ends.items():
            if end > now:
                self._sleep(end - now)
                break
            over.append(wait)
        for wait in over:
            self.remove(wait)
            wait.give_up()
