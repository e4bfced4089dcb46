"""The threads that work beside the requests of one process.

One keeps house: it stores counters and purges old payloads. One keeps the ledger up to date.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING

from tracknow_static.errors import RelayError
from tracknow_static.relay.background_thread import PAUSE_SECONDS, BackgroundThread
from tracknow_static.relay.sales.forward import decide
from tracknow_static.relay.sales.ledger import BATCH, Ledger, forget
from tracknow_static.relay.store.purge import purge

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.database import Database

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0
# The first one soon, as a process that lives for minutes only has to purge too; then in an hour.
_FIRST_PURGE_SECONDS = 60.0
_PURGE_SECONDS = 3600.0

_POLL_SECONDS = 1.0
# Events in a second from which on the ledger waits: whoever sends them waits for an answer.
_BUSY = 100
_LONGEST_WAIT_SECONDS = 60.0


class Housekeeper(BackgroundThread):
    """A thread that stores counters every second (``flush``) and purges by the retention.

    Several processes may do so at once: a purge works in small transactions and finds nothing
    that another has purged. Their times are spread, so that they rarely coincide.
    """

    def __init__(
        self,
        config: RelayConfig,
        database: Database,
        *,
        flush: Callable[[], None] | None = None,
    ) -> None:
        super().__init__("relay-housekeeping", self._run)
        self._config = config
        self._database = database
        self._flush = flush

    def purge(self) -> None:
        """Purge once, by the configured retention."""
        purged = purge(
            self._database,
            delivered_days=self._config.retention_delivered_days,
            dead_days=self._config.retention_dead_days,
            references_days=self._config.retention_references_days,
        )
        if not purged.waits:
            forget(self._database, days=self._config.retention_sales_days)
        if purged.events or purged.references:
            _log.info("purged", extra={"payloads": purged.events, "references": purged.references})

    def _run(self, stopping: threading.Event) -> None:
        purge_at = time.monotonic() + _FIRST_PURGE_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311
        while not stopping.wait(_FLUSH_SECONDS):
            due = time.monotonic() >= purge_at
            if due:
                purge_at = time.monotonic() + _PURGE_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311
            if not self._round(purge=due):
                stopping.wait(PAUSE_SECONDS)

    def _round(self, *, purge: bool) -> bool:
        try:
            if self._flush is not None:
                self._flush()
            if purge:
                self.purge()
        except RelayError as error:
            _log.warning("housekeeping waits: %s", error)
            return False
        return True


class Bookkeeper(BackgroundThread):
    """A thread that advances the ledger and decides about what waits for its session.

    Of several processes, one at a time advances it.
    """

    def __init__(self, config: RelayConfig, database: Database) -> None:
        super().__init__("relay-sales", self._run)
        self._config = config
        self._database = database
        self._ledger = Ledger(database, click_id=config.click_id_pattern)
        self._begun = False
        self._worked_at = 0.0

    def _run(self, stopping: threading.Event) -> None:
        wait = 0.0
        while not stopping.wait(wait):
            try:
                wait = self._round()
            except RelayError as error:
                _log.warning("the ledger of sales waits: %s", error)
                wait = PAUSE_SECONDS
        with contextlib.suppress(RelayError):
            self._ledger.release()

    def _round(self) -> float:
        """Read some events; return the seconds to wait before the next ones."""
        if not self._begun:
            self._ledger.begin()
            self._begun = True
        waited = time.monotonic() - self._worked_at
        may_wait = self._config.forward == "all" and waited < _LONGEST_WAIT_SECONDS
        if may_wait and self._ledger.is_busy(_BUSY):
            return _POLL_SECONDS
        has_more = self._ledger.advance() >= BATCH
        if not has_more:
            has_more = decide(self._database, wait=self._config.forward_wait) > 0
        self._worked_at = time.monotonic()
        return 0.0 if has_more else _POLL_SECONDS
