"""The thread that fetches missed events at start and every hour."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from tracknow_static.errors import AccountError, RelayError
from tracknow_static.relay.backfill.backfill import Backfill
from tracknow_static.relay.background_thread import BackgroundThread
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.backfill_state import findings

if TYPE_CHECKING:
    import threading

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.ingest import Ingest

_log = logging.getLogger(__name__)

# A start stays quick.
_FIRST_SECONDS = 1.0
# How often to look whether a poll is due, which another process may have made.
_LOOK_SECONDS = 60.0
_STOP_SECONDS = 2.0
# After a failure.
_PAUSE_SECONDS = 300.0


class Backfiller(BackgroundThread):
    """A thread that fetches missed events; of several processes, one at a time does."""

    def __init__(self, config: RelayConfig, ingest: Ingest) -> None:
        super().__init__("relay-backfill", self._run)
        self._config = config
        self._ingest = ingest
        self._failure = ""

    def stop(self, timeout: float = 5.0) -> bool:
        """End; a request that Stripe does not answer is waited for no longer than a moment."""
        super().stop(min(timeout, _STOP_SECONDS))
        return True

    def _run(self, stopping: threading.Event) -> None:
        backfill = Backfill(
            self._config, self._ingest, running_since=time.time(), stopping=stopping
        )
        wait = _FIRST_SECONDS
        while not stopping.wait(wait):
            wait = _LOOK_SECONDS if self._round(backfill, stopping) else _PAUSE_SECONDS

    def _round(self, backfill: Backfill, stopping: threading.Event) -> bool:
        """Poll if it is time; return whether all went well."""
        try:
            if backfill.is_due():
                self._poll(backfill)
        except (AccountError, RelayError) as error:
            if not stopping.is_set() and str(error) != self._failure:
                self._failure = str(error)
                _log.warning("missed events are not fetched: %s", error)
            return False
        except Exception:  # noqa: BLE001 - whatever it is, the next poll may work
            _log.exception("missed events are not fetched")
            return False
        return True

    def _poll(self, backfill: Backfill) -> None:
        polled = backfill.poll()
        if polled is None:
            return
        self._failure = ""
        number = polled.new.total()
        if number:
            _log.warning("missed events were fetched from Stripe", extra={"events": number})
        status = queries.status(self._ingest.database)
        for found in findings(status.backfill, status.now):
            _log.error("%s: `%s`", found.text, found.command)
