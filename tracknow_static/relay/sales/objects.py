"""What one event shows of a Checkout Session, a charge, an invoice or a dispute, and what several show.

Every field is merged by a rule that knows no order (the larger value, the smaller one, the higher
rank): whatever order events come in, and however often, the object ends up the same.
"""

from __future__ import annotations

import json
import logging
from typing import Any, NamedTuple

from tracknow_static.relay.values import id_of, text_of, whole_number_of
from tracknow_static.tracknow import SALE_EVENT_TYPES

log = logging.getLogger(__name__)

SESSION, CHARGE, INVOICE, DISPUTE = "session", "charge", "invoice", "dispute"

UNPAID, EXPIRED, FAILED, FREE, PAID = "unpaid", "expired", "failed", "no_payment_required", "paid"

# What counts when events disagree: the last one. A session is paid, or fails, after it was unpaid
# (docs.stripe.com/payments/checkout/fulfill-orders). Of a dispute the newest state counts, and this
# order only within one second: a lost one may be appealed (docs.stripe.com/api/disputes/object) or
# withdrawn (support.stripe.com/questions/lost-dispute-faq), and is closed again, then as won.
_RANKS = {
    name: rank
    for rank, name in enumerate(
        (
            *(UNPAID, EXPIRED, FAILED, FREE, PAID),
            *("warning_needs_response", "warning_under_review", "warning_closed"),
            *("needs_response", "under_review", "appeal_needs_response", "appeal_under_review"),
            *("prevented", "won", "lost"),
        )
    )
}


class Object(NamedTuple):
    """One object of Stripe's; None is what no event has shown.

    ``amount`` and ``refunded`` are in the currency's minor unit. ``created`` of an invoice is when
    it was paid. ``forwarded`` means that at least one event about it goes to the destinations.
    ``sale`` is the id of the sale that it belongs to. ``refunded_at`` of a dispute is when its status
    was seen.
    """

    id: str
    kind: str
    seen: int
    created: int | None = None
    amount: int | None = None
    currency: str | None = None
    mode: str | None = None
    status: str | None = None
    payment_intent: str | None = None
    charge: str | None = None
    invoice: str | None = None
    subscription: str | None = None
    customer: str | None = None
    payment_link: str | None = None
    reference: str | None = None
    promotion_code: str | None = None
    refunded: int = 0
    refunded_at: int | None = None
    livemode: bool | None = None
    account: str | None = None
    forwarded: bool = False
    source: str = "webhook"
    sale: str | None = None

    @property
    def at(self) -> int:
        """When it was created, or else first heard of; Unix seconds."""
        return self.seen if self.created is None else self.created


_LARGER = tuple(
    number
    for number, name in enumerate(Object._fields)
    if name not in ("seen", "status", "refunded", "refunded_at", "sale")
)
_SEEN, _STATUS, _REFUNDED, _REFUNDED_AT = map(
    Object._fields.index, ("seen", "status", "refunded", "refunded_at")
)


def merge(first: Object, second: Object) -> Object:
    """Return what both show together; the same whichever comes first, and if one comes again.

    ``sale`` is that of the first one.
    """
    merged: list[Any] = list(first)
    shown: list[Any] = list(second)
    for number in _LARGER:
        mine, theirs = merged[number], shown[number]
        if mine is None or (theirs is not None and theirs > mine):
            merged[number] = theirs
    merged[_SEEN] = min(first.seen, second.seen)
    if first.kind == DISPUTE:
        newest = max(first, second, key=lambda of: (of.refunded_at or 0, _rank(of.status)))
        merged[_STATUS], merged[_REFUNDED_AT] = newest.status, newest.refunded_at
        return Object(*merged)
    if _rank(second.status) > _rank(first.status):
        merged[_STATUS] = second.status
    # What was refunded only grows; its time is when it first was as much.
    refund = max(_refund(first), _refund(second))
    merged[_REFUNDED], merged[_REFUNDED_AT] = refund[0], -refund[1] or None
    return Object(*merged)


def _rank(status: str | None) -> int:
    return -1 if status is None else _RANKS[status]


def _refund(of: Object) -> tuple[int, int]:
    return of.refunded, -(of.refunded_at or 0)


# -- reading an event -----------------------------------------------------------------------------


def read(event: Any) -> Object | None:
    """Return what a stored event shows, None when that is nothing about a sale.

    ``event`` is a row with the columns of ``events``. Without its payload, which may have been
    purged, its columns show less, and nothing wrong. Whatever the payload holds, nothing is raised.
    """
    if event.type not in SALE_EVENT_TYPES or event.object_id is None:
        return None
    found = _of_columns(event)
    if event.payload is None:
        return found
    try:
        subject = json.loads(bytes(event.payload))["data"]["object"]
        return merge(found, _READERS[found.kind](found, subject))
    except Exception:  # one strange event must not keep the ledger from all later ones
        log.exception("%s (%s): its payload shows nothing of a sale", event.id, event.type)
        return found


def _of_columns(event: Any) -> Object:
    seen = int(event.received_at) if event.created is None else event.created
    return Object(
        id=event.object_id,
        kind=_kind(event.type),
        seen=seen,
        status=_STATUS_OF_TYPE.get(event.type),
        payment_intent=event.payment_intent,
        customer=event.customer,
        reference=event.reference,
        livemode=event.livemode,
        account=event.account,
        forwarded=event.skipped_because is None,
        source=event.source,
    )


def of_api(kind: str, body: dict[str, Any]) -> Object:
    """Return what a session or charge (``SESSION``, ``CHARGE``) of Stripe's API shows.

    ``body`` is the object, whose id was checked.
    """
    reference = text_of(body.get("client_reference_id")) if kind == SESSION else None
    livemode = body.get("livemode")
    found = Object(
        id=body["id"],
        kind=kind,
        seen=whole_number_of(body.get("created")) or 0,
        status=PAID if kind == CHARGE else None,
        payment_intent=id_of(body.get("payment_intent")),
        customer=id_of(body.get("customer")),
        reference=reference,
        livemode=livemode if isinstance(livemode, bool) else None,
        forwarded=True,
        source="api",
    )
    return _READERS[kind](found, body)


# What the type alone shows.
_STATUS_OF_TYPE = {
    "charge.succeeded": PAID,
    "charge.refunded": PAID,
    "checkout.session.async_payment_succeeded": PAID,
    "checkout.session.async_payment_failed": FAILED,
    "checkout.session.expired": EXPIRED,
    "invoice.paid": PAID,
}


def _kind(of_type: str) -> str:
    if of_type.startswith("checkout.session."):
        return SESSION
    if of_type.startswith("charge.dispute."):
        return DISPUTE
    return CHARGE if of_type.startswith("charge.") else INVOICE


def _session(found: Object, subject: dict[str, Any]) -> Object:
    discounts = subject.get("discounts")
    codes = [
        id_of(entry.get("promotion_code"))
        for entry in (discounts if isinstance(discounts, list) else ())
        if isinstance(entry, dict)
    ]
    return found._replace(
        created=whole_number_of(subject.get("created")),
        amount=whole_number_of(subject.get("amount_total")),
        currency=text_of(subject.get("currency")),
        mode=text_of(subject.get("mode")),
        status=_known(subject.get("payment_status"), found.status),
        invoice=id_of(subject.get("invoice")),
        subscription=id_of(subject.get("subscription")),
        payment_link=id_of(subject.get("payment_link")),
        promotion_code=next((code for code in codes if code), None),
    )


def _charge(found: Object, subject: dict[str, Any]) -> Object:
    refunded = whole_number_of(subject.get("amount_refunded")) or 0
    return found._replace(
        created=whole_number_of(subject.get("created")),
        amount=whole_number_of(subject.get("amount")),
        currency=text_of(subject.get("currency")),
        invoice=id_of(subject.get("invoice")),  # until API version 2025-03-31
        refunded=refunded,
        refunded_at=found.seen if refunded > 0 else None,
    )


def _invoice(found: Object, subject: dict[str, Any]) -> Object:
    """Read an invoice of any API version: 2025-03-31 moved its subscription and its payments."""
    transitions = _dict(subject.get("status_transitions"))
    parent = _dict(_dict(subject.get("parent")).get("subscription_details"))
    payments = _dict(subject.get("payments")).get("data")
    payment = _dict(_dict(payments[0]).get("payment")) if payments else {}
    paid_at = whole_number_of(transitions.get("paid_at"))
    return found._replace(
        created=paid_at or whole_number_of(subject.get("created")),
        amount=whole_number_of(subject.get("amount_paid")),
        currency=text_of(subject.get("currency")),
        subscription=id_of(subject.get("subscription")) or id_of(parent.get("subscription")),
        charge=id_of(subject.get("charge")) or id_of(payment.get("charge")),
        payment_intent=found.payment_intent or id_of(payment.get("payment_intent")),
    )


def _dispute(found: Object, subject: dict[str, Any]) -> Object:
    status = _known(subject.get("status"), None)
    return found._replace(
        created=whole_number_of(subject.get("created")),
        amount=whole_number_of(subject.get("amount")),
        currency=text_of(subject.get("currency")),
        charge=id_of(subject.get("charge")),
        status=status,
        refunded_at=found.seen if status else None,
    )


_READERS = {SESSION: _session, CHARGE: _charge, INVOICE: _invoice, DISPUTE: _dispute}


def _known(status: object, otherwise: str | None) -> str | None:
    return status if isinstance(status, str) and status in _RANKS else otherwise


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
