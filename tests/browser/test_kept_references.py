"""A reference of ours that a page keeps and shows again never passes for the merchant's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.scenarios import newer_id
from tests.browser.shops import ID, REFERENCE
from tools.engines import npm
from tools.engines.fake_web import Request, Response

if TYPE_CHECKING:
    from tests.browser.shops import Shop
    from tools.engines.browser import Browser

OLDER = "/?click_id=older"
ELEMENT = "<stripe-buy-button id=b></stripe-buy-button>"
# A field that the merchant left empty for whoever has something to fill in.
FIELD = (
    "<form action=PAY/f><input TYPE name=client_reference_id><button id=send>Buy</button></form>"
)


def _shown(browser: Browser, value: str) -> None:
    browser.until("return b.getAttribute('client-reference-id') === arguments[0]", value)


def _asked(shop: Shop, path: str, since: int = 0) -> Request:
    """Wait for the next request for a payment page, and for that page."""
    request = shop.web.wait_for(
        lambda request: request.path == f"/{shop.key}/{path}", max(since, shop._started)
    )
    shop.browser.until(
        f"return location.host !== '{shop.host}' && document.readyState === 'complete'"
    )
    return request


@pytest.mark.parametrize("moment", ["pagehide", "beforeunload"])
def test_markup_that_the_page_keeps(shop: Shop, moment: str) -> None:
    """Markup that a page stores when it is left, and writes again later, brings no older id."""
    page = f"""<main id=m><a id=buy href="{shop.pay}/m">Buy</a>{ELEMENT}</main><script>
    if (sessionStorage.kept) m.innerHTML = sessionStorage.kept;
    addEventListener('{moment}', () => {{ sessionStorage.kept = m.innerHTML }})</script>"""
    browser = shop.visit(page, path=OLDER)
    _shown(browser, "older")
    browser.click("#buy")
    assert _asked(shop, "m").query == "client_reference_id=older"
    since = len(shop.web.requests)
    shop.page("<p>Another landing", "/landing")
    browser.open(shop.url(f"/landing?click_id={ID}"))
    shop.page(page, "/again")
    browser.open(shop.url("/again"))
    assert "older" in browser.run("return sessionStorage.kept")
    _shown(browser, ID)
    browser.click("#buy")
    assert _asked(shop, "m", since).query == REFERENCE


def test_history_cache_of_htmx(shop: Shop) -> None:
    """What htmx keeps of a page and shows on the way back carries the newest id."""
    htmx = npm.read("htmx.org", "2.0.4", "dist/htmx.min.js")
    shop.web.put(shop.host, "/htmx.js", Response(htmx, "text/javascript"))
    head = "<script src=/htmx.js></script>"
    part = "<p id=second>Second page"
    shop.page(part, "/second", head=head)
    browser = shop.visit(
        f"""<a id=buy href="{shop.pay}/m">Buy</a>{ELEMENT}
        <button id=on hx-get=/second hx-target=body hx-push-url=true>On</button>""",
        path=OLDER,
        head=head,
    )
    _shown(browser, "older")
    browser.click("#on")
    browser.until("return location.pathname === '/second' && document.querySelector('#second')")
    newer_id(browser)
    browser.reload()
    browser.back()
    browser.until("return document.querySelector('#buy')")
    _shown(browser, ID)
    browser.click("#buy")
    assert _asked(shop, "m").query == REFERENCE


@pytest.mark.parametrize("kind", ["", "type=hidden"])
def test_field_that_the_browser_restores(shop: Shop, kind: str) -> None:
    """A field that an older id has filled, and the browser fills on the way back, is renewed."""
    # A page that listens for unload is loaded anew, and its fields are restored.
    form = FIELD.replace("PAY", shop.pay).replace("TYPE", kind)
    body = f"{form}<script>addEventListener('unload', () => {{}})</script>"
    browser = shop.visit(body, path=OLDER)
    browser.click("#send")
    assert _asked(shop, "f").query == "client_reference_id=older"
    since = len(shop.web.requests)
    shop.page("<p>Another landing", "/landing")
    browser.open(shop.url(f"/landing?click_id={ID}"))
    for step in (1, 2):
        browser.back()
        host = "buy.stripe.com" if step == 1 else shop.host
        browser.until(
            "return location.host === arguments[0] && location.pathname !== '/landing'"
            " && document.readyState === 'complete'",
            host,
        )
    browser.click("#send")
    assert _asked(shop, "f", since).query == REFERENCE


def test_link_that_the_page_copied(shop: Shop) -> None:
    """An address with an older reference, which a page put into another link, is renewed."""
    browser = shop.visit(
        f'<a id=buy href="{shop.pay}/m">Buy</a><a id=copy href="/missed">Copy</a>', path=OLDER
    )
    kept = browser.run("return tracknow.decorate(buy.href)")
    shop.page(f'<a id=buy href="{kept}">Buy</a>', "/next")
    browser.open(shop.url(f"/next?click_id={ID}"))
    browser.click("#buy")
    assert _asked(shop, "m").query == REFERENCE
