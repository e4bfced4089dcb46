"""What the store's tests share: a clock that they move, events, and short ways to settle."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

from tracknow_static.relay.store import events, leases, wakeup
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import DeliveryResult, NewEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracknow_static.relay.store.model import Accepted, Claimed

A, B = "https://a.example/postback", "https://b.example/postback"
START = 1_790_000_000.0


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> float:
        return self.time


def new(number: int | str = 1, **changes: Any) -> NewEvent:
    """An event of some number."""
    values: dict[str, Any] = {"id": f"evt_{number}", "type": "charge.succeeded"}
    return NewEvent(**{**values, "payload": b"{%d}" % len(str(number)), **changes})


def ids(claimed: Any) -> list[str]:
    """Ids of the events of deliveries."""
    return [delivery.event_id for delivery in claimed]


def accept(database: Database, event: NewEvent) -> Accepted:
    """Store one event."""
    return events.store(database, [event])[0]


def delivered(database: Database, claimed: Claimed, *, status: int, took_ms: int = 0) -> bool:
    """Settle a delivery that was accepted; False if its lease was lost."""
    result = DeliveryResult(claimed, "delivered", status, took_ms=took_ms)
    return leases.settle(database, [result])[0]


def retry(
    database: Database,
    claimed: Claimed,
    *,
    delay: float,
    status: int | None,
    error: str | None,
    counted: bool = True,
) -> bool:
    """Make a delivery due again ``delay`` seconds from now; False if its lease was lost."""
    result = DeliveryResult(claimed, "retry", status, error, delay, counted)
    return leases.settle(database, [result])[0]


def dead(
    database: Database, claimed: Claimed, *, status: int | None, error: str | None, took_ms: int = 0
) -> bool:
    """Make a delivery a dead letter; False if its lease was lost."""
    result = DeliveryResult(claimed, "dead", status, error, took_ms=took_ms)
    return leases.settle(database, [result])[0]


def release(database: Database, claimed: Sequence[Claimed]) -> None:
    """Give leases back untried."""
    leases.settle(database, [DeliveryResult(delivery, "release") for delivery in claimed])


def settle_all(database: Database, kind: str) -> None:
    """Settle everything that is due in one way."""
    status = 200 if kind == "delivered" else 400
    claimed = leases.claim(database, limit=9, lease_seconds=9)
    leases.settle(database, [DeliveryResult(delivery, kind, status) for delivery in claimed])


def close_while_it_is_watched(url: str) -> None:
    """Close a database's connections, as before a fork, while a thread waits for news on one."""
    sys.setswitchinterval(1e-6)
    database = Database(url, [A])
    news = wakeup.WakeUp(database)
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            news.wait(0.001)

    with mock.patch.object(wakeup, "_LOOK_SECONDS", 0):
        watcher = threading.Thread(target=watch)
        watcher.start()
        for _ in range(200):
            while news._seen is None:
                time.sleep(0)
            database.close_idle()
        ended.set()
        watcher.join()
    news.close()
    database.close()
