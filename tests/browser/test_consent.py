"""Nothing is kept before the visitor agreed, and nothing after the visitor changed their mind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.browser.managers import MANAGERS
from tests.browser.shops import ID, REFERENCE, stored

if TYPE_CHECKING:
    from tests.browser.shops import Shop

# All that is stored for the page, without what a manager itself keeps.
KEPT = """return document.cookie + Object.keys(localStorage).concat(Object.keys(sessionStorage))
  .filter(name => name !== '/.__consent')"""


def _define(name: str, given: str) -> str:
    return f"<script>(given => {{ {MANAGERS[name].define} }})({given})</script>"


def _element_has(reference: str | None) -> str:
    """Return a script: whether Stripe's element has a reference."""
    return (
        "const element = document.querySelector('stripe-buy-button'); return element &&"
        f" element.getAttribute('client-reference-id') === {json.dumps(reference)}"
    )


@pytest.mark.parametrize("name", MANAGERS)
def test_yes_and_later_no(shop: Shop, name: str) -> None:
    """The id is kept when the visitor agrees; when they change their mind all traces go."""
    shop.use(consent=MANAGERS[name].consent)
    body = f"""{shop.link()}<stripe-buy-button></stripe-buy-button>
    <form action="{shop.pay}"></form>"""
    shop.page(body, head=_define(name, "null"))
    browser = shop.browser
    browser.open(shop.url(f"/?click_id={ID}"))
    assert browser.run(KEPT) == ""
    assert browser.attribute("#buy", "href") == shop.pay
    browser.run(MANAGERS[name].yes)
    browser.until(_element_has(ID))
    assert stored(browser) == (ID, ID)
    assert browser.attribute("#buy", "href") == shop.pay
    assert browser.run("return tracknow.decorate(buy.href)") == f"{shop.pay}?{REFERENCE}"
    browser.run(MANAGERS[name].no)
    browser.until(_element_has(None))
    browser.until("return !document.cookie.includes('tn_click_id')")
    assert "tn_click_id" not in browser.run(KEPT)
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}"


@pytest.mark.parametrize("name", MANAGERS)
def test_yes_from_an_earlier_visit(shop: Shop, name: str) -> None:
    """A visitor who agreed on an earlier visit needs no second answer."""
    shop.use(consent=MANAGERS[name].consent)
    browser = shop.visit(shop.link(), head=_define(name, "true"))
    browser.until("return document.cookie.includes('tn_click_id')")
    assert stored(browser) == (ID, ID)
    browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_click_before_the_answer(shop: Shop) -> None:
    """A visitor who goes to pay without answering is sent there without the id."""
    shop.use(consent="cookiebot")
    shop.visit(shop.link(), head=_define("cookiebot", "null")).click("#buy")
    assert shop.left().target == f"/{shop.key}"


def test_answer_on_a_later_page(shop: Shop) -> None:
    """An id that waits for the answer survives a change of page, without being stored."""
    shop.use(consent="cookiebot")
    head = _define("cookiebot", "null")
    shop.page('<a id=on href="/second">On</a>', head=head)
    shop.page('<a id=on href="/third">On</a>', "/second", head=head)
    shop.page(shop.link(), "/third", head=head)
    browser = shop.browser
    browser.open(shop.url(f"/?click_id={ID}"))
    for page in ("second", "third"):
        browser.run("window.__left = true")
        browser.click("#on")
        browser.loaded()
        assert browser.url == shop.url(f"/{page}")
        assert browser.run(KEPT) == ""
        if page == "second" and browser.name == "webkit":
            # Without the tab's history it is the address of the page before that remembers.
            break
    browser.run(MANAGERS["cookiebot"].yes)
    assert stored(browser) == (ID, ID)


def test_newest_click_counts_after_consent(shop: Shop) -> None:
    """After consent was given a new landing replaces the id, as without a manager."""
    shop.use(consent="cookiebot")
    head = _define("cookiebot", "true")
    browser = shop.visit(shop.link(), head=head, path="/?click_id=older")
    assert stored(browser) == ("older", "older")
    browser.open(shop.url(f"/?click_id={ID}"))
    browser.open(shop.url("/"))
    assert stored(browser) == (ID, ID)
    browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_category_of_ones_own(shop: Shop) -> None:
    """``consent_category`` names what the visitor must have agreed to."""
    shop.use(consent="onetrust", consent_category="C0009")
    browser = shop.visit(shop.link(), head=_define("onetrust", "true"))
    assert stored(browser) == (None, None)
    browser.run(
        """window.OnetrustActiveGroups = ',C0001,C0009,';
        dispatchEvent(new CustomEvent('OneTrustGroupsUpdated', {detail: ['C0001', 'C0009']}))"""
    )
    assert stored(browser) == (ID, ID)


def test_missing_manager(shop: Shop) -> None:
    """While the manager itself has not come, or was blocked, nothing is kept and nothing fails."""
    shop.use(consent="klaro")
    browser = shop.visit(shop.link())
    assert browser.run(KEPT) == ""
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}"


@pytest.mark.parametrize("consent", [None, "cookiebot"])
def test_global_privacy_control(shop: Shop, consent: str | None) -> None:
    """With ``respect_gpc`` a browser that sends the signal keeps nothing, whatever was answered."""
    shop.use(respect_gpc=True, consent=consent)
    signal = (
        "<script>Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})</script>"
    )
    browser = shop.visit(shop.link(), recorder=signal, head=_define("cookiebot", "true"))
    assert browser.run(KEPT) == ""
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}"


def test_global_privacy_control_is_a_choice(shop: Shop) -> None:
    """Without ``respect_gpc``, and without the signal, the id is kept."""
    signal = (
        "<script>Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})</script>"
    )
    assert stored(shop.visit(shop.link(), recorder=signal)) == (ID, ID)
    shop.use(respect_gpc=True)
    unset = (
        "<script>Object.defineProperty(navigator, 'globalPrivacyControl', {value: false})</script>"
    )
    assert stored(shop.visit(shop.link(), recorder=unset, host=f"www.{shop.host}")) == (ID, ID)
