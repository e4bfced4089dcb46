"""A peer: knockerlite, which ships no server, behind the same granian as ours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import knocker  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Iterable

_inbox = knocker.open(os.environ["PEER_DATABASE"])
_inbox.add_endpoint(
    name="stripe",
    path="/stripe/webhook",
    provider="stripe",
    secrets=[os.environ["PEER_SECRET"]],
)


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Hand the raw request over and answer when it is stored."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    headers = {"Stripe-Signature": environ.get("HTTP_STRIPE_SIGNATURE", "")}
    try:
        _inbox.receive(endpoint="stripe", body=body, headers=headers, query={})
        status = "200 OK"
    except Exception:  # noqa: BLE001 - whatever it was, the event is not stored
        status = "400 Bad Request"
    start_response(status, [("Content-Length", "0")])
    return [b""]
