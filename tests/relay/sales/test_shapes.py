"""The shapes that the tests of sales use are Stripe's: its own library has every field of them."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.relay.sales.cases import CASES, MIXED

KINDS: dict[str, Any] = {
    "checkout.session": stripe.checkout.Session,
    "charge": stripe.Charge,
    "invoice": stripe.Invoice,
    "dispute": stripe.Dispute,
}
# Gone with API version 2025-03-31, which endpoints of an older one do not notice
# (docs.stripe.com/changelog/basil).
OLD = {"charge": {"invoice"}, "invoice": {"charge", "payment_intent", "subscription"}}
PARTS: dict[tuple[str, ...], Any] = {
    ("checkout.session", "discounts"): stripe.checkout.Session.Discount,
    ("invoice", "status_transitions"): stripe.Invoice.StatusTransitions,
    ("invoice", "parent"): stripe.Invoice.Parent,
    ("invoice", "parent", "subscription_details"): stripe.Invoice.Parent.SubscriptionDetails,
    ("invoice", "payments", "data"): stripe.InvoicePayment,
    ("invoice", "payments", "data", "payment"): stripe.InvoicePayment.Payment,
}


def unknown(value: Any, kind: Any, path: tuple[str, ...]) -> list[str]:
    """Return the fields that Stripe's library does not know."""
    found = []
    for entry in value if isinstance(value, list) else [value]:
        for name, inner in entry.items() if isinstance(entry, dict) else ():
            if kind is not None and name not in {*kind.__annotations__, *OLD.get(path[0], ())}:
                found.append(".".join((*path, name)))
            found += unknown(inner, PARTS.get((*path, name)), (*path, name))
    return found


@pytest.mark.parametrize("case", [*CASES, "mixed"])
def test_every_field_is_one_of_stripes(case: str) -> None:
    """Names of fields are those of the newest API version, or of one before basil."""
    bodies = CASES[case][0] if case in CASES else MIXED
    subjects = [body["data"]["object"] for body in bodies]
    found = [
        field
        for subject in subjects
        for field in unknown(subject, KINDS[subject["object"]], (subject["object"],))
    ]
    assert found == []


def test_the_judge_notices_a_wrong_name() -> None:
    """A field that Stripe has not is found, also deep down."""
    wrong = {"object": "invoice", "parent": {"subscription_details": {"subscribtion": "sub_1"}}}
    assert unknown(wrong, stripe.Invoice, ("invoice",)) == [
        "invoice.parent.subscription_details.subscribtion"
    ]
