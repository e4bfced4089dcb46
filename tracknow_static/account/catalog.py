"""The account's payment links, read only, for ``check --stripe`` and the relay's reasons.

A restricted key with Payment Links: Read (and Prices: Read for the prices) is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import ada_url

from tracknow_static.account.stripe_api import explain_errors
from tracknow_static.errors import AccountError
from tracknow_static.exit_codes import KEY, STRIPE
from tracknow_static.tracknow import PAYMENT_HOSTS, money

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stripe import StripeClient

    from tracknow_static.account.key import ApiKey

Standing = Literal["active", "deactivated", "unknown", "other-mode", "invalid"]

_READ = "Payment Links: Read"


@dataclass(frozen=True)
class Price:
    """One line of a payment link. ``amount`` is in the currency's smallest unit, per piece.

    ``amount`` is ``None`` when the customer chooses it or tiers decide; ``interval`` is ``day``,
    ``week``, ``month``, ``year`` or ``None`` for a single payment.
    """

    amount: int | None
    currency: str
    quantity: int | None
    interval: str | None

    def __str__(self) -> str:
        open_amount = f"open amount {self.currency.upper()}"
        price = open_amount if self.amount is None else money(self.amount, self.currency)
        pieces = f"{self.quantity} × " if (self.quantity or 1) > 1 else ""
        every = f" / {self.interval}" if self.interval else ""
        return f"{pieces}{price}{every}"


@dataclass(frozen=True)
class PaymentLink:
    """A payment link. ``prices`` is ``None`` when the key may not read them."""

    id: str
    url: str
    active: bool
    currency: str
    prices: tuple[Price, ...] | None

    @property
    def custom_domain(self) -> str | None:
        """The merchant's own domain that it is on, if any."""
        host = _parts(self.url)[0]
        return None if host in PAYMENT_HOSTS else host

    @property
    def price(self) -> str:
        """Its prices as text; the currency alone where they are not known."""
        return " + ".join(map(str, self.prices or ())) or self.currency.upper()


@dataclass(frozen=True)
class Verdict:
    """What a URL on a page is to the account.

    ``active`` and ``deactivated`` links are the account's; ``unknown`` ones are not;
    ``other-mode`` is a test link seen with a live key or the reverse, of which the account shows
    nothing; ``invalid`` is not a URL.
    """

    standing: Standing
    link: PaymentLink | None = None


@dataclass(frozen=True)
class Catalog:
    """All payment links of one account in one mode."""

    mode: str
    links: tuple[PaymentLink, ...]

    @cached_property
    def custom_domains(self) -> frozenset[str]:
        """The merchant's own payment domains, for the option ``payment_hosts``."""
        return frozenset(link.custom_domain for link in self.links if link.custom_domain)

    def look_up(self, url: str) -> Verdict:
        """Return what a URL found on a page is; query and fragment do not matter."""
        host, path = _parts(url)
        if not host:
            return Verdict("invalid")
        link = self._by_address.get((host, path))
        # A link keeps its path when a custom domain is added or dropped, and the old host still works
        # (docs.stripe.com/payments/checkout/custom-domains).
        if link is None and len(path) > 8 and host in PAYMENT_HOSTS | self.custom_domains:
            link = self._by_path.get(path)
        if link is not None:
            return Verdict("active" if link.active else "deactivated", link)
        if host in PAYMENT_HOSTS and path.startswith("/test_") != (self.mode == "test"):
            return Verdict("other-mode")
        return Verdict("unknown")

    @cached_property
    def _by_address(self) -> dict[tuple[str, str], PaymentLink]:
        return {_parts(link.url): link for link in reversed(self.links)}

    @cached_property
    def _by_path(self) -> dict[str, PaymentLink]:
        return {_parts(link.url)[1]: link for link in reversed(self.links)}


def _parts(url: str) -> tuple[str, str]:
    try:
        parsed = ada_url.URL(url)
    except ValueError:
        return "", ""
    return parsed.hostname.rstrip("."), parsed.pathname.rstrip("/")


def read_catalog(key: ApiKey) -> Catalog:
    """Return the account's payment links with their prices.

    The prices are ``None`` when the key may not read them. Raises :class:`AccountError`.
    """
    client = key.client()
    try:
        found = _list(client, {"limit": 100, "expand": ["data.line_items"]})
        return Catalog(key.mode, tuple(_link(client, raw, prices=True) for raw in found))
    except AccountError as error:
        if error.exit_code != KEY:
            raise
        # Again without prices; if the key may not read the links themselves, that is the error.
        found = _list(client, {"limit": 100})
        return Catalog(key.mode, tuple(_link(client, raw, prices=False) for raw in found))


def read_links(key: ApiKey, client: StripeClient, *, most: int) -> Catalog:
    """Return the newest ``most`` of the account's payment links, without prices.

    Raises :class:`AccountError`.
    """
    try:
        found = _list(client, {"limit": 100}, most)
        return Catalog(key.mode, tuple(_link(client, raw, prices=False) for raw in found))
    except (AttributeError, KeyError, TypeError, ValueError):
        text = "Could not list the account's payment links: the answer is none of Stripe's."
        raise AccountError(text, STRIPE) from None


def _list(client: Any, parameters: dict[str, object], most: int | None = None) -> list[Any]:
    with explain_errors("list the account's payment links", _READ):
        return list(islice(client.v1.payment_links.list(parameters).auto_paging_iter(), most))


def _link(client: Any, raw: Any, *, prices: bool) -> PaymentLink:
    lines: tuple[Price, ...] | None = None
    if prices:
        items = getattr(raw, "line_items", None)
        if items is None or items.has_more:
            with explain_errors("read the prices of a payment link", _READ):
                listed = client.v1.payment_links.line_items.list(raw.id, {"limit": 100})
                lines = tuple(_prices(listed.auto_paging_iter()))
        else:
            lines = tuple(_prices(items.data))
    return PaymentLink(raw.id, raw.url, raw.active, raw.currency, lines)


def _prices(items: Iterable[Any]) -> Iterable[Price]:
    for item in items:
        price = item.price
        recurring = getattr(price, "recurring", None) if price else None
        yield Price(
            amount=price.unit_amount if price else item.amount_total,
            currency=item.currency,
            quantity=item.quantity,
            interval=recurring.interval if recurring else None,
        )
