"""What the outbox's tests share: a clock that they move, events, and short ways to say things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracknow_static.relay.store.model import NewEvent, Outcome

if TYPE_CHECKING:
    from tracknow_static.relay.store.outbox import Outbox

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
    return [one.event_id for one in claimed]


def settle_all(outbox: Outbox, kind: str) -> None:
    """Settle everything that is due in one way."""
    status = 200 if kind == "delivered" else 400
    outbox.settle([Outcome(one, kind, status) for one in outbox.claim(limit=9, lease_seconds=9)])
