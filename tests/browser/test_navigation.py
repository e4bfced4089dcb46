"""Pages that change without loading anew, come back from the past, or only lead elsewhere."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.browser.shops import ID, REFERENCE, stored
from tools.engines import npm
from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from tests.browser.shops import Shop


def test_back_forward_cache(shop: Shop) -> None:
    """A page that comes back from the back/forward cache carries the newest id."""
    body = (
        shop.link()
        + "<stripe-buy-button id=element></stripe-buy-button>"
        + "<script>addEventListener('pageshow', e => window.shown = e.persisted)</script>"
    )
    browser = shop.visit("<p>Landing", path="/?click_id=older")
    shop.page(body, "/first")
    shop.page("<p>Second", "/second")
    browser.run("location.href = '/first'")
    browser.until("return location.pathname === '/first' && document.readyState === 'complete'")
    browser.until("return element.getAttribute('client-reference-id') === 'older'")
    browser.run("location.href = arguments[0]", f"/second?click_id={ID}")
    browser.until("return location.pathname === '/second' && document.readyState === 'complete'")
    browser.back()
    browser.until("return location.pathname === '/first' && 'shown' in window")
    browser.until(f"return element.getAttribute('client-reference-id') === '{ID}'")
    browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_turbo(shop: Shop) -> None:
    """Turbo's page changes and frames keep the id; its new pages' links carry it."""
    turbo = npm.read("@hotwired/turbo", "8.0.23", "dist/turbo.es2017-umd.js")
    shop.web.put(shop.host, "/turbo.js", Response(turbo, "text/javascript"))
    head = "<script src=/turbo.js></script>"
    shop.page(shop.link() + "<turbo-frame id=f src=/frame></turbo-frame>", "/next", head=head)
    shop.page(f'<turbo-frame id=f><a id=x href="{shop.pay}/f">Buy</a></turbo-frame>', "/frame")
    browser = shop.visit('<a id=go href="/next">Next</a>', head=head)
    browser.run("window.same = true")
    browser.click("#go")
    browser.until("return location.pathname === '/next' && document.querySelector('#x')")
    assert browser.run("return window.same === true")
    assert browser.run("return document.querySelectorAll('script[data-tracknow]').length") == 2
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}?{REFERENCE}"


def test_turbo_brings_an_id(shop: Shop) -> None:
    """The way of a visitor whose first page had no id and who landed again by a full load."""
    turbo = npm.read("@hotwired/turbo", "8.0.23", "dist/turbo.es2017-umd.js")
    shop.web.put(shop.host, "/turbo.js", Response(turbo, "text/javascript"))
    head = "<script src=/turbo.js></script>"
    shop.page(f'<form action="{shop.pay}"><button id=x>Buy</button></form>', "/next", head=head)
    browser = shop.visit('<a id=go href="/next">Next</a>', head=head, path="/")
    browser.open(shop.url(f"/?click_id={ID}"))
    browser.click("#go")
    browser.until("return location.pathname === '/next' && document.querySelector('#x')")
    browser.click("#x")
    assert shop.left().target == f"/{shop.key}?{REFERENCE}"


def test_htmx(shop: Shop) -> None:
    """What htmx swaps into the page carries the id."""
    htmx = npm.read("htmx.org", "2.0.4", "dist/htmx.min.js")
    shop.web.put(shop.host, "/htmx.js", Response(htmx, "text/javascript"))
    part = f'<a id=buy href="{shop.pay}?a=1">Buy</a><form id=f action="{shop.pay}/f"></form>'
    shop.web.put(shop.host, "/part", Response(part.encode()))
    browser = shop.visit(
        "<button id=get hx-get=/part hx-target=#here>Show</button><div id=here></div>",
        head="<script src=/htmx.js></script>",
    )
    browser.click("#get")
    browser.until("return document.querySelector('#buy')")
    assert browser.run("return document.querySelector('#f').elements.length") == 0
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}?a=1&{REFERENCE}"


@pytest.mark.parametrize("delivery", ["split", "file"])
@pytest.mark.parametrize("how", ["script", "refresh", "both"])
def test_redirect_page(shop: Shop, how: str, delivery: str) -> None:
    """A page that only leads elsewhere keeps the id, though what follows has no parameter."""
    shop.use(delivery=delivery)
    script = "<script>location.replace('/target')</script>"
    refresh = '<meta http-equiv=refresh content="0; url=/target">'
    head = {"script": script, "refresh": refresh, "both": script + refresh}[how]
    shop.page(shop.link(), "/target")
    shop.page("Redirecting", "/old", head=head, recorder="")
    browser = shop.browser
    browser.open(shop.url(f"/old?click_id={ID}"), wait=False)
    browser.until("return location.pathname === '/target' && document.readyState === 'complete'")
    assert stored(browser) == (ID, ID)
    browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_redirect_page_whose_file_is_late(shop: Shop) -> None:
    """The id survives a redirect page that is left before the carry file has come."""
    shop.carry_hold = threading.Event()
    shop.page(
        "Redirecting", "/old", head="<script>location.replace('/target')</script>", recorder=""
    )
    shop.carry_hold = None
    shop.use(window_days=30)
    shop.page(shop.link(), "/target")
    browser = shop.browser
    browser.open(shop.url(f"/old?click_id={ID}"), wait=False)
    browser.until("return location.pathname === '/target' && document.readyState === 'complete'")
    assert stored(browser) == (ID, ID)


def test_page_written_anew(shop: Shop) -> None:
    """A body that an application replaces as a whole keeps the id on its new links."""
    browser = shop.visit("<div id=app></div>")
    browser.run(
        """const body = document.createElement('body');
        body.innerHTML = '<main><a id=buy href="' + arguments[0] + '">Buy</a></main>';
        document.body.replaceWith(body);
        history.pushState({}, '', '/elsewhere')""",
        shop.pay,
    )
    browser.click("#buy")
    assert shop.left().query == REFERENCE
