"""The thread that keeps the ledger up to date beside the requests."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from tracknow_static.errors import RelayError
from tracknow_static.relay.background import BackgroundThread
from tracknow_static.relay.sales.ledger import BATCH, Ledger

if TYPE_CHECKING:
    import threading

    from tracknow_static.relay.store.database import Database

_log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
# After a failure, so that a log is not filled by a database that is away.
_PAUSE_SECONDS = 10.0
# Events in a second from which on the ledger waits: whoever sends them waits for an answer.
_BUSY = 100
_LONGEST_WAIT_SECONDS = 60.0


class Bookkeeper(BackgroundThread):
    """A thread that advances the ledger; of several processes, one at a time does."""

    def __init__(self, database: Database) -> None:
        super().__init__("relay-sales", self._run)
        self._ledger = Ledger(database)
        self._worked_at = 0.0

    def _run(self, stopping: threading.Event) -> None:
        wait = 0.0
        while not stopping.wait(wait):
            try:
                wait = self._round()
            except RelayError as error:
                _log.warning("the ledger of sales waits: %s", error)
                wait = _PAUSE_SECONDS
        with contextlib.suppress(RelayError):
            self._ledger.release()

    def _round(self) -> float:
        """Read some events; return the seconds to wait before the next ones."""
        waited = time.monotonic() - self._worked_at
        if waited < _LONGEST_WAIT_SECONDS and self._ledger.is_busy(_BUSY):
            return _POLL_SECONDS
        number = self._ledger.advance()
        self._worked_at = time.monotonic()
        return 0.0 if number == BATCH else _POLL_SECONDS
