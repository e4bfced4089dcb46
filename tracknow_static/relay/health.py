"""The pages for those who watch the relay: is it alive, can it store, what has it done.

``/healthz`` shows that the process answers. ``/readyz`` shows whether an event would be stored now:
it writes to the database. ``/metrics`` is for Prometheus. They hold no event's data, but a
destination's URL (without its query); a proxy before the relay should publish the webhook's path
alone.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tracknow_static.errors import StorageError
from tracknow_static.relay.receive.response import Response
from tracknow_static.relay.store.events import add_tallies
from tracknow_static.relay.store.migrations import SchemaError
from tracknow_static.relay.store.watch import is_low

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.ingest import Ingest

    Page = Callable[[Mapping[str, Any]], Response]

_Found = TypeVar("_Found")

# Who asks all the time makes one write a second, not more.
_FRESH_SECONDS = 1.0


def pages(config: RelayConfig, ingest: Ingest) -> dict[str, Page]:
    """Return ``/healthz`` and ``/readyz``."""
    readiness = Shared(
        partial(examine, ingest), timeout=config.commit_timeout, fresh=_FRESH_SECONDS
    )

    def ready(_environ: Mapping[str, Any]) -> Response:
        found = readiness.get() or TIMEOUT
        return Response.json(200 if found.ready else 503, found.as_dict())

    return {"/healthz": alive, "/readyz": ready}


@dataclass(frozen=True)
class Readiness:
    """What was found; each check is ``ok``, ``unknown`` or a stable code of what is wrong."""

    checks: dict[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether an event would be stored."""
        return all(result == "ok" for result in self.checks.values())

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return {"ready": self.ready, "checks": self.checks}


TIMEOUT = Readiness({"database": "timeout", "schema": "unknown", "disk": "unknown"})


class Shared(Generic[_Found]):
    """Does one piece of work for all who ask: on a thread of its own, once at a time.

    While a disk hangs, everybody who asks is answered after ``timeout`` seconds, and no second
    piece of work is begun. What was found is ``fresh`` for that number of seconds.
    """

    def __init__(self, work: Callable[[], _Found], *, timeout: float, fresh: float = 0.0) -> None:
        self._work = work
        self._timeout = timeout
        self._fresh = fresh
        self._lock = threading.Lock()
        self._running: threading.Event | None = None
        self._found: _Found | None = None
        self._found_at = -fresh

    def get(self) -> _Found | None:
        """Return what is found now, or is fresh; None if it takes too long."""
        with self._lock:
            if time.monotonic() - self._found_at < self._fresh:
                return self._found
            done = self._running
            if done is None:
                done = threading.Event()
                threading.Thread(
                    target=self._run, args=(done,), name="relay-page", daemon=True
                ).start()
                # Only now: nobody may wait for a thread that the system would not start.
                self._running = done
        finished = done.wait(self._timeout)
        with self._lock:
            return self._found if finished else None

    def _run(self, done: threading.Event) -> None:
        found: _Found | None = None
        try:
            found = self._work()
        finally:
            with self._lock:
                self._found, self._found_at = found, time.monotonic()
                self._running = None
            done.set()


def examine(ingest: Ingest) -> Readiness:
    """Open the database, look at its schema and its disk, and write to it."""
    checks = {"database": "unknown", "schema": "unknown", "disk": "unknown"}
    try:
        ingest.database.open()
        checks["schema"] = "ok"
        free = ingest.database.free_bytes()
        checks["disk"] = "disk_low" if is_low(free, ingest.min_free_bytes) else "ok"
        add_tallies(ingest.database, {("ready", ""): 1})
        checks["database"] = "ok"
    except SchemaError:
        checks["schema"] = "schema"
    except StorageError as error:
        checks["database"] = error.code
    return Readiness(checks)


def open_files() -> int | None:
    """Return how many files and connections this process has open, None if nobody knows."""
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names alone, and fast
    except OSError:
        return None


def alive(_environ: Mapping[str, Any]) -> Response:
    """Answer that the process answers."""
    return Response.json(200, {"alive": True})
