"""The thread that looks for what to report, beside requests and deliveries."""

from __future__ import annotations

import logging
import random
import threading
from typing import TYPE_CHECKING

from tracknow_static.errors import RelayError
from tracknow_static.relay.alerts.rounds import Alerts
from tracknow_static.relay.alerts.send import SECONDS
from tracknow_static.relay.background_thread import BackgroundThread

if TYPE_CHECKING:
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.database import Database

_log = logging.getLogger(__name__)

_FIRST_SECONDS = 3.0
_EVERY_SECONDS = 30.0


class AlertThread(BackgroundThread):
    """Sends alerts; of several processes, one at a time does."""

    def __init__(self, config: RelayConfig, database: Database) -> None:
        super().__init__("relay-alerts", self._run)
        self._alerts = Alerts(config, database)

    def _run(self, stopping: threading.Event) -> None:
        wait = _FIRST_SECONDS
        # Spread, so that processes that began together do not look at the same moment.
        while not stopping.wait(wait * random.uniform(0.75, 1.25)):  # noqa: S311
            _round(self._alerts, stopping)
            wait = _EVERY_SECONDS


def send_once(config: RelayConfig, database: Database, stopping: threading.Event) -> None:
    """Send what is due, for a command that ends: in a bounded time, whatever hangs."""
    thread = threading.Thread(
        target=_round, args=(Alerts(config, database), stopping), name="relay-alerts", daemon=True
    )
    thread.start()
    thread.join(2 * SECONDS)


def _round(alerts: Alerts, stopping: threading.Event) -> None:
    try:
        alerts.round(stopping)
    except RelayError as error:
        _log.warning("alerts wait: %s", error)
