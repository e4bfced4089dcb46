"""The codes of a sale's story, and of events that are kept, in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracknow_static.tracknow import money

if TYPE_CHECKING:
    from tracknow_static.relay.sales.derive import Sale
    from tracknow_static.relay.sales.explain import Step

# Why an event is not forwarded, in words.
KEPT = {
    "type": "its type is not one of TRACKNOW_RELAY_EVENTS.",
    "mode": "TRACKNOW_RELAY_LIVEMODE does not forward events of its mode (live or test).",
    "account": "it belongs to another Stripe account than yours (TRACKNOW_RELAY_ACCOUNTS).",
    "waiting": "it waits for its Checkout Session (TRACKNOW_RELAY_FORWARD=attributed).",
    "unattributed": "its sale carries no click id (TRACKNOW_RELAY_FORWARD=attributed).",
    "thin": "it is a thin event, which Tracknow cannot read. In Stripe's Workbench give the "
    "event destination the payload style Snapshot.",
    "unsigned": "it was fetched, and every destination gets events with a signature only "
    "(TRACKNOW_RELAY_SIGNED_DESTINATIONS).",
}
# Why a destination does not get an event that was fetched, in words.
UNSIGNED = "it gets events with a signature only (TRACKNOW_RELAY_SIGNED_DESTINATIONS)."
# What happened, for people.
WORDS = {
    "created": "created at Stripe",
    "received": "received",
    "fetched": "fetched from Stripe's API",
    "unsigned": "not delivered: gets events with a signature only",
    "kept": "not forwarded",
    "attempt": "delivery",
    "due": "delivery is due",
    "paused": "waits: the destination is paused",
    "dead": "dead letter",
    "rejected": "rejected: success: false",
    "refunded": "refunded",
    "disputed": "disputed",
    "dispute": "the dispute now",
}


def detail_of(step: Step, sale: Sale) -> str:
    """Return what a step's detail is for people."""
    if step.what == "refunded":
        return f"{money(sale.refunded, sale.currency)} of {money(sale.amount, sale.currency)}"
    return KEPT.get(step.detail, step.detail) if step.what == "kept" else step.detail
