"""Purchases as Stripe reports them: the events of each kind of sale, in the shapes of its API versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.events import CREATED, encode, event
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.receive.event import event_of

if TYPE_CHECKING:
    from tracknow_static.relay.store.model import NewEvent

Event = dict[str, Any]
MONTH = 30 * 86_400
UNPAID: Event = {"payment_status": "unpaid"}
FREE: Event = {
    "amount_total": 0,
    "payment_status": "no_payment_required",
    "payment_intent": None,
}
LINK = "plink_1"
OWN_ACCOUNT = "acct_own"
CONFIG = RelayConfig(accounts=(OWN_ACCOUNT,))


def new(body: Event) -> NewEvent:
    """Return an event as the relay takes it from a verified body."""
    payload = encode(body)
    return event_of(payload.decode(), payload, CONFIG, content_type=None, signature="")


def session(name: str, kind: str = "completed", at: int = 0, **fields: Any) -> Event:
    """Return an event about a Checkout Session, ``at`` seconds after the first one."""
    created = fields.pop("created", CREATED)
    top = fields.pop("event", {})
    subject = {
        "id": f"cs_{name}",
        "object": "checkout.session",
        "created": created,
        "amount_total": 2000,
        "currency": "eur",
        "mode": "payment",
        "payment_status": "paid",
        "payment_intent": f"pi_{name}",
        "payment_link": LINK,
        "client_reference_id": f"click_{name}",
        "customer": None,
        "invoice": None,
        "subscription": None,
        "discounts": [{"coupon": "co_1", "promotion_code": "promo_1"}],
        "customer_details": {"email": "someone@example.com", "name": "Someone"},
        **fields,
    }
    kind_ = f"checkout.session.{kind}"
    return event(f"{name}_{kind}", kind_, subject, **{"created": created + 60 + at, **top})


def charge(name: str, kind: str = "succeeded", at: int = 0, **fields: Any) -> Event:
    """Return an event about a charge, which was made ``at`` seconds after the first session."""
    top = fields.pop("event", {})
    suffix = fields.pop("suffix", "")
    subject = {
        "id": f"ch_{name}",
        "object": "charge",
        "created": CREATED + at,
        "amount": 2000,
        "amount_refunded": 0,
        "currency": "eur",
        "payment_intent": f"pi_{name}",
        "customer": None,
        "billing_details": {"email": "someone@example.com"},
        **fields,
    }
    moment = {"created": CREATED + at + 2, **top}
    return event(f"ch_{name}_{kind}{suffix}", f"charge.{kind}", subject, **moment)


def invoice(name: str, at: int = 0, *, basil: bool, **fields: Any) -> Event:
    """Return the event of a paid invoice; its charge is ``ch_NAME``."""
    subscription = fields.pop("subscription", None)
    subject: Event = {
        "id": f"in_{name}",
        "object": "invoice",
        "created": CREATED + at - 3600,
        "amount_paid": 2000,
        "currency": "eur",
        "status_transitions": {"paid_at": CREATED + at + 1},
        **fields,
    }
    if basil:
        details = {"subscription": subscription, "metadata": {}}
        parent = {"type": "subscription_details", "subscription_details": details}
        subject["parent"] = parent if subscription else None
    else:
        subject |= {"subscription": subscription, "charge": f"ch_{name}"}
        subject["payment_intent"] = f"pi_{name}"
    return event(f"in_{name}", "invoice.paid", subject, created=CREATED + at + 3)


def dispute(name: str, kind: str, status: str, at: int = 0, **fields: Any) -> Event:
    """Return an event about a dispute of the charge ``ch_NAME``."""
    top = fields.pop("event", {})
    subject = {
        "id": f"du_{name}",
        "object": "dispute",
        "amount": 2000,
        "currency": "eur",
        "charge": f"ch_{name}",
        "payment_intent": f"pi_{name}",
        "status": status,
        "created": CREATED + at,
        **fields,
    }
    moment = {"created": CREATED + at, **top}
    return event(f"du_{name}_{kind}", f"charge.dispute.{kind}", subject, **moment)


def paid(name: str, **fields: Any) -> list[Event]:
    """A guest pays once."""
    return [session(name, **fields), charge(name, at=5)]


def subscribed(name: str, renewals: int, *, basil: bool, **fields: Any) -> list[Event]:
    """A customer subscribes and renews every month."""
    customer = fields.pop("customer", f"cus_{name}")
    of_it = {"customer": customer}
    begun = session(
        name,
        mode="subscription",
        payment_intent=None,
        subscription=f"sub_{name}",
        invoice=f"in_{name}_0",
        **of_it,
        **fields,
    )
    events = [begun]
    for number in range(renewals + 1):
        key, at = f"{name}_{number}", 10 + number * MONTH
        own = {} if basil else {"invoice": f"in_{key}"}
        events.append(charge(key, at=at, **of_it, **own))
        events.append(invoice(key, at=at, basil=basil, subscription=f"sub_{name}", **of_it))
    return events


def refund(name: str, amount: int, at: int) -> Event:
    """A refund after which so much of the charge has been given back, in all."""
    when = {"created": CREATED + at}
    return charge(name, "refunded", at=5, amount_refunded=amount, suffix=f"_{amount}", event=when)


def with_payments(body: Event, name: str, intent: str) -> Event:
    """Add to a basil invoice what its endpoint may be made to send: its payments."""
    payment = {"type": "payment_intent", "payment_intent": intent}
    entry = {"id": f"inpay_{name}", "object": "invoice_payment", "payment": payment}
    body["data"]["object"]["payments"] = {"object": "list", "data": [entry], "has_more": False}
    return body
