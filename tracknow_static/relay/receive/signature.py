"""Whether a request body was signed by Stripe, by the official library and our own clock.

The library accepts a time stamp of the future and raises other errors than its own for bytes that
are not UTF-8; what it is given here has been checked before.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from stripe import SignatureVerificationError, WebhookSignature

from tracknow_static.relay.receive.response import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# docs.stripe.com/webhooks: Stripe's own libraries take five minutes.
TOLERANCE_SECONDS = 300

# While secrets roll there is one v1 for each; this is room for dozens.
_LONGEST_HEADER = 4096
_TIME = re.compile(r"(?:^|,)t=([0-9]{1,12})(?=,|$)")


def verify(
    body: bytes,
    header: str | None,
    secrets: Sequence[str],
    *,
    clock: Callable[[], float] = time.time,
    tolerance: float = TOLERANCE_SECONDS,
) -> str:
    """Check the signature over the raw bytes; return the body's text.

    ``header`` is the value of ``Stripe-Signature``; any of ``secrets`` may have signed. ``clock``
    returns Unix seconds.

    Raises :class:`Rejected`; its ``reason`` is for counters, never for the sender.
    """
    if not header:
        raise _invalid("signature_missing")
    stamps = _TIME.findall(header)
    if len(header) > _LONGEST_HEADER or not header.isascii() or len(stamps) != 1:
        raise _invalid("signature_malformed")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        # JSON is UTF-8 (RFC 8259, 8.1), so that Stripe signs nothing else.
        raise Rejected(400, "body_not_utf8", "The body is not UTF-8.") from None
    if not any(_signed(text, header, secret) for secret in secrets):
        raise _invalid("signature_mismatch")
    # After the comparison: whoever cannot sign learns nothing about the clock from the timing.
    if abs(clock() - int(stamps[0])) > tolerance:
        raise _invalid("signature_stale")
    return text


def _invalid(reason: str) -> Rejected:
    return Rejected(400, "signature_invalid", "The signature is not valid.", reason=reason)


def _signed(text: str, header: str, secret: str) -> bool:
    try:
        WebhookSignature.verify_header(text, header, secret, tolerance=None)
    except SignatureVerificationError:
        return False
    return True
