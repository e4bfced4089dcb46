"""A cookie that the site's own server sets keeps its age while the visitor walks, buys and returns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.browser.shops import Shop

ID = "edge-1"
AGE = 300 * 86_400  # not the script's own 365 days, which would show that it wrote the cookie


def expiry(shop: Shop) -> float:
    """When the cookie ends, in seconds from now."""
    (cookie,) = (cookie for cookie in shop.browser.cookies() if cookie["name"] == "tn_click_id")
    assert cookie["value"] == ID
    return float(cookie["expiry"]) - time.time()


def test_a_servers_cookie_keeps_its_age(shop: Shop) -> None:
    """Landing, another page, the payment page and coming back leave it as the server set it."""
    header = f"tn_click_id={ID}; Max-Age={AGE}; Path=/; Secure; SameSite=Lax"
    link = shop.link()
    shop.page(link, headers={"Set-Cookie": header, "Cache-Control": "private, no-store"})
    shop.page(link, "/guide")
    browser = shop.browser
    browser.open(shop.url(f"/?click_id={ID}"))
    assert browser.run("return tracknow.clickId()") == ID
    seen = [expiry(shop)]
    browser.open(shop.url("/guide"))
    browser.run("return tracknow.ready.then(() => 1)")
    seen.append(expiry(shop))
    browser.click("#buy")
    assert shop.left().query == f"client_reference_id={ID}"
    browser.open(shop.url("/guide"))
    assert browser.run("return tracknow.clickId()") == ID
    seen.append(expiry(shop))
    assert all(AGE - 600 < seconds <= AGE + 5 for seconds in seen), seen
