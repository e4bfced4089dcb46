"""A thread that works beside the requests of one process until it is stopped."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

# After a failure, so that a log is not filled by a database that is away.
PAUSE_SECONDS = 10.0


class BackgroundThread:
    """Runs ``work(stopping)`` in a thread called ``name`` until it is stopped.

    ``work`` returns soon after the event ``stopping`` is set.
    """

    def __init__(self, name: str, work: Callable[[threading.Event], None]) -> None:
        self._name = name
        self._work = work
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start; does nothing, cheaply, when this process has started it already."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                self._stopping = threading.Event()
                thread = threading.Thread(
                    target=self._work_on, args=(self._stopping,), name=self._name, daemon=True
                )
                thread.start()
                self._thread = thread

    def _work_on(self, stopping: threading.Event) -> None:
        """Work, again after a failure that nobody expected: nothing else would begin again."""
        while not stopping.is_set():
            try:
                self._work(stopping)
            except Exception:  # noqa: BLE001 - the process lives on, without this work
                _log.exception("%s failed unexpectedly and goes on", self._name)
                stopping.wait(PAUSE_SECONDS)

    def stop(self, timeout: float = 5.0) -> bool:
        """End; return whether the thread ended within ``timeout`` seconds."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopping.set()
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()
