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
    return event(f"du_{name}_{kind}", f"charge.dispute.{kind}", subject, created=CREATED + at)


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


UNPAID: Event = {"payment_status": "unpaid"}
FREE: Event = {
    "amount_total": 0,
    "payment_status": "no_payment_required",
    "payment_intent": None,
}
# Name, events, and what the ledger shows: verdict, refunded, renews, by the sale's id.
CASES: dict[str, tuple[list[Event], dict[str, tuple[str, int, str | None]]]] = {
    "payment": (paid("a"), {"cs_a": ("attributed", 0, None)}),
    "zero": (
        [session("a", amount_total=0, payment_status="no_payment_required", payment_intent=None)],
        {"cs_a": ("attributed", 0, None)},
    ),
    "before basil": (
        subscribed("a", 2, basil=False),
        {
            "cs_a": ("attributed", 0, None),
            "ch_a_1": ("renewal", 0, "cs_a"),
            "ch_a_2": ("renewal", 0, "cs_a"),
        },
    ),
    "basil": (
        subscribed("a", 2, basil=True),
        {
            "cs_a": ("attributed", 0, None),
            "ch_a_1": ("renewal", 0, "cs_a"),
            "ch_a_2": ("renewal", 0, "cs_a"),
        },
    ),
    "basil without invoices": (
        [one for one in subscribed("a", 1, basil=True) if one["type"] != "invoice.paid"],
        {"cs_a": ("attributed", 0, None), "ch_a_1": ("renewal", 0, "cs_a")},
    ),
    "two subscriptions": (
        [
            *subscribed("a", 1, basil=True, customer="cus_1"),
            *subscribed("b", 1, basil=False, customer="cus_1", created=CREATED + 900),
        ],
        {
            "cs_a": ("attributed", 0, None),
            "ch_a_1": ("renewal", 0, "cs_a"),
            "cs_b": ("attributed", 0, None),
            "ch_b_1": ("renewal", 0, "cs_b"),
        },
    ),
    "trial": (
        [
            session(
                "a",
                mode="subscription",
                amount_total=0,
                payment_status="no_payment_required",
                payment_intent=None,
                subscription="sub_1",
                customer="cus_1",
            ),
            charge("a_1", at=MONTH, customer="cus_1"),
        ],
        {"cs_a": ("attributed", 0, None), "ch_a_1": ("renewal", 0, "cs_a")},
    ),
    "delayed, not yet": ([session("a", **UNPAID)], {"cs_a": ("unpaid", 0, None)}),
    "delayed, paid": (
        [
            session("a", **UNPAID),
            session("a", "async_payment_succeeded", at=MONTH),
            charge("a", at=5),
        ],
        {"cs_a": ("attributed", 0, None)},
    ),
    "delayed, failed": (
        [session("a", **UNPAID), session("a", "async_payment_failed", at=MONTH, **UNPAID)],
        {"cs_a": ("payment-failed", 0, None)},
    ),
    "expired": (
        [session("a", "expired", status="expired", **UNPAID)],
        {"cs_a": ("expired", 0, None)},
    ),
    "partial refunds": (
        [*paid("a"), refund("a", 500, 100), refund("a", 700, 200)],
        {"cs_a": ("partly-refunded", 700, None)},
    ),
    "refunded": (
        [*paid("a"), refund("a", 500, 100), refund("a", 2000, 200)],
        {"cs_a": ("refunded", 2000, None)},
    ),
    "disputed": (
        [*paid("a"), dispute("a", "created", "needs_response", 50)],
        {"cs_a": ("disputed", 0, None)},
    ),
    "dispute won": (
        [
            *paid("a"),
            dispute("a", "created", "needs_response", 50),
            dispute("a", "closed", "won", 500),
        ],
        {"cs_a": ("attributed", 0, None)},
    ),
    "inquiry": (
        [*paid("a"), dispute("a", "created", "warning_needs_response", 50)],
        {"cs_a": ("attributed", 0, None)},
    ),
    "no click id": (paid("a", client_reference_id=None), {"cs_a": ("no-click-id", 0, None)}),
    "placeholder": (
        paid("a", client_reference_id="--CLICK-ID--"),
        {"cs_a": ("not-a-click-id", 0, None)},
    ),
    "own code": ([charge("a")], {"ch_a": ("no-click-id", 0, None)}),
    "paid by an invoice": (
        [
            *paid("a", invoice="in_a", customer="cus_1"),
            with_payments(invoice("a", 5, basil=True, customer="cus_1"), "a", "pi_a"),
        ],
        {"cs_a": ("attributed", 0, None)},
    ),
    "payments in the invoices": (
        [
            session(
                "a",
                mode="subscription",
                payment_intent=None,
                subscription="sub_a",
                customer="cus_1",
            ),
            *[
                one
                for number in range(3)
                for one in (
                    charge(f"a_{number}", at=number * 60, customer="cus_1"),
                    with_payments(
                        invoice(
                            f"x_{number}",
                            number * 60,
                            basil=True,
                            subscription="sub_a",
                            customer="cus_1",
                        ),
                        f"a_{number}",
                        f"pi_a_{number}",
                    ),
                )
            ],
        ],
        {
            "cs_a": ("attributed", 0, None),
            "ch_a_1": ("renewal", 0, "cs_a"),
            "ch_a_2": ("renewal", 0, "cs_a"),
        },
    ),
    "a first month at half the price": (
        [
            session(
                "a",
                mode="subscription",
                amount_total=1000,
                payment_intent=None,
                subscription="sub_a",
                customer="cus_1",
            ),
            charge("a_0", at=10, amount=1000, customer="cus_1"),
            charge("a_1", at=MONTH, customer="cus_1"),
        ],
        {"cs_a": ("attributed", 0, None), "ch_a_1": ("renewal", 0, "cs_a")},
    ),
    "a voucher for all of it": (
        [session("a", **FREE, discounts=[{"coupon": "co_1", "promotion_code": None}])],
        {"cs_a": ("attributed", 0, None)},
    ),
    "two guests": (
        [*paid("a"), *paid("b", client_reference_id=None)],
        {"cs_a": ("attributed", 0, None), "cs_b": ("no-click-id", 0, None)},
    ),
    "one customer buys twice": (
        [
            *paid("a", customer="cus_1"),
            session("b", customer="cus_1", created=CREATED + MONTH, client_reference_id=None),
            charge("b", at=MONTH + 5, customer="cus_1"),
        ],
        {"cs_a": ("attributed", 0, None), "cs_b": ("no-click-id", 0, None)},
    ),
    "a later charge of a customer": (
        [*paid("a", customer="cus_1"), charge("b", at=MONTH, customer="cus_1")],
        {"cs_a": ("attributed", 0, None), "ch_b": ("renewal", 0, "cs_a")},
    ),
    "delayed, subscribed": (
        [
            session(
                "a",
                mode="subscription",
                payment_intent=None,
                subscription="sub_a",
                customer="cus_1",
                **UNPAID,
            ),
            session(
                "a",
                "async_payment_succeeded",
                at=6 * 86_400,
                mode="subscription",
                payment_intent=None,
                subscription="sub_a",
                customer="cus_1",
            ),
            charge("a", at=8, customer="cus_1", event={"created": CREATED + 6 * 86_400}),
        ],
        {"cs_a": ("attributed", 0, None)},
    ),
    "a renewal that is refunded": (
        [
            *subscribed("a", 1, basil=False),
            charge(
                "a_1",
                "refunded",
                at=10 + MONTH,
                customer="cus_a",
                invoice="in_a_1",
                amount_refunded=2000,
            ),
        ],
        {"cs_a": ("attributed", 0, None), "ch_a_1": ("refunded", 2000, "cs_a")},
    ),
    "a renewal that is disputed": (
        [*subscribed("a", 1, basil=True), dispute("a_1", "created", "under_review", MONTH)],
        {"cs_a": ("attributed", 0, None), "ch_a_1": ("disputed", 0, "cs_a")},
    ),
    "refunded without a click id": (
        [*paid("a", client_reference_id=None), refund("a", 2000, 50)],
        {"cs_a": ("no-click-id", 2000, None)},
    ),
    "dispute lost": (
        [
            *paid("a"),
            dispute("a", "created", "needs_response", 50),
            dispute("a", "closed", "lost", 500),
        ],
        {"cs_a": ("disputed", 0, None)},
    ),
    "an inquiry that is closed": (
        [
            *paid("a"),
            dispute("a", "created", "warning_needs_response", 50),
            dispute("a", "closed", "warning_closed", 500),
        ],
        {"cs_a": ("attributed", 0, None)},
    ),
    "a dispute of a charge without a payment intent": (
        [
            charge("a", payment_intent=None, customer="cus_1"),
            dispute("a", "created", "needs_response", 50, payment_intent=None),
        ],
        {"ch_a": ("no-click-id", 0, None)},
    ),
    "a dispute in a state of the future": (
        [*paid("a"), dispute("a", "created", "something_new", 50)],
        {"cs_a": ("disputed", 0, None)},
    ),
    "a session of an old API version": (
        [
            {
                **session("a"),
                "data": {
                    "object": {
                        "id": "cs_a",
                        "object": "checkout.session",
                        "client_reference_id": "click_a",
                        "customer": "cus_1",
                        "mode": "payment",
                        "payment_intent": "pi_a",
                    }
                },
            },
            charge("a", customer="cus_1"),
        ],
        {"cs_a": ("attributed", 0, None)},
    ),
    "setup": ([session("a", mode="setup", payment_intent=None)], {}),
    "test mode": (
        [session("a", event={"livemode": False})],
        {"cs_a": ("test", 0, None)},
    ),
    "connect": (
        [
            session("a", event={"account": "acct_other"}),
            charge("a", event={"account": "acct_other"}),
        ],
        {"cs_a": ("waiting", 0, None)},
    ),
    "connect, an account of one's own": (
        [session("a", event={"account": OWN_ACCOUNT}), charge("a", event={"account": OWN_ACCOUNT})],
        {"cs_a": ("attributed", 0, None)},
    ),
    "connect, on behalf of another": (
        [
            session("a"),
            charge("a", on_behalf_of="acct_other", transfer_data={"destination": "acct_other"}),
        ],
        {"cs_a": ("attributed", 0, None)},
    ),
}

# Purchases that have much in common, so that every join has something to confuse.
MIXED = [
    *subscribed("m", 2, basil=True, customer="cus_m"),
    *subscribed("n", 2, basil=False, customer="cus_m", created=CREATED + 900),
    *paid("o", customer="cus_m", created=CREATED + 50),
    *CASES["partial refunds"][0],
    *CASES["dispute won"][0][2:],
    *CASES["delayed, failed"][0][1:],
]
