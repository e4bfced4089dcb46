"""A year of a shop's sales in a relay's database, for pictures and browser tests of the status page.

The events are made here and go through the same code as those that Stripe sends. Nothing in them is
random: each run makes the same sales, up to the time that it is given.
"""

from __future__ import annotations

from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from tests.events import encode, event
from tracknow_static.relay.receive.event import event_of
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.store import leases
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store
from tracknow_static.relay.store.model import Claimed, DeliveryResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.relay.config import RelayConfig

_DAY = 86_400
_PARTNERS = ("partner-7f3a_2026", "coffee-journal", "print-guild-42", "nightowl", "roast-map_11")
_LINKS = ("plink_1QhuilaSAMPLE", "plink_1QgiftsSAMPLE", "plink_1QvoucherSAMPLE")
_PRICES = (1400, 2900, 1850, 4200, 9900)
# Sales a day, by month before the last day: a shop that grows.
_PACE = (1.6, 1.5, 1.1, 1.3, 1.2, 0.9, 0.8, 1.0, 0.7, 0.6, 0.6, 0.5)


class _Clock:
    """The database's clock: what is stored looks as if it had arrived at its time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fill(config: RelayConfig, now: float, *, days: int = 340) -> None:
    """Store the events of the days that end at a Unix time, deliver them, and make the ledger."""
    clock = _Clock()
    database = Database.from_config(config, clock=clock)
    moments = _moments(now, days)
    bodies = [body for number, at in enumerate(moments) for body in _sale(number, int(at))]
    for body in sorted(bodies, key=itemgetter("created")):
        if body["created"] > now:
            break
        clock.now = body["created"] + 1.0
        payload = encode(body)
        new = event_of(payload.decode(), payload, config, content_type=None, signature="")
        store(database, [new])
        clock.now += 0.2
        claimed = leases.claim(database, limit=10, lease_seconds=60)
        leases.settle(database, [_answer(delivery) for delivery in claimed])
    clock.now = now
    ledger = Ledger(database)
    while ledger.advance():
        """Read on."""
    ledger.release()
    database.close()


def _moments(now: float, days: int) -> Iterator[float]:
    """Yield when sales happen, the newest first."""
    at = now - 1500
    for number in count():
        if now - at >= days * _DAY:
            return
        yield at
        pace = _PACE[min(11, int((now - at) / (30 * _DAY)))]
        # In steps that look uneven, and do not depend on the time that is given.
        at -= _DAY / pace * (0.35 + 1.3 * (number * 617 % 1000) / 1000)


def _sale(number: int, at: int) -> Iterator[dict[str, Any]]:
    name = f"live_a1{number:04d}SAMPLE"
    partner = _PARTNERS[number * 7 % len(_PARTNERS)]
    without = number % 5 == 3 or number % 11 == 6
    session: dict[str, Any] = {
        "id": f"cs_{name}",
        "object": "checkout.session",
        "created": at,
        "amount_total": _PRICES[number * 3 % len(_PRICES)],
        "currency": "usd" if number % 9 == 4 else "eur",
        "mode": "payment",
        "payment_status": "paid",
        "payment_intent": f"pi_{name}",
        "payment_link": _LINKS[2 if without else number % 2],
        "client_reference_id": "undefined" if number == 41 else None if without else partner,
    }
    yield event(f"{name}_s", "checkout.session.completed", session, created=at + 40)
    charge: dict[str, Any] = {
        "id": f"ch_{name}",
        "object": "charge",
        "created": at + 35,
        "amount": session["amount_total"],
        "amount_refunded": 0,
        "currency": session["currency"],
        "payment_intent": f"pi_{name}",
    }
    yield event(f"{name}_c", "charge.succeeded", charge, created=at + 38)
    if number % 17 == 9 and not without:
        part = 1 if number % 2 else 2
        refund = {**charge, "amount_refunded": charge["amount"] // part}
        yield event(f"{name}_r", "charge.refunded", refund, created=at + 6 * _DAY)


def _answer(claimed: Claimed) -> DeliveryResult:
    """Return what became of a delivery: a sale was refused for good, one waits, all others arrived."""
    if "a10005" in claimed.event_id:
        text = '{"success": false, "message": "unknown campaign"}'
        return DeliveryResult(claimed, "dead", 422, "http_422", took_ms=88, answer=text)
    if "a10000" in claimed.event_id:
        return DeliveryResult(claimed, "retry", 503, "http_503", delay=1e6, took_ms=1203)
    text = '{"success": true}'
    return DeliveryResult(claimed, "delivered", 200, took_ms=140, answer=text)
