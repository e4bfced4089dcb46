"""A process that builds a ledger and is made to be killed."""

from __future__ import annotations

import os

from tests.relay.store.parts import Clock
from tracknow_static.relay import crash_points
from tracknow_static.relay.sales.ledger import Ledger, forget
from tracknow_static.relay.store.database import Database

BATCH = 7


def live(url: str, task: str, point: str) -> None:
    """Build, rebuild or thin out a ledger until the point is reached."""
    # This process is a fork: nothing has read the environment for it.
    crash_points._name, crash_points._left = crash_points._armed(point)
    clock = Clock()
    database = Database(url, clock=clock)
    ledger = Ledger(database)
    if task == "rebuild":
        ledger.restart()
    if task == "forget":
        clock.time += 1000 * 86_400
        forget(database, days=1)
    while ledger.advance(limit=BATCH):
        pass
    # Its point was never reached.
    os._exit(3)
