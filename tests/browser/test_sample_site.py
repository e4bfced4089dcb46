"""The built sample shop in three engines: Material's instant navigation, consent, redirects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.shops import ID, REFERENCE, stored
from tools.demonstration.builds import build_mkdocs
from tools.demonstration.walk import SETTLED, agree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.shops import Shop


@pytest.fixture(scope="session")
def morrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build Morrow Coffee once per process."""
    folder = tmp_path_factory.mktemp("morrow")
    build_mkdocs(folder)
    return folder


def _pays(shop: Shop, selector: str) -> str:
    since = len(shop.web.requests)
    shop.browser.click(selector)
    return shop.web.wait_for(lambda request: request.host == "buy.stripe.com", since).target


def test_instant_navigation(shop: Shop, morrow: Path) -> None:
    """Pages that Material swaps in carry the id, and keep the tag as it was."""
    browser = shop.browser
    shop.web.put_folder(shop.host, morrow)
    browser.open(shop.url(f"/?click_id={ID}"))
    assert stored(browser) == (None, None)
    agree(browser)
    browser.run("window.samePage = true")
    for selector, path in (
        ('.md-tabs a[href*="coffees"]', "/coffees/"),
        ('article a[href$="huila/"]', "/coffees/huila/"),
        ('.md-footer a[href*="yirgacheffe"]', "/coffees/yirgacheffe/"),
    ):
        browser.until(SETTLED, selector)
        browser.click(selector)
        browser.until("return location.pathname === arguments[0]", path)
    browser.until(SETTLED, 'article a[href*="SAMPLEyirga250"]')
    assert browser.run("return window.samePage === true")
    assert browser.run("return document.head.querySelectorAll('script[data-tracknow]').length") == 2
    asked = _pays(shop, 'article a[href*="SAMPLEyirga250"]')
    assert asked == f"/SAMPLEyirga250?{REFERENCE}"


def test_redirect_stub(shop: Shop, morrow: Path) -> None:
    """A landing URL that mkdocs-redirects leads elsewhere loses no id, consent included."""
    browser = shop.browser
    shop.web.put_folder(shop.host, morrow)
    browser.open(shop.url(f"/go/spring/?click_id={ID}"), wait=False)
    browser.until("return location.pathname === '/welcome/' && document.readyState === 'complete'")
    assert stored(browser) == (None, None)
    browser.until("return !!(window.tracknow && tracknow.decorate)")
    browser.run("__md_set('__consent', {affiliate: true}); window.__left = true; location.reload()")
    browser.loaded()
    browser.until("return document.cookie.includes('tn_click_id')")
    asked = _pays(shop, 'article a[href*="SAMPLEtasting4x100"]')
    assert asked == f"/SAMPLEtasting4x100?utm_source=partner&prefilled_email=&{REFERENCE}"


def test_page_that_does_not_exist(shop: Shop, morrow: Path) -> None:
    """The 404 page loads the file from any depth, and keeps the id like any other."""
    browser = shop.browser
    shop.web.put_folder(shop.host, morrow)
    browser.open(shop.url(f"/no/such/page/?click_id={ID}"))
    browser.until("return !!(window.tracknow && tracknow.decorate)")
    agree(browser)
    assert stored(browser) == (ID, ID)
