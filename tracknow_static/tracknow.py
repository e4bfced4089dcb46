"""What this project knows of Tracknow and of Stripe: each rule once, for both halves.

Sources: docs.tracknow.io ("Stripe Integration"), docs.stripe.com. Standard library only.
"""

from __future__ import annotations

import re
from unicodedata import category
from urllib.parse import urlsplit

# The namespace and "-tracking" are one DNS label of at most 63 characters (RFC 1035, 2.3.4). The
# documents write "your-namespace" where yours belongs.
_NAMESPACE = re.compile(r"(?!.*-tracking\Z|your-namespace\Z)[a-z0-9](?:[a-z0-9-]{0,52}[a-z0-9])?")
_TRACKNOW_HOST = re.compile(r"[a-z0-9-]+-tracking\.tracknow\.info")

# Currencies whose minor unit is no hundredth but a whole, or a thousandth
# (docs.stripe.com/currencies).
_WHOLE = re.compile("bif|clp|djf|gnf|jpy|kmf|krw|mga|pyg|rwf|ugx|vnd|vuv|xaf|xof|xpf")
_THOUSANDTHS = re.compile("bhd|jod|kwd|omr|tnd")

EVENT_TYPES = ("charge.succeeded", "checkout.session.completed")
"""The two events that Tracknow's guide asks for."""

SALE_EVENT_TYPES = (
    *EVENT_TYPES,
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "charge.refunded",
    "charge.dispute.created",
    "charge.dispute.closed",
    "invoice.paid",
)
"""What a relay's endpoint gets: those two, and those for the rest of a sale's story."""

WEBHOOK_PATH = "/stripe/webhook"
"""Path that the relay receives Stripe's events at."""

PAYMENT_HOSTS = frozenset({"buy.stripe.com", "book.stripe.com", "donate.stripe.com"})
"""Hosts of payment pages; ``submit_type`` book and donate change the host.

docs.stripe.com/payment-links. Merchants can have hosts of their own besides.
"""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Hosts that Stripe can never reach."""

PLACEHOLDER = r"undefined|null|nan|true|false|none|[_-]*(?:your[\w-])?click[\w-]?id[_-]*"
"""Pattern, in any case, of references that Stripe keeps and that are no click id.

They are what a broken snippet writes, and macros that nobody filled in.
"""

LONGEST_REFERENCE = 200
"""Characters of a ``client_reference_id`` (docs.stripe.com/payment-links/url-parameters)."""

_REFERENCE = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_REFERENCE}}}")
_EVENT_TYPE = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+")


def is_namespace(text: str) -> bool:
    """Whether ``text`` is the NAME in NAME-tracking.tracknow.info, in lower case."""
    return bool(_NAMESPACE.fullmatch(text))


def postback_url(namespace: str) -> str:
    """Return the URL of Tracknow that receives Stripe's events."""
    return f"https://{namespace}-tracking.tracknow.info/stripe/postback"


def is_tracknow_url(url: str) -> bool:
    """Whether ``url`` leads to Tracknow itself."""
    return bool(_TRACKNOW_HOST.fullmatch((urlsplit(url).hostname or "").lower()))


def is_webhook_path(path: str) -> bool:
    """Whether the relay receives events at ``path``; a slash at the end does not matter."""
    return path.rstrip("/") == WEBHOOK_PATH


def is_reference(text: str) -> bool:
    """Whether Stripe keeps ``text`` as a ``client_reference_id``; it drops any other silently.

    docs.stripe.com/payment-links/url-parameters.
    """
    return bool(_REFERENCE.fullmatch(text))


def is_event_type(text: str) -> bool:
    """Whether ``text`` has the form of a Stripe event type, such as charge.refunded."""
    return bool(_EVENT_TYPE.fullmatch(text))


def is_placeholder(text: str) -> bool:
    """Whether Stripe keeps a reference that is no click id, such as ``undefined``."""
    return bool(re.fullmatch(PLACEHOLDER, text, re.IGNORECASE | re.ASCII))


def is_click_id(text: str | None, pattern: re.Pattern[str] | None = None) -> bool:
    """Whether a stored reference is a click id: no placeholder, and ``pattern`` matches all of it."""
    if not text or is_placeholder(text):
        return False
    return pattern is None or (
        len(text) <= LONGEST_REFERENCE and pattern.fullmatch(text) is not None
    )


def money(amount: int | None, currency: str | None) -> str:
    """Return an amount in Stripe's minor units as people write it, such as 20.00 EUR."""
    if amount is None or currency is None:
        return "-"
    decimals = 0 if _WHOLE.fullmatch(currency) else 3 if _THOUSANDTHS.fullmatch(currency) else 2
    sign, digits = "-" if amount < 0 else "", f"{abs(amount):0{decimals + 1}d}"
    whole, part = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    return f"{sign}{whole}{'.' if part else ''}{part} {currency.upper()}"


def counted(number: int, thing: str, things: str = "") -> str:
    """Return a number with what it counts, such as 1 sale or 2,000 deliveries.

    ``things`` is the plural where more than the last word's ending changes.
    """
    if number == 1:
        return f"1 {thing}"
    regular = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{number:,} {things or regular}"


def clean(text: str) -> str:
    """Return text from outside with what could steer a terminal, or fake a line, replaced."""
    return "".join(
        char if char.isprintable() or category(char) == "Zs" else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )
