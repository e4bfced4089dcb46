"""Roads to Stripe that a script takes: navigations, windows, Stripe's own elements."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.browser.shops import ID, REFERENCE, stored
from tools.engines.browser import RIGHT
from tools.engines.fake_stripe import posted

if TYPE_CHECKING:
    from tests.browser.shops import Shop
    from tools.engines.browser import Browser
    from tools.engines.fake_web import Request

ELEMENTS = [
    ("stripe-buy-button", "buy-button-id", "buy-button"),
    ("stripe-pricing-table", "pricing-table-id", "pricing-table"),
]


def _posted(product: str, reference: str, request: Request) -> bool:
    return request.target == posted(product, reference)


def _has_navigation(browser: Browser) -> bool:
    """Tell whether this engine has the Navigation API; it is WebKitGTK alone that has not."""
    has = bool(browser.run("return 'navigation' in window"))
    assert has == (browser.name != "webkit")
    return has


@pytest.mark.parametrize(
    "code",
    [
        "location.href = url",
        "location = url",
        "location.assign(url)",
        "location.replace(url)",
        "window.open(url, '_self')",
        "setTimeout(() => { location.href = url })",
        "x.after(Object.assign(document.createElement('a'), {href: url})); x.nextSibling.click()",
    ],
)
def test_navigation_by_a_handler(shop: Shop, code: str) -> None:
    """A handler that sends the visitor to Stripe carries the id where the engine tells of it."""
    browser = shop.visit(
        f"""<button id=x>Buy</button><script>
        x.addEventListener('click', () => {{ const url = '{shop.pay}?locale=pt'; {code} }})</script>"""
    )
    carried = _has_navigation(browser) or "nextSibling" in code
    browser.click("#x")
    assert shop.left().target == f"/{shop.key}?locale=pt" + (f"&{REFERENCE}" if carried else "")
    assert len({request.target for request in shop.asked()}) == 1


def test_history_of_a_navigation_by_script(shop: Shop) -> None:
    """The way back from Stripe leads to the shop, one step away."""
    browser = shop.visit(
        f"""<button id=x>Buy</button><script>
        x.addEventListener('click', () => {{ location.href = '{shop.pay}' }})</script>"""
    )
    browser.run("window.__left = true")
    browser.click("#x")
    shop.left()
    browser.loaded()
    browser.back()
    browser.until(f"return location.host === '{shop.host}'")
    assert browser.url == shop.url(f"/?click_id={ID}")


def test_history_of_a_replacement_by_script(shop: Shop) -> None:
    """location.replace() stays what it is: the way back skips the page that called it."""
    shop.page("<p>First", "/first")
    shop.browser.open(shop.url("/first"))
    browser = shop.visit(
        f"""<button id=x>Buy</button><script>
        x.addEventListener('click', () => {{ location.replace('{shop.pay}') }})</script>"""
    )
    browser.run("window.__left = true")
    browser.click("#x")
    shop.left()
    browser.loaded()
    browser.back()
    browser.until(f"return location.host === '{shop.host}'")
    assert browser.url == shop.url("/first")


def test_post_form_that_changes_while_it_is_sent(shop: Shop) -> None:
    """What a form posts is not lost, though its action leads to Stripe at the last moment only."""
    browser = shop.visit(
        f"""<form id=f method=post action="/no"><input name=a value=b></form><button id=x>Buy</button>
        <script>f.addEventListener('submit', () => {{ f.action = '{shop.pay}' }});
        x.addEventListener('click', () => f.requestSubmit())</script>"""
    )
    browser.click("#x")
    request = shop.left()
    assert (request.method, request.body) == ("POST", b"a=b")


@pytest.mark.parametrize("wrapped", [False, True])
def test_window_open_in_a_text(shop: Shop, wrapped: bool) -> None:
    """The text of an ``onclick`` attribute is the merchant's: window.open() in it is as any other."""
    shop.use(window_open=wrapped)
    code = f"window.open('{shop.pay}')"
    browser = shop.visit(f'<button id=x onclick="{code}">Buy</button>')
    browser.click("#x")
    assert shop.left().target == f"/{shop.key}" + (f"?{REFERENCE}" if wrapped else "")
    assert browser.attribute("#x", "onclick") == code


@pytest.mark.parametrize("wrapped", [False, True])
def test_window_open(shop: Shop, wrapped: bool) -> None:
    """window.open() carries the id when the merchant asked for it, and is left alone otherwise."""
    shop.use(window_open=wrapped)
    browser = shop.visit(
        f"""<button id=x>Buy</button><script>
        x.addEventListener('click', () => {{ window.opened = window.open('{shop.pay}') }})
        </script>"""
    )
    browser.click("#x")
    assert shop.left().target == f"/{shop.key}" + (f"?{REFERENCE}" if wrapped else "")
    assert browser.run("return window.opened !== null")


@pytest.mark.parametrize("wrapped", [False, True])
def test_click_on_a_link_outside_the_page(shop: Shop, wrapped: bool) -> None:
    """A link that a script makes and clicks without inserting it carries the id on request."""
    shop.use(window_open=wrapped)
    browser = shop.visit(
        f"""<button id=x>Buy</button><script>x.addEventListener('click', () => {{
        const link = Object.assign(document.createElement('a'), {{href: '{shop.pay}', target: '_blank'}});
        link.click() }})</script>"""
    )
    browser.click("#x")
    assert shop.left().target == f"/{shop.key}" + (f"?{REFERENCE}" if wrapped else "")


def test_empty_window_that_is_written(shop: Shop) -> None:
    """What a page writes into an empty window of its own carries the id like the page itself."""
    shop.use(window_open=True)
    browser = shop.visit(
        f"""<button id=x>Buy</button><script>x.addEventListener('click', () => {{
        const view = window.open('');
        view.document.body.innerHTML = '<a id=buy href="{shop.pay}">Buy</a>';
        setTimeout(() => view.document.getElementById('buy').click(), 50) }})</script>"""
    )
    browser.click("#x")
    assert shop.left().query == REFERENCE


def test_window_open_keeps_its_other_uses(shop: Shop) -> None:
    """The wrapped window.open() opens an empty window and other sites as ever."""
    shop.use(window_open=True)
    shop.page("<p>Other", "/other", script=False)
    browser = shop.visit(
        """<button id=x>Open</button><script>x.addEventListener('click', () => {
        window.results = [open('/other', 'one').opener === window, open.name, open.length] })</script>"""
    )
    browser.click("#x")
    assert browser.until("return window.results") == [True, "open", 0]


@pytest.mark.parametrize(("element", "attribute", "script"), ELEMENTS)
def test_stripe_element(shop: Shop, element: str, attribute: str, script: str) -> None:
    """Stripe's element gets the reference, and its own button leads to Stripe with it."""
    tag = f"<script async src=https://js.stripe.com/v3/{script}.js></script>"
    browser = shop.visit(
        f"{tag}<{element} {attribute}={shop.key} style='display:block'></{element}>"
    )
    assert browser.attribute(element, "client-reference-id") == ID
    shop.web.wait_for(partial(_posted, shop.key, ID))
    browser.click_in_frame(f"{element} >>> iframe", "a")
    assert shop.left().target == f"/{shop.key}?{REFERENCE}"


@pytest.mark.parametrize(("element", "attribute", "script"), ELEMENTS)
def test_stripe_element_before_the_id(
    shop: Shop, element: str, attribute: str, script: str
) -> None:
    """An element that is mounted already learns of an id that comes or changes later."""
    tag = f"<script src=https://js.stripe.com/v3/{script}.js></script>"
    browser = shop.visit(
        f"{tag}<{element} {attribute}={shop.key} style='display:block'></{element}><p id=p>Text",
        path="/",
    )
    shop.web.wait_for(partial(_posted, shop.key, ""))
    assert browser.attribute(element, "client-reference-id") is None
    for value in ("from-another-tab", ID):
        browser.run(
            "document.cookie = `tn_click_id=${arguments[0]};max-age=9999;path=/;secure`", value
        )
        browser.click("#p")
        shop.web.wait_for(partial(_posted, shop.key, value))
    assert browser.attribute(element, "client-reference-id") == ID


def test_stripe_element_made_by_a_framework(shop: Shop) -> None:
    """An element that a script inserts, and one whose own reference the merchant set."""
    browser = shop.visit("<div id=here></div>")
    browser.run(
        """here.innerHTML = '<stripe-buy-button id=a></stripe-buy-button>' +
        '<stripe-buy-button id=b client-reference-id="order-7"></stripe-buy-button>'"""
    )
    browser.until("return a.hasAttribute('client-reference-id')")
    assert browser.attribute("#a", "client-reference-id") == ID
    assert browser.attribute("#b", "client-reference-id") == "order-7"
    browser.run("a.removeAttribute('client-reference-id')")
    browser.until(f"return a.getAttribute('client-reference-id') === '{ID}'")


def test_address_joined_in_a_handler(shop: Shop) -> None:
    """The text of an ``onclick`` attribute is left alone; what it asks for carries the reference."""
    code = f"location.href = '{shop.pay}?a=' + 7"
    browser = shop.visit(f'<button id=x onclick="{code}">Buy</button>')
    assert browser.attribute("#x", "onclick") == code
    carried = _has_navigation(browser)
    browser.click("#x")
    assert shop.left().query == "a=7" + (f"&{REFERENCE}" if carried else "")


# Runs after every listener that is there when the event begins, ours included.
LAST = """document.addEventListener(type,
  () => addEventListener(type, look, {once: true}), {capture: true, once: true})"""


def test_copied_link(shop: Shop) -> None:
    """The link that a visitor copies or opens from the context menu carries the reference."""
    browser = shop.visit(
        f"""<a id=x href="/other">Buy</a><script>
        x.addEventListener('mousedown', () => {{ x.setAttribute('href', '{shop.pay}') }});
        x.addEventListener('contextmenu', () => {{ window.own = x.href }});
        const type = 'contextmenu', look = () => {{ window.seen = x.href }};
        {LAST}</script>"""
    )
    browser.click("#x", RIGHT)
    if browser.name == "webkit":
        # Its driver releases the mouse over the menu's first entry, which opens the link.
        assert shop.left().query == REFERENCE
    else:
        assert browser.until("return window.seen") == f"{shop.pay}?{REFERENCE}"
        assert browser.run("return window.own") == shop.pay


def test_dragged_link(shop: Shop) -> None:
    """The link that a visitor drags away carries the reference, in every form that a target reads."""
    browser = shop.visit(
        f"""<a id=x href="{shop.pay}?a=1&amp;b=2" style="display:inline-block;padding:20px">Buy</a>
        <script>const type = 'dragstart', look = ({{dataTransfer: data}}) => {{
          window.seen = [...data.types].map(type => data.getData(type)) }};
        {LAST}</script>"""
    )
    browser.drag("#x", (200, 120))
    seen = [text for text in browser.until("return window.seen") if shop.pay in text]
    assert seen
    assert all(text.count(REFERENCE) == 1 for text in seen), seen
    browser.until("return x.getAttribute('href') === arguments[0]", f"{shop.pay}?a=1&b=2")


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("target", ["_self", "_blank"])
def test_form_sent_by_script(shop: Shop, method: str, target: str) -> None:
    """form.submit(), which fires no event, sends the reference; the form is as it was after it."""
    browser = shop.visit(
        f"""<form id=f action="{shop.pay}" method={method} target={target}>
        <input name=prefilled_email value="a@b.c"></form>
        <button id=x>Buy</button><script>x.onclick = () => {{
          const before = f.outerHTML;
          f.submit();
          if (f.outerHTML !== before) navigator.sendBeacon('/__report', f.outerHTML);
        }}</script>"""
    )
    assert browser.run("return f.elements.length") == 1
    browser.click("#x")
    fields = "prefilled_email=a%40b.c"
    asked = shop.left()
    if method == "get":
        assert asked.query == f"{fields}&{REFERENCE}"
    else:
        assert (asked.query, asked.body) == (REFERENCE, fields.encode())


def test_what_a_form_posts_stays(shop: Shop) -> None:
    """A POST form carries the reference in its address, and posts what it posted."""
    browser = shop.visit(
        f"""<form method=post action="{shop.pay}"><input name=a value=b><button id=x>Buy</button>
        </form>"""
    )
    browser.click("#x")
    request = shop.left()
    assert (request.query, request.body) == (REFERENCE, b"a=b")


@pytest.mark.parametrize(("value", "sent"), [("order-7", "order-7"), ("", ID)])
def test_get_form_with_a_field_of_its_own(shop: Shop, value: str, sent: str) -> None:
    """A field that the merchant filled stays, an empty one is filled; none is added beside it."""
    browser = shop.visit(
        f"""<form action="{shop.pay}?lost=1"><input name=client_reference_id value="{value}">
        <button id=x>Buy</button></form>"""
    )
    fields = "return [...document.querySelectorAll('input')].map(one => one.value)"
    assert browser.run(fields) == [value]
    browser.click("#x")
    assert shop.left().query == f"client_reference_id={sent}"


def test_script_that_undoes_ours(shop: Shop) -> None:
    """Somebody's observer that removes the reference again and again does not hang the page."""
    browser = shop.visit(
        """<stripe-buy-button id=element></stripe-buy-button><script>window.undone = 0;
        new MutationObserver(() => { if (element.hasAttribute('client-reference-id')) {
          element.removeAttribute('client-reference-id'); undone++ } })
          .observe(element, {attributes: true})</script>"""
    )
    assert 0 < browser.run("return undone") < 5000


def test_listeners_that_undo_each_other(shop: Shop) -> None:
    """Somebody's navigation listener that removes the reference again and again comes to an end."""
    browser = shop.visit(
        f"""<button id=x>Buy</button><script>
        if (window.navigation) navigation.addEventListener('navigate', event => {{
          const url = new URL(event.destination.url);
          if (!url.searchParams.has('client_reference_id')) return;
          event.preventDefault();
          url.searchParams.delete('client_reference_id');
          location.assign(url) }});
        x.addEventListener('click', () => {{ location.href = '{shop.pay}' }})</script>"""
    )
    browser.click("#x")
    assert shop.left().path == f"/{shop.key}"


def test_visitors_without_id(shop: Shop) -> None:
    """Without any id no surface is touched."""
    markup = (
        f'<a id="buy" href="{shop.pay}?a">Buy</a><form action="{shop.pay}"><button>B</button></form>'
        f"<stripe-buy-button></stripe-buy-button><button onclick=\"location='{shop.pay}'\"></button>"
    )
    browser = shop.visit(f"<div id=all>{markup}</div>", path="/")
    before = browser.run("const box = document.createElement('div'); box.innerHTML = arguments[0];"
                         "return box.innerHTML", markup)  # fmt: skip
    assert browser.run("return document.getElementById('all').innerHTML") == before
    assert stored(browser) == (None, None)
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}?a"
