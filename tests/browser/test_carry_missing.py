"""Capture alone: what holds when the carry file is blocked, missing, late, or there twice."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.browser.shops import ID, REFERENCE, stored
from tools.engines.browser import MIDDLE
from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from tests.browser.shops import Shop


@pytest.mark.parametrize("how", ["blocked", "missing"])
def test_without_the_file(shop: Shop, how: str) -> None:
    """When the file never comes, landing and plain payment links still work on later pages."""
    shop.carry_answer = Response(cut=True) if how == "blocked" else Response(status=404)
    browser = shop.visit("<p>Hello")
    assert stored(browser) == (ID, ID)
    shop.page(shop.link("?a=%20b#frag"), "/buy")
    browser.open(shop.url("/buy"))
    browser.click("#buy", MIDDLE)
    assert shop.left().target == f"/{shop.key}?a=%20b&{REFERENCE}"
    browser.open(shop.url("/buy"))
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}?a=%20b&{REFERENCE}"


def test_file_that_comes_late(shop: Shop) -> None:
    """Before a slow file has come a click carries the id; after it has come everything does."""
    shop.carry_hold = threading.Event()
    shop.page(
        f"""<a id=buy target=_blank href="{shop.pay}">Buy</a>
        <form action="{shop.pay}/form"><button id=form>Buy</button></form>"""
    )
    browser = shop.browser
    browser.open(shop.url(f"/?click_id={ID}"), wait=False)
    browser.until("return location.host && document.querySelector('#form')")
    assert browser.run("return !window.tracknow.decorate")
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}?{REFERENCE}"
    shop.carry_hold.set()
    browser.until("return document.readyState === 'complete'")
    browser.click("#form")
    assert shop.left().target == f"/{shop.key}/form?{REFERENCE}"


def test_click_while_the_file_is_on_its_way(shop: Shop) -> None:
    """A file that does not come yet delays neither the page's links nor the visitor's click."""
    shop.carry_hold = threading.Event()
    shop.page(shop.link())
    shop.browser.open(shop.url(f"/?click_id={ID}"), wait=False)
    shop.browser.until("return location.host && document.querySelector('#buy')")
    shop.browser.click("#buy")
    # The hold ends only now: what was asked for before was asked for without the file.
    assert shop.left().target == f"/{shop.key}?{REFERENCE}"
    shop.carry_hold.set()


@pytest.mark.parametrize("delivery", ["split", "inline", "file"])
def test_included_twice(shop: Shop, delivery: str) -> None:
    """A page that holds the script twice behaves as one that holds it once."""
    script = shop.use(delivery=delivery)
    browser = shop.visit(script.tags("/").decode() + shop.link("?a") + "<button id=x>.</button>")
    assert stored(browser) == (ID, ID)
    assert browser.attribute("#buy", "href") == f"{shop.pay}?a"
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}?a&{REFERENCE}"


def test_one_global(shop: Shop) -> None:
    """The script adds window.tracknow and nothing else to the page's names."""
    shop.use(clean_url=True, window_open=True, consent="event:agreed", cookie_domain=shop.host)
    browser = shop.visit(shop.link(), head="<script></script>")
    with_script = browser.run("return Object.getOwnPropertyNames(window)")
    shop.page(shop.link(), "/without", script=False)
    browser.open(shop.url("/without"))
    without = browser.run("return Object.getOwnPropertyNames(window)")
    assert set(with_script) - set(without) == {"tracknow"}
