r"""Which URL leads to a payment page: decided on the parsed URL, as a browser parses it.

The parser is ada-url, which follows https://url.spec.whatwg.org; the standard library's accepts
``https://evil.example\@buy.stripe.com/`` for Stripe's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import ada_url

from tracknow_static.tracknow import PAYMENT_HOSTS

if TYPE_CHECKING:
    from collections.abc import Collection

# The URL of a page is not known while it is built; any https address gives the same answers.
ANYWHERE = "https://page.invalid/"


class PaymentUrl(NamedTuple):
    """A payment page's address in its parts; ``query`` and ``fragment`` without "?" and "#"."""

    href: str
    scheme: str
    host: str
    path: str
    query: str

    @property
    def test_mode(self) -> bool:
        """Whether it belongs to Stripe's test mode."""
        return self.path.startswith("/test_")


def all_hosts(extra: Collection[str] = ()) -> frozenset[str]:
    """Return Stripe's hosts and the merchant's own."""
    return PAYMENT_HOSTS | frozenset(extra)


def payment_url(url: str, base: str, hosts: Collection[str]) -> PaymentUrl | None:
    """Parse ``url`` against ``base``; None unless it leads to one of ``hosts`` on its own port."""
    try:
        parsed = ada_url.URL(url, base)
    except ValueError:
        return None
    if parsed.hostname not in hosts or parsed.port or parsed.protocol not in ("https:", "http:"):
        return None
    return PaymentUrl(
        parsed.href,
        parsed.protocol.removesuffix(":"),
        parsed.hostname,
        parsed.pathname,
        parsed.search.removeprefix("?"),
    )


def is_payment_url(url: str, hosts: Collection[str] = PAYMENT_HOSTS) -> bool:
    """Whether ``url`` leads to a payment page."""
    return payment_url(url, ANYWHERE, hosts) is not None
