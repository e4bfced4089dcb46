"""What a link says already stays, byte for byte, in what the browser asks Stripe for."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import pytest

from tests.browser.shops import ID, REFERENCE
from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from tests.browser.shops import Shop
    from tools.engines.browser import Browser

# What follows the path in a link, and what follows it in a link with the reference, which is
# spelled as the browser asks for it.
KEPT = [
    ("", f"?{REFERENCE}"),
    ("?", f"?{REFERENCE}"),
    ("#frag", f"?{REFERENCE}#frag"),
    ("?a=1#frag?x", f"?a=1&{REFERENCE}#frag?x"),
    ("?prefilled_promo_code=SPRING%20TEN", f"?prefilled_promo_code=SPRING%20TEN&{REFERENCE}"),
    ("?a=b+c&d=%27%2f", f"?a=b+c&d=%27%2f&{REFERENCE}"),
    ("?x&y=&=z", f"?x&y=&=z&{REFERENCE}"),
    ("?a=1&", f"?a=1&{REFERENCE}"),
    (
        "?prefilled_email=a%40b.c&utm_source=é",
        f"?prefilled_email=a%40b.c&utm_source=%C3%A9&{REFERENCE}",
    ),
    ("?a=(b)*'~!", f"?a=(b)*%27~!&{REFERENCE}"),
    ("?a=%zz", f"?a=%zz&{REFERENCE}"),
]


# Clicks every link and gives its attribute before, in the moment of the click, and after it.
CLICKED = """const links = [...document.querySelectorAll('a')], done = arguments[arguments.length - 1];
const read = () => links.map(link => link.getAttribute('href'));
const stop = event => event.preventDefault(), before = read(), moment = [];
for (const link of links) {
  // The last listener of all, which sees what the browser would follow.
  addEventListener('click', () => addEventListener('click', event => {
    moment.push(link.getAttribute('href'));
    event.preventDefault() }, {once: true}), {capture: true, once: true});
  link.click();
}
window.clicked = null;
setTimeout(() => { window.clicked = [before, moment, read()] }, 50)"""


def clicked(browser: Browser) -> list[list[str]]:
    """Return what the links of a page say before, in and after the moment they are clicked."""
    browser.run(CLICKED)
    return browser.until("return window.clicked")  # type: ignore[no-any-return]


def test_other_bytes_of_a_link(shop: Shop) -> None:
    """The reference is added at the end of the query; nothing else of what is asked for changes."""
    links = "".join(f'<a href="{html.escape(shop.pay + rest)}">.</a>' for rest, _ in KEPT)
    plain = [shop.pay + rest for rest, _ in KEPT]
    before, moment, after = clicked(shop.visit(links))
    assert moment == [shop.pay + decorated for _, decorated in KEPT]
    assert before == after == plain


@pytest.mark.parametrize(
    ("rest", "asked"),
    [
        ("?prefilled_promo_code=A%20B&locale=pt#frag", f"?prefilled_promo_code=A%20B&locale=pt&{REFERENCE}"),
        ("?a=b+c&d=%27%2F&=z", f"?a=b+c&d=%27%2F&=z&{REFERENCE}"),
    ],
)  # fmt: skip
def test_other_bytes_of_a_request(shop: Shop, rest: str, asked: str) -> None:
    """What Stripe is asked for differs from the link by the reference alone."""
    shop.visit(shop.link(html.escape(rest))).click("#buy")
    assert shop.left().target == f"/{shop.key}{asked}"


def test_a_page_in_another_encoding(shop: Shop) -> None:
    """The query of a link is asked for in the encoding of its page, not in ours."""
    shop.page("")  # which publishes the script file
    assert shop.script
    text = shop.script.tags("/") + shop.link("?name=&eacute;").encode()
    shop.web.put(shop.host, "/", Response(text, "text/html; charset=windows-1252"))
    shop.browser.open(shop.url(f"/?click_id={ID}"))
    shop.browser.click("#buy")
    assert shop.left().target == f"/{shop.key}?name=%E9&{REFERENCE}"


NOT_STRIPE = [
    "https://buy.stripe.com.evil.example/x",
    "https://buy.stripe.com@evil.example/x",
    "https://evil.example/?u=https://buy.stripe.com/x",
    "https://evil.example\\@buy.stripe.com/x",
    "https://buy.stripe.com:8443/x",
    "https://notbuy.stripe.com/x",
    "https://dashboard.stripe.com/x",
    "mailto:buy@buy.stripe.com",
    "javascript:void'https://buy.stripe.com/x'",
    "/buy.stripe.com/x",
    "https://",
]


def test_what_only_looks_like_stripe(shop: Shop) -> None:
    """Links to other hosts stay as they are, at load and after a click."""
    browser = shop.visit("".join(f'<a href="{html.escape(url)}">.</a>' for url in NOT_STRIPE))
    assert clicked(browser) == [NOT_STRIPE] * 3


EXISTING = [
    ("?client_reference_id=order-7", f"?{REFERENCE}"),
    ("?a=1&client_reference_id=order-7&b=%20#f", f"?a=1&b=%20&{REFERENCE}#f"),
    ("?client%5Freference_id=order-7", f"?{REFERENCE}"),
]


@pytest.mark.parametrize("existing", ["keep", "overwrite"])
def test_existing_reference(shop: Shop, existing: str) -> None:
    """A reference in the link stays by default, and gives way when the merchant says so."""
    shop.use(existing_reference=existing)
    links = "".join(
        f'<a id=x{n} href="{shop.pay}{was}">.</a>' for n, (was, _) in enumerate(EXISTING)
    )
    browser = shop.visit(links)
    column = 0 if existing == "keep" else 1
    before, moment, after = clicked(browser)
    assert moment == [shop.pay + both[column] for both in EXISTING]
    assert before == after == [shop.pay + was for was, _ in EXISTING]
    browser.click("#x0")
    assert shop.left().target == f"/{shop.key}{EXISTING[0][column]}"


def test_reference_that_stripe_would_drop(shop: Shop) -> None:
    """An empty or invalid reference in the link is replaced: Stripe would drop it unseen."""
    browser = shop.visit(
        f'<a id=buy href="{shop.pay}?client_reference_id=&a=1">.</a>'
        f'<a href="{shop.pay}?client_reference_id=order%207">.</a>'
    )
    assert clicked(browser)[1] == [f"{shop.pay}?a=1&{REFERENCE}", f"{shop.pay}?{REFERENCE}"]
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}?a=1&{REFERENCE}"


def test_never_twice(shop: Shop) -> None:
    """However often a link is seen, clicked, copied and landed on again, it has one reference."""
    browser = shop.visit(
        f"""<a id=buy href="{shop.pay}?{REFERENCE}">.</a><a id=copy href="/no">.</a>"""
    )
    for _ in range(3):
        assert clicked(browser)[1][0] == f"{shop.pay}?{REFERENCE}"
    browser.run("copy.href = buy.href; buy.replaceWith(buy.cloneNode(true))")
    browser.open(shop.url("/?click_id=newer"))
    assert clicked(browser)[1][0] == f"{shop.pay}?client_reference_id=newer"
    browser.open(shop.url(f"/?click_id={ID}"))
    browser.click("#buy")
    assert shop.left().query == REFERENCE
