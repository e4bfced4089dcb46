"""What counts as a click: real landings, in all their odd spellings, and nothing that repeats one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.shops import ID, REFERENCE, stored

if TYPE_CHECKING:
    from tests.browser.shops import Shop
    from tools.engines.browser import Browser

YEAR = 366 * 86400e3


def _newer_click(browser: Browser, reference: str) -> None:
    """Store what a landing in another tab stores."""
    browser.run(
        """document.cookie = `tn_click_id=${arguments[0]};max-age=9999;path=/;secure;samesite=lax`;
        localStorage.tn_click_id = arguments[0];
        localStorage.tn_click_id_at = Date.now() + ' ' + arguments[0]""",
        reference,
    )


@pytest.mark.parametrize("how", ["reload", "back"])
def test_a_landing_page_seen_again(shop: Shop, how: str) -> None:
    """A reload of an old landing page, or the way back to it, is no click: the newer one counts."""
    browser = shop.visit(
        shop.link()
        + "<a id=on href=/on>On</a><script>addEventListener('unload', () => 0)</script>",
        path="/?click_id=older",
    )
    shop.page("<p>On", "/on")
    if how == "reload":
        _newer_click(browser, ID)
        browser.reload()
    else:
        browser.run("window.__left = true")
        browser.click("#on")
        browser.loaded()
        _newer_click(browser, ID)
        browser.back()
        browser.until("return location.pathname === '/' && document.readyState === 'complete'")
    browser.until("return !!(window.tracknow && tracknow.clickId)")
    assert browser.run("return tracknow.clickId()") == ID
    browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_a_reload_does_not_renew_the_window(shop: Shop) -> None:
    """The date of a click stays when its landing page is loaded again."""
    browser = shop.visit("<p>Hello")
    browser.run(f"localStorage.tn_click_id_at = Date.now() - 864e5 + ' {ID}'")
    before = browser.run("return localStorage.tn_click_id_at.split(' ')[0]")
    browser.reload()
    assert browser.run("return localStorage.tn_click_id_at.split(' ')[0]") == before
    assert stored(browser) == (ID, ID)


def test_a_reload_does_not_revive_an_expired_click(shop: Shop) -> None:
    """A click whose window is over stays over, though its landing page is loaded again."""
    browser = shop.visit(shop.link())
    browser.run(
        f"""document.cookie = 'tn_click_id=;max-age=0;path=/;secure';
        localStorage.tn_click_id_at = (Date.now() - {YEAR}) + ' {ID}'"""
    )
    browser.reload()
    assert browser.run("return tracknow.clickId()") is None
    assert stored(browser) == (None, None)
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}"


def test_a_reload_before_anything_is_stored(shop: Shop) -> None:
    """A landing page that is loaded again, with nothing stored, is still where the visitor landed."""
    browser = shop.visit(shop.link())
    browser.run("document.cookie = 'tn_click_id=;max-age=0;path=/;secure'; localStorage.clear()")
    browser.reload()
    assert stored(browser) == (ID, ID)


@pytest.mark.parametrize("call", ["pushState", "replaceState"])
def test_soft_navigation_to_a_landing_url(shop: Shop, call: str) -> None:
    """A page that changes its address without loading has landed when the address says so."""
    browser = shop.visit(
        shop.link() + "<stripe-buy-button id=element></stripe-buy-button>",
        path="/?click_id=older",
    )
    browser.run(f"history.{call}({{}}, '', '/second?click_id={ID}')")
    if browser.run("return 'navigation' in window"):
        browser.until(f"return element.getAttribute('client-reference-id') === '{ID}'")
        assert stored(browser) == (ID, ID)
    browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_soft_navigation_back_is_no_click(shop: Shop) -> None:
    """A step back in the history to an address that was landed on is no new click."""
    browser = shop.visit(shop.link(), path="/?click_id=older")
    browser.run("history.pushState({}, '', '/second')")
    browser.run("document.body.click()")
    _newer_click(browser, ID)
    browser.run("history.back()")
    browser.until("return location.search === '?click_id=older'")
    browser.click("#buy")
    assert shop.left().query == REFERENCE


@pytest.mark.parametrize(
    "query",
    [
        "?a=1&amp;click_id=aff-7d1e_42",
        "?click_id=aff-7d1e_42%0A",
        "?click_id=%20aff-7d1e_42",
        "?click_id=%E2%80%8Baff-7d1e_42",
        "?click_id=%22aff-7d1e_42%22",
        "?click_id=aff-7d1e_42).",
        "?click_id=aff-7d1e_42/",
        "?a#top?click_id=aff-7d1e_42",
    ],
)
def test_a_good_id_in_a_damaged_address(shop: Shop, query: str) -> None:
    """What mail programs, redirects and copying do to an address does not lose the id."""
    assert stored(shop.visit("<p>Hello", path="/" + query)) == (ID, ID)


JUNK = [
    *("undefined", "null", "NaN", "[object%20Object]", "true", "false", "none"),
    *("{click_id}", "%25%25CLICK_ID%25%25", "__CLICKID__", "--CLICK-ID--", "$CLICK_ID"),
    *("CLICK_ID", "[click_id]", "%3Cclick_id%3E", "YOUR_CLICK_ID"),
]


def test_junk_replaces_no_good_id(shop: Shop) -> None:
    """What a broken snippet or an unfilled macro leaves in an address is no click."""
    browser = shop.visit(shop.link())
    for junk in JUNK:
        browser.open(shop.url(f"/?click_id={junk}"))
        assert stored(browser) == (ID, ID), junk
    browser.open(shop.url("/?url=https://other.example/?click_id=theirs"))
    assert stored(browser) == (ID, ID)


def test_junk_is_no_reference_of_the_merchants(shop: Shop) -> None:
    """A link that a broken snippet has decorated with junk carries the id in its place."""
    for junk in ("undefined", "null", "--CLICK-ID--"):
        shop.visit(shop.link(f"?client_reference_id={junk}")).click("#buy")
        assert shop.left().query == REFERENCE


def test_a_cookie_that_is_right_is_not_written_again(shop: Shop) -> None:
    """A cookie that a server has set keeps its age: neither landing nor later pages touch it."""
    watch = """<script>(() => {
    const own = Object.getOwnPropertyDescriptor(Document.prototype, 'cookie');
    window.written = [];
    Object.defineProperty(document, 'cookie', {configurable: true, get: () => own.get.call(document),
      set: text => { written.push(text); own.set.call(document, text) }});
    })()</script>"""
    shop.page(
        "<p>Hello",
        recorder=watch,
        headers={"Set-Cookie": f"tn_click_id={ID}; Max-Age=9999; Path=/; Secure; SameSite=Lax"},
    )
    browser = shop.browser
    browser.open(shop.url(f"/?click_id={ID}"))
    assert browser.run("return tracknow.clickId()") == ID
    assert browser.run("return written") == []
    browser.open(shop.url())
    assert browser.run("return written") == []
    assert stored(browser) == (ID, ID)


def test_a_newer_click_in_another_window(shop: Shop) -> None:
    """Stripe's element on screen learns of an id that another window has stored."""
    shop.page("<stripe-buy-button id=element></stripe-buy-button><iframe src=/other></iframe>")
    shop.page("<p>Other", "/other", script=False)
    browser = shop.browser
    browser.open(shop.url("/?click_id=older"))
    browser.until("return element.getAttribute('client-reference-id') === 'older'")
    browser.run(
        f"""document.cookie = 'tn_click_id={ID};max-age=9999;path=/;secure';
        frames[0].localStorage.tn_click_id = '{ID}'"""
    )
    browser.until(f"return element.getAttribute('client-reference-id') === '{ID}'")
