"""What a relay does from time to time: it stores its counters and purges old payloads."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from tracknow_static.errors import RelayError
from tracknow_static.relay.background import BackgroundThread
from tracknow_static.relay.sales.ledger import forget
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
# After a failure, so that a log is not filled by a database that is away.
_PAUSE_SECONDS = 10.0


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
                stopping.wait(_PAUSE_SECONDS)

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
