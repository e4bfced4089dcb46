r"""Which URL leads to a payment page: decided on the parsed URL, as a browser parses it.

The parser is ada-url, which follows https://url.spec.whatwg.org; the standard library's accepts
``https://evil.example\@buy.stripe.com/`` for Stripe's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ada_url

from tracknow_static.tracknow import PAYMENT_HOSTS

if TYPE_CHECKING:
    from collections.abc import Collection

# The URL of a page is not known while it is built; any https address gives the same answers.
ANYWHERE = "https://page.invalid/"


def payment_url(url: str, base: str, hosts: Collection[str]) -> ada_url.URL | None:
    """Parse ``url`` against ``base``; None unless it leads to one of ``hosts`` on its own port."""
    try:
        parsed = ada_url.URL(url, base)
    except ValueError:
        return None
    known = parsed.hostname in hosts and not parsed.port
    return parsed if known and parsed.protocol in ("https:", "http:") else None


def is_payment_url(url: str, hosts: Collection[str] = PAYMENT_HOSTS) -> bool:
    """Whether ``url`` leads to a payment page."""
    return payment_url(url, ANYWHERE, hosts) is not None
