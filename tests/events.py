"""Stripe's events and signatures, for every test, benchmark and the demo.

The signature is made from Stripe's description of it, not by Stripe's library: the relay verifies
with that library, and a mistake in it must not go unnoticed.
https://docs.stripe.com/webhooks#verify-manually
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = "whsec_test_secret"
CONTENT_TYPE = "application/json; charset=utf-8"
CREATED = 1_790_000_000


def digest(payload: bytes, secret: str, at: float) -> str:
    """Return the ``v1`` part of a signature made at Unix time ``at``: HMAC-SHA256 in hex."""
    return hmac.new(secret.encode(), b"%d." % at + payload, hashlib.sha256).hexdigest()


def sign(payload: bytes, secret: str = SECRET, at: float | None = None) -> str:
    """Return the ``Stripe-Signature`` header of a payload, made now or at Unix time ``at``."""
    moment = int(time.time() if at is None else at)
    return f"t={moment},v1={digest(payload, secret, moment)}"


def event(name: int | str, kind: str, subject: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a live event ``evt_NAME`` about a subject; ``changes`` replace its own fields."""
    body = {
        "id": f"evt_{name}",
        "object": "event",
        "api_version": "2025-03-31.basil",
        "created": CREATED,
        "data": {"object": dict(subject)},
        "livemode": True,
        "type": kind,
    }
    return {**body, **changes}


def purchase(
    number: int | str = 1, session: Mapping[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """Return a completed checkout; ``session`` replaces fields of the checkout session."""
    subject = {
        "id": f"cs_{number}",
        "object": "checkout.session",
        "client_reference_id": f"click_{number}",
        "customer": f"cus_{number}",
        "payment_intent": f"pi_{number}",
        "payment_status": "paid",
        **(session or {}),
    }
    return event(number, "checkout.session.completed", subject, **changes)


def charge(number: int | str = 1, **changes: Any) -> dict[str, Any]:
    """Return the charge of the purchase with the same number; its own name ends in ``_charge``."""
    subject = {
        "id": f"ch_{number}",
        "object": "charge",
        "customer": f"cus_{number}",
        "payment_intent": f"pi_{number}",
    }
    return event(f"{number}_charge", "charge.succeeded", subject, **changes)


def encode(body: Mapping[str, Any]) -> bytes:
    """Return an event's bytes as Stripe writes them: indented JSON."""
    return json.dumps(body, indent=2).encode()
