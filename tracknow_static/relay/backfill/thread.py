"""The thread that fetches missed events at start and every hour."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from tracknow_static.errors import AccountError, RelayError
from tracknow_static.relay.background import BackgroundThread
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.backfill_state import findings

if TYPE_CHECKING:
    import threading

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.ingest import Ingest

_log = logging.getLogger(__name__)

_POLL_SECONDS = 3600.0
# Stripe may still be pushing what this process missed a moment ago; and a start stays quick.
_FIRST_SECONDS = 5.0
# After a failure, and while another process fetches: it may have died.
_PAUSE_SECONDS = 300.0


class Backfiller(BackgroundThread):
    """A thread that fetches missed events; of several processes, one at a time does.

    ``receives``: whether the process receives events, too, so that none should be missing.
    """

    def __init__(self, config: RelayConfig, ingest: Ingest, *, receives: bool = True) -> None:
        super().__init__("relay-backfill", self._run)
        self._config = config
        self._ingest = ingest
        self._receives = receives

    def _run(self, stopping: threading.Event) -> None:
        from tracknow_static.relay.backfill.backfill import Backfill

        since = time.time() if self._receives else None
        backfill = Backfill(self._config, self._ingest, running_since=since, stopping=stopping)
        wait = _FIRST_SECONDS
        while not stopping.wait(wait):
            wait = _PAUSE_SECONDS
            try:
                polled = backfill.poll()
                if polled is None:
                    continue
                number = polled.new.total()
                if number:
                    _log.warning("missed events were fetched from Stripe", extra={"events": number})
                for found in findings(queries.status(self._ingest.database).backfill, time.time()):
                    _log.error("%s", found.text)
                wait = _POLL_SECONDS * random.uniform(0.9, 1.1)  # noqa: S311
            except (AccountError, RelayError) as error:
                if not stopping.is_set():
                    _log.warning("missed events are not fetched: %s", error)
            except Exception:  # noqa: BLE001 - whatever it is, the next poll may work
                _log.exception("missed events are not fetched")
