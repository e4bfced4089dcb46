"""``check --stripe``: the site's payment links beside those of the account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.account.stand_in import Stripe, running
from tests.account.test_catalog import LINK as PLINK
from tests.account.test_catalog import item, items
from tests.audit.conftest import page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.audit.conftest import Site

ACTIVE, GONE = "https://buy.stripe.com/aEU14A9PY00000001", "https://buy.stripe.com/gone14A9PY000"
OWN = "https://pay.shop.example/b/bIU14A9PY00000"


@pytest.fixture
def account(site: Site) -> Iterator[Stripe]:
    """A live account with a link in use, a deactivated one, and one on a domain of its own."""
    state = Stripe(mode="live")
    for number, (url, active, line) in enumerate(
        [
            (ACTIVE, True, item(1900, "eur", recurring={"interval": "month"})),
            (GONE, False, item(500)),
            (OWN, True, item(1000, "jpy")),
        ]
    ):
        state.links.append(
            {
                **PLINK,
                "id": f"plink_{number}",
                "url": url,
                "active": active,
                "livemode": True,
                "currency": line["currency"],
                "line_items": items(line),
            }
        )
    with running(state) as base:
        site.environ = {"STRIPE_API_KEY": "rk_live_good", "TRACKNOW_STRIPE_API_BASE": base}
        yield state


def sell(site: Site, *urls: str, **options: str) -> Site:
    """Write a page with links, one a line, and inject it."""
    body = "\n".join(f'<a href="{url}">buy</a>' for url in urls)
    return site.write("a.html", page(body)).inject(**options)


@pytest.mark.usefixtures("account")
def test_each_link_is_compared(site: Site) -> None:
    """Active links pass; deactivated, unknown and test-mode ones are errors with their line."""
    sell(site, ACTIVE, GONE, "https://buy.stripe.com/unknown1", "https://buy.stripe.com/test_a")
    site.inject(payment_hosts="pay.shop.example")
    assert site.codes("--stripe --payment-hosts pay.shop.example", code=1) == [
        "a.html:4 TN452",
        "a.html:5 TN451",
        "a.html:6 TN101",
        "a.html:6 TN453",
    ]


@pytest.mark.usefixtures("account")
def test_prices_are_shown(site: Site) -> None:
    """Beside each link is what it costs, in its currency."""
    sell(site, ACTIVE, OWN, payment_hosts="pay.shop.example")
    output = site.check("--stripe --payment-hosts pay.shop.example").output
    assert f"{ACTIVE}   19.00 EUR / month" in output
    assert f"{OWN}   1000 JPY" in output


@pytest.mark.usefixtures("account")
def test_an_own_domain_that_the_settings_lack(site: Site) -> None:
    """Links on the account's own domain carry nothing unless payment_hosts names it."""
    sell(site, OWN)
    assert site.codes("--stripe") == ["a.html:3 TN455"]
    ((_, _, fate),) = site.attributions("--stripe")
    assert fate == "click id lost: its host is not in payment_hosts"
    assert site.json("--stripe")["pages"][0]["surfaces"][0]["reaches"] == "never"
    sell(site, ACTIVE)
    assert site.codes("--stripe") == [".:1 TN455"]


def test_a_test_key_cannot_check_live_links(site: Site, account: Stripe) -> None:
    """A link of the other mode is not called unknown; it is reported as not compared."""
    account.mode = "test"
    account.links.clear()
    site.environ["STRIPE_API_KEY"] = "rk_test_good"
    sell(site, ACTIVE)
    assert site.codes("--stripe") == ["a.html:3 TN454"]


@pytest.mark.usefixtures("account")
def test_buy_buttons_as_far_as_the_api_tells(site: Site) -> None:
    """The API lists none; its publishable key shows the mode of one."""
    button = '<stripe-buy-button buy-button-id="b" publishable-key="pk_{}_1"></stripe-buy-button>'
    site.write("a.html", page(button.format("live"))).inject(payment_hosts="pay.shop.example")
    line = "--stripe --payment-hosts pay.shop.example"
    assert site.codes(line) == [".:1 TN456"]
    site.write("a.html", page(button.format("test"))).inject(payment_hosts="pay.shop.example")
    assert "a.html:3 TN457" in site.codes(line)


def test_a_key_without_the_right_to_see_prices(site: Site, account: Stripe) -> None:
    """Then the currency is shown, which is the link's own."""
    for link in account.links:
        link["line_items"] = None
    account.denied = ("/line_items",)
    sell(site, ACTIVE, payment_hosts="pay.shop.example")
    assert f"{ACTIVE}   EUR" in site.check("--stripe --payment-hosts pay.shop.example").output


def test_a_key_without_the_right_to_see_links(site: Site, account: Stripe) -> None:
    """The missing permission is named; exit code 4."""
    account.denied = ("/v1/payment_links",)
    sell(site, ACTIVE)
    assert "lacks the permission Payment Links: Read" in site.check("--stripe", code=4).output


def test_no_key(site: Site) -> None:
    """Without a key nothing is audited, and the variables are named."""
    site.environ = {"STRIPE_API_KEY": "", "STRIPE_API_KEY_FILE": ""}
    assert "STRIPE_API_KEY" in site.check("--stripe", code=4).output


def test_stripe_is_asked_only_when_told(site: Site, account: Stripe) -> None:
    """Without --stripe nothing leaves the machine; with it nothing is changed there."""
    sell(site, ACTIVE)
    site.check()
    assert account.requests == []
    site.check("--stripe")
    assert account.changes() == []
