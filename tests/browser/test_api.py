"""What a merchant's own code can ask, and what a debugged page says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.shops import ID, REFERENCE, stored

if TYPE_CHECKING:
    from tests.browser.shops import Shop


def test_click_id_and_decorate(shop: Shop) -> None:
    """``clickId`` gives the id for a Checkout Session, ``decorate`` a URL that carries it."""
    browser = shop.visit("<p>Hello")
    assert browser.run("return tracknow.clickId()") == ID
    assert browser.run("return tracknow.decorate(arguments[0])", f"{shop.pay}?a=%20#f") == (
        f"{shop.pay}?a=%20&{REFERENCE}#f"
    )
    assert browser.run("return tracknow.decorate('/other')") == "/other"


def test_without_an_id(shop: Shop) -> None:
    """Without an id ``clickId`` is null and ``decorate`` gives back what it got."""
    browser = shop.visit("<p>Hello", path="/")
    assert browser.run(
        "return [tracknow.clickId(), tracknow.decorate(arguments[0])]", shop.pay
    ) == [
        None,
        shop.pay,
    ]


def test_nonsense_does_not_throw(shop: Shop) -> None:
    """``decorate`` gives a text back whatever it is given, and throws nothing."""
    browser = shop.visit("<p>Hello")
    assert browser.run(
        "return [undefined, null, 7, 'http://', {}, 'https://['].map(one => tracknow.decorate(one))"
    ) == ["undefined", "null", "7", "http://", "[object Object]", "https://["]


def test_ready(shop: Shop) -> None:
    """``ready`` is kept once the store was read; code that awaits it finds the id."""
    browser = shop.visit(
        """<script>addEventListener('DOMContentLoaded', () =>
        tracknow.ready.then(api => { window.found = api.clickId() }))</script>"""
    )
    assert browser.until("return window.found") == ID


def test_debug_tells_what_happened(shop: Shop) -> None:
    """With tn_debug=1 the console says what was stored, and what a link takes in its moment."""
    body = (
        f'<a id=buy target=_blank href="{shop.pay}">.</a>'
        f'<a id=mine target=_blank href="{shop.pay}/mine?client_reference_id=order-7">.</a>'
        f'<form target=_blank action="{shop.pay}"><button id=send>.</button></form>'
    )
    browser = shop.visit(body, path=f"/?tn_debug=1&click_id={ID}")
    assert browser.run("return __record.log") == [f"TNB1 {ID}"]
    for selector in ("#buy", "#mine", "#send"):
        browser.run("document.querySelector(arguments[0]).click()", selector)
    log = browser.run("return __record.log")
    assert f"TNB5 {shop.pay}?{REFERENCE}" in log
    assert "TNB5 [object HTMLFormElement]" in log
    assert f"TNB6 {shop.pay}/mine?client_reference_id=order-7" in log


def test_debug_tells_what_was_refused(shop: Shop) -> None:
    """With tn_debug=1 the console says that a landing value was refused, and that there is none."""
    browser = shop.visit(shop.link(), path="/?click_id={click_id}&tn_debug=1")
    codes = [line[:4] for line in browser.run("return __record.log")]
    assert (codes[0], codes[-1]) == ("TNB4", "TNB3")
    assert stored(browser) == (None, None)


def test_silent_without_debug(shop: Shop) -> None:
    """Without tn_debug=1 nothing is written to the console."""
    browser = shop.visit(shop.link(), path="/?click_id={click_id}")
    browser.open(shop.url(f"/?click_id={ID}"))
    assert browser.run("return __record.log") == []
