"""Libraries that exchange the page without loading it: landings count, and nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.browser.packages import library
from tests.browser.scenarios import FRAME, newer_id, opening
from tests.browser.shops import ID, REFERENCE, stored
from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from tests.browser.shops import Shop
    from tools.engines.browser import Browser


@dataclass(frozen=True)
class Library:
    """A library's file in its package, how a page starts it, and what surrounds the content."""

    package: str
    version: str
    file: str
    start: str
    around: str


LIBRARIES = {
    "Turbo": Library(
        *("@hotwired/turbo", "8.0.23", "dist/turbo.es2017-umd.js"),
        "",
        "CONTENT",
    ),
    "htmx 2": Library(
        *("htmx.org", "2.0.4", "dist/htmx.min.js"),
        "",
        "<div hx-boost=true>CONTENT</div>",
    ),
    "htmx 4": Library(
        *("htmx.org", "4.0.1", "dist/htmx.min.js"),
        "",
        '<div hx-boost:inherited="true">CONTENT</div>',
    ),
    "Swup": Library(
        *("swup", "4.10.0", "dist/Swup.umd.js"),
        "new Swup({animationSelector: false, containers: ['#main']})",
        "<main id=main>CONTENT</main>",
    ),
    "Barba": Library(
        *("@barba/core", "2.10.3", "dist/barba.umd.js"),
        "barba.init({})",
        "<div data-barba=wrapper><main data-barba=container data-barba-namespace=x>CONTENT</main></div>",
    ),
}
PAGES = {
    "/": '<a id=ad href="/offer?click_id={id}">Offer</a>',
    "/offer": '<a id=on href="/buy">On</a>',
    "/buy": """<a id=buy target=there href="{pay}/m?a=1">Buy</a>
      <form hx-boost=false target=there action="{pay}/f"><button id=send>Send</button></form>"""
    + FRAME,
}
ELEMENT = "<stripe-buy-button id=b></stripe-buy-button>"


def _publish(shop: Shop, name: str) -> None:
    kind = LIBRARIES[name]
    shop.web.put(
        shop.host,
        "/lib.js",
        Response(library(kind.package, kind.version, kind.file), "text/javascript"),
    )
    head = "<script src=/lib.js></script>"
    if kind.start:
        head += f"<script>addEventListener('DOMContentLoaded', () => {{ {kind.start} }})</script>"
    for path, content in PAGES.items():
        body = f"<p class=at>{path}</p>{content.format(id=ID, pay=shop.pay)}{ELEMENT}"
        shop.page(kind.around.replace("CONTENT", body), path, head=head)


def _follow(browser: Browser, selector: str, path: str, reference: str) -> None:
    """Follow a link without a load, and wait for what Stripe's element shows then."""
    browser.click(selector)
    _arrived(browser, path, reference)


def _arrived(browser: Browser, path: str, reference: str) -> None:
    browser.until(
        """return location.pathname === arguments[0]
          && [...document.querySelectorAll('.at')].map(one => one.textContent).join() === arguments[0]""",
        path,
    )
    browser.until("return b.getAttribute('client-reference-id') === arguments[0]", reference)
    assert browser.run("return window.same === true")


@pytest.mark.parametrize("name", LIBRARIES)
def test_landing_without_a_load(shop: Shop, name: str) -> None:
    """A landing URL reached without a load is a new click; a way back to an old one is none."""
    _publish(shop, name)
    browser = shop.browser
    browser.open(shop.url("/?click_id=older"))
    browser.run("window.same = true")
    _follow(browser, "#ad", "/offer", ID)
    assert stored(browser) == (ID, ID)
    _follow(browser, "#on", "/buy", ID)
    with opening(browser):
        browser.click("#buy")
    assert shop.left().target == f"/{shop.key}/m?a=1&{REFERENCE}"
    browser.click("#send")
    assert shop.left().target == f"/{shop.key}/f?{REFERENCE}"
    log = browser.run("return __record.log")
    assert log == []
    # What another tab has brought stays, though the history leads over the older landing.
    browser.open(shop.url("/"))
    browser.run("window.same = true")
    _follow(browser, "#ad", "/offer", ID)
    newer_id(browser, "newest")
    _follow(browser, "#on", "/buy", "newest")
    browser.run("history.back()")
    _arrived(browser, "/offer", "newest")
    assert stored(browser) == ("newest", "newest")
