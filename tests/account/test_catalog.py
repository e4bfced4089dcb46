"""The account's payment links: prices, domains, and what a URL on a page is to the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tracknow_static.account.catalog import Catalog, PaymentLink, Price, read_catalog
from tracknow_static.account.key import ApiKey
from tracknow_static.errors import AccountError

if TYPE_CHECKING:
    from tests.account.conftest import Merchant

LINK: dict[str, Any] = {
    "id": "plink_1",
    "object": "payment_link",
    "active": True,
    "after_completion": {"type": "hosted_confirmation"},
    "allow_promotion_codes": False,
    "application_fee_amount": None,
    "application_fee_percent": None,
    "automatic_tax": {"enabled": False, "liability": None},
    "billing_address_collection": "auto",
    "consent_collection": None,
    "currency": "usd",
    "custom_fields": [],
    "custom_text": {
        "after_submit": None,
        "shipping_address": None,
        "submit": None,
        "terms_of_service_acceptance": None,
    },
    "customer_creation": "if_required",
    "invoice_creation": None,
    "livemode": False,
    "metadata": {},
    "on_behalf_of": None,
    "payment_intent_data": None,
    "payment_method_collection": "always",
    "payment_method_types": None,
    "phone_number_collection": {"enabled": False},
    "restrictions": None,
    "shipping_address_collection": None,
    "shipping_options": [],
    "submit_type": "auto",
    "subscription_data": None,
    "tax_id_collection": {"enabled": False},
    "transfer_data": None,
    "url": "https://buy.stripe.com/test_aEU14A9PY00000000",
}


def item(amount: int | None, currency: str = "usd", **price: Any) -> dict[str, Any]:
    """Return a line item as Stripe lists it."""
    return {
        "id": "li_1",
        "object": "item",
        "amount_total": amount or 0,
        "currency": currency,
        "description": "Coffee",
        "quantity": price.pop("quantity", 1),
        "price": {"id": "price_1", "object": "price", "unit_amount": amount, **price},
    }


def items(*lines: dict[str, Any]) -> dict[str, Any]:
    """Return a link's line items as Stripe expands them."""
    return {"object": "list", "data": list(lines), "has_more": False, "url": "/v1/…"}


@pytest.fixture
def catalog(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """An account with a link in use, one on a custom domain, and one that was switched off."""
    monkeypatch.setenv("TRACKNOW_STRIPE_API_BASE", merchant.stripe.base)
    merchant.stripe.page = 2
    merchant.stripe.links = [
        {**LINK, "line_items": items(item(1900), item(500, quantity=2))},
        {
            **LINK,
            "id": "plink_2",
            "url": "https://pay.shop.example/b/test_bIU14A9PY00000000",
            "line_items": items(item(1000, "jpy", recurring={"interval": "month"})),
        },
        {
            **LINK,
            "id": "plink_3",
            "active": False,
            "url": "https://buy.stripe.com/test_cIU14A9PY00000000",
            "line_items": items(item(None)),
        },
    ]
    return read_catalog(ApiKey.parse("rk_test_good"))


def test_links_are_read_with_their_prices(catalog: Catalog) -> None:
    """All pages of the list; amounts in the currency's own decimals, subscriptions by interval."""
    shown = [[str(price) for price in link.prices or ()] for link in catalog.links]
    assert shown == [
        ["19.00 USD", "2 × 5.00 USD"],
        ["1000 JPY / month"],
        ["open amount USD"],
    ]
    assert catalog.custom_domains == {"pay.shop.example"}


def test_a_link_with_many_lines(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripe expands the first lines only; the others are asked for."""
    monkeypatch.setenv("TRACKNOW_STRIPE_API_BASE", merchant.stripe.base)
    lines = [{**item(100 * number), "id": f"li_{number}"} for number in range(1, 14)]
    first = {**items(*lines[:10]), "has_more": True}
    merchant.stripe.links = [{**LINK, "line_items": first, "all_items": lines}]
    (link,) = read_catalog(ApiKey.parse("rk_test_good")).links
    assert [price.amount for price in link.prices or ()] == [100 * n for n in range(1, 14)]


def test_three_decimals() -> None:
    """A Kuwaiti dinar has a thousand fils."""
    assert str(Price(1500, "kwd", 1, None)) == "1.500 KWD"


@pytest.mark.parametrize(
    ("url", "standing"),
    [
        ("https://buy.stripe.com/test_aEU14A9PY00000000?a=b#c", "active"),
        ("https://BUY.stripe.com./test_aEU14A9PY00000000/", "active"),
        ("https://buy.stripe.com/test_cIU14A9PY00000000", "deactivated"),
        ("https://buy.stripe.com/test_somebodyelses", "unknown"),
        ("https://buy.stripe.com/aEU14A9PY00000000", "other-mode"),
        ("https://pay.shop.example/b/test_bIU14A9PY00000000", "active"),
        ("https://pay.shop.example/b/elsewhere00000", "unknown"),
        ("https://pay.shop.example/test_aEU14A9PY00000000", "active"),
        ("no url", "invalid"),
    ],
)
def test_what_a_url_is_to_the_account(catalog: Catalog, url: str, standing: str) -> None:
    """In use, switched off, somebody else's, or of a mode that the key cannot see."""
    assert catalog.look_up(url).standing == standing


def test_a_key_that_may_not_see_links(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing permission is named."""
    monkeypatch.setenv("TRACKNOW_STRIPE_API_BASE", merchant.stripe.base)
    merchant.stripe.denied = ("/v1/payment_links",)
    with pytest.raises(AccountError, match="Payment Links: Read"):
        read_catalog(ApiKey.parse("rk_test_good"))


def test_an_unread_price_is_no_free_one() -> None:
    """Without the right to see prices a link has none, which differs from an empty list."""
    link = PaymentLink("plink_1", "https://buy.stripe.com/x", True, "usd", None)
    assert link.prices is None
    assert link.custom_domain is None
