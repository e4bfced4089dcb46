"""Every kind of sale, and what the ledger shows of it."""

from __future__ import annotations

from tests.events import CREATED
from tests.relay.sales.shapes import (
    FREE,
    MONTH,
    OWN_ACCOUNT,
    UNPAID,
    Event,
    charge,
    dispute,
    invoice,
    paid,
    refund,
    session,
    subscribed,
    with_payments,
)

Shown = dict[str, tuple[str, int, str | None]]
SOLD: Shown = {"cs_a": ("attributed", 0, None)}
RENEWED: Shown = {**SOLD, "ch_a_1": ("renewal", 0, "cs_a")}
RENEWED_TWICE: Shown = {**RENEWED, "ch_a_2": ("renewal", 0, "cs_a")}
SUBSCRIPTION: Event = {
    "mode": "subscription",
    "payment_intent": None,
    "subscription": "sub_a",
    "customer": "cus_1",
}

# Name, events, and what the ledger shows: verdict, refunded, renews, by the sale's id.
CASES: dict[str, tuple[list[Event], Shown]] = {
    "payment": (paid("a"), SOLD),
    "zero": (
        [session("a", **FREE)],
        SOLD,
    ),
    "before basil": (
        subscribed("a", 2, basil=False),
        RENEWED_TWICE,
    ),
    "basil": (
        subscribed("a", 2, basil=True),
        RENEWED_TWICE,
    ),
    "basil without invoices": (
        [one for one in subscribed("a", 1, basil=True) if one["type"] != "invoice.paid"],
        RENEWED,
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
                **{**SUBSCRIPTION, **FREE},
            ),
            charge("a_1", at=MONTH, customer="cus_1"),
        ],
        RENEWED,
    ),
    "delayed, not yet": ([session("a", **UNPAID)], {"cs_a": ("unpaid", 0, None)}),
    "delayed, paid": (
        [
            session("a", **UNPAID),
            session("a", "async_payment_succeeded", at=MONTH),
            charge("a", at=5),
        ],
        SOLD,
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
        SOLD,
    ),
    "dispute lost, and won on appeal": (
        [
            *paid("a"),
            dispute("a", "created", "needs_response", 50),
            dispute("a", "closed", "lost", 500),
            dispute("a", "closed", "won", 900, event={"id": "evt_du_a_appeal"}),
        ],
        SOLD,
    ),
    "inquiry": (
        [*paid("a"), dispute("a", "created", "warning_needs_response", 50)],
        SOLD,
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
        SOLD,
    ),
    "payments in the invoices": (
        [
            session(
                "a",
                **SUBSCRIPTION,
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
        RENEWED_TWICE,
    ),
    "a first month at half the price": (
        [
            session(
                "a",
                amount_total=1000,
                **SUBSCRIPTION,
            ),
            charge("a_0", at=10, amount=1000, customer="cus_1"),
            charge("a_1", at=MONTH, customer="cus_1"),
        ],
        RENEWED,
    ),
    "a voucher for all of it": (
        [session("a", **FREE, discounts=[{"coupon": "co_1", "promotion_code": None}])],
        SOLD,
    ),
    "two guests": (
        [*paid("a"), *paid("b", client_reference_id=None)],
        {**SOLD, "cs_b": ("no-click-id", 0, None)},
    ),
    "one customer buys twice": (
        [
            *paid("a", customer="cus_1"),
            session("b", customer="cus_1", created=CREATED + MONTH, client_reference_id=None),
            charge("b", at=MONTH + 5, customer="cus_1"),
        ],
        {**SOLD, "cs_b": ("no-click-id", 0, None)},
    ),
    "a later charge of a customer": (
        [*paid("a", customer="cus_1"), charge("b", at=MONTH, customer="cus_1")],
        {**SOLD, "ch_b": ("renewal", 0, "cs_a")},
    ),
    "delayed, subscribed": (
        [
            session(
                "a",
                **SUBSCRIPTION,
                **UNPAID,
            ),
            session(
                "a",
                "async_payment_succeeded",
                at=6 * 86_400,
                **SUBSCRIPTION,
            ),
            charge("a", at=8, customer="cus_1", event={"created": CREATED + 6 * 86_400}),
        ],
        SOLD,
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
        {**SOLD, "ch_a_1": ("refunded", 2000, "cs_a")},
    ),
    "a renewal that is disputed": (
        [*subscribed("a", 1, basil=True), dispute("a_1", "created", "under_review", MONTH)],
        {**SOLD, "ch_a_1": ("disputed", 0, "cs_a")},
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
        SOLD,
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
        SOLD,
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
        SOLD,
    ),
    "connect, on behalf of another": (
        [
            session("a"),
            charge("a", on_behalf_of="acct_other", transfer_data={"destination": "acct_other"}),
        ],
        SOLD,
    ),
}

# Purchases that have much in common, so that every join has something to confuse.
MIXED = [
    *subscribed("m", 2, basil=True, customer="cus_m"),
    *subscribed("n", 2, basil=False, customer="cus_m", created=CREATED + 900),
    *paid("o", customer="cus_m", created=CREATED + 50),
    *CASES["partial refunds"][0],
    *CASES["dispute lost, and won on appeal"][0][2:],
    *CASES["delayed, failed"][0][1:],
]
