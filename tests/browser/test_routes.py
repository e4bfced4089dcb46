"""Routes to Stripe that no event on the page announces: each brings the id along."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.browser.scenarios import Scenario, check, first_request
from tests.browser.shops import ID, REFERENCE
from tools.engines.fake_stripe import posted

if TYPE_CHECKING:
    from tests.browser.shops import Shop
    from tools.engines.fake_web import Request

BUTTON = '<script async src="https://js.stripe.com/v3/buy-button.js"></script>'
ELEMENT = "<stripe-buy-button style=display:block buy-button-id={key}></stripe-buy-button>"


def _click(code: str) -> str:
    return (
        f"<button id=x>Go</button><script>x.addEventListener('click', () => {{ {code} }})</script>"
    )


def _link(more: str = "") -> str:
    return f"const a = document.createElement('a'); a.href = 'PAY/m'; {more};"


def _form(more: str) -> str:
    return f"""const f = document.createElement('form'); f.action = 'PAY/m'; {more}
    f.innerHTML = '<input name=plan value=a>'; document.body.append(f);"""


WINDOW = {"window_open": True}
MADE_BY_SCRIPT = {
    "detached link": Scenario(_click(_link() + "a.click()"), "/m?REF", options=WINDOW),
    "detached link to a new tab": Scenario(
        _click(_link("a.target = '_blank'") + "a.click()"), "/m?REF", options=WINDOW
    ),
    "link attached for the click alone": Scenario(
        _click(_link("a.target = '_blank'") + "document.body.append(a); a.click(); a.remove()"),
        "/m?REF",
    ),
    "form": Scenario(_click(_form("") + "f.submit()"), "/m?plan=a&REF"),
    "form to a new tab": Scenario(_click(_form("f.target = '_blank';") + "f.submit()"), "/m?plan=a&REF"),
    "form that posts": Scenario(
        _click(_form("f.method = 'post';") + "f.submit()"), "/m?REF", body_sent=b"plan=a"
    ),
    "form that posts to a new tab": Scenario(
        _click(_form("f.method = 'post'; f.target = '_blank';") + "f.submit()"),
        "/m?REF",
        body_sent=b"plan=a",
    ),
    "form that is validated first": Scenario(_click(_form("") + "f.requestSubmit()"), "/m?plan=a&REF"),
    "form whose field is called submit": Scenario(
        _click(_form("") + "f.firstChild.name = 'submit'; HTMLFormElement.prototype.submit.call(f)"),
        "/m?submit=a&REF",
    ),
    "blank window that is sent on": Scenario(
        _click("const w = open('about:blank'); w.location = 'PAY/m'"),
        "/m?REF",
        options=WINDOW,
    ),
    "blank window that is sent on later": Scenario(
        _click("const w = open(); setTimeout(() => { w.location.href = 'PAY/m' }, 60)"),
        "/m?REF",
        options=WINDOW,
    ),
    "named window that is sent on": Scenario(
        _click("const w = open('', 'pay'); w.location.replace('PAY/m')"),
        "/m?REF",
        options=WINDOW,
    ),
    "blank window whose link is clicked": Scenario(
        _click(
            """const w = open(''); w.document.write('<a id=a href="PAY/m">Buy</a>');
            setTimeout(() => w.document.querySelector('a').click(), 60)"""
        ),
        "/m?REF",
        options=WINDOW,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE_BY_SCRIPT)
def test_route_made_by_a_script(shop: Shop, name: str) -> None:
    """Links, forms and windows that a script makes for one use carry the id."""
    check(shop, MADE_BY_SCRIPT[name])


def _frame(inner: str, how: str) -> str:
    if how == "srcdoc":
        return f"<iframe id=f width=400 height=150 srcdoc='{inner}'></iframe>"
    text = inner.replace("</script>", "<\\/script>")
    code = f"const d = f.contentDocument; d.open(); d.write(`{text}`); d.close()"
    if how == "written later":
        return f"<iframe id=f width=400 height=150></iframe><script>setTimeout(() => {{ {code} }}, 150)</script>"
    return f"<iframe id=f width=400 height=150></iframe><script>{code}</script>"


FRAMES = ["srcdoc", "written", "written later"]


@pytest.mark.parametrize("how", FRAMES)
@pytest.mark.parametrize("target", ["_blank", "_top"])
def test_link_in_a_frame_that_the_page_writes(shop: Shop, how: str, target: str) -> None:
    """A link in a frame of the page's own making is a link of the page."""
    link = f'<a id=y target={target} href="{shop.pay}/m">Buy</a>'
    browser = shop.visit(_frame(link, how))
    browser.until("return !!f.contentDocument.querySelector('#y')")
    browser.click_in_frame("#f", "#y")
    assert first_request(shop).target == f"/{shop.key}/m?{REFERENCE}"


@pytest.mark.parametrize("how", FRAMES)
def test_buy_button_in_a_frame_that_the_page_writes(shop: Shop, how: str) -> None:
    """Stripe's element in such a frame gets the reference."""
    browser = shop.visit(_frame(ELEMENT.format(key=shop.key), how))
    browser.until(
        """const found = f.contentDocument.querySelector('stripe-buy-button');
        return found && found.getAttribute('client-reference-id') === arguments[0]""",
        ID,
    )


def _shows(product: str, reference: str, request: Request) -> bool:
    return request.target == posted(product, reference)


LAZY = {
    "element upgraded late": """customElements.define('lazy-shop', class extends HTMLElement {
      connectedCallback() { this.attachShadow({mode: 'open'}).innerHTML = ELEMENT } })""",
    "root attached late": "host.attachShadow({mode: 'open'}).innerHTML = ELEMENT",
    "root filled late": "early.shadowRoot.innerHTML = `<p>${ELEMENT}</p>`",
    "root in a root": """const root = host.attachShadow({mode: 'open'}); root.innerHTML = '<div></div>';
      setTimeout(() => { root.firstChild.attachShadow({mode: 'open'}).innerHTML = ELEMENT }, 100)""",
}


@pytest.mark.parametrize("name", LAZY)
def test_buy_button_in_a_lazy_shadow_root(shop: Shop, name: str) -> None:
    """A buy button in a shadow root that comes long after the page shows the reference."""
    browser = shop.visit(
        f"""{BUTTON}<lazy-shop></lazy-shop><div id=host></div><div id=early></div>
        <script>early.attachShadow({{mode: 'open'}})</script>"""
    )
    browser.run(f"const ELEMENT = arguments[0]; {LAZY[name]}", ELEMENT.format(key=shop.key))
    shop.web.wait_for(partial(_shows, shop.key, ID), shop._started)


def test_newer_id_from_another_window(shop: Shop) -> None:
    """A buy button on screen shows the id that another window brings, without any input."""
    shop.page("<p>Other window", "/other")
    other = f'<a id=other target=_blank href="/other?click_id={ID}">Other window</a>'
    browser = shop.visit(other + BUTTON + ELEMENT.format(key=shop.key), path="/?click_id=older")
    shop.web.wait_for(partial(_shows, shop.key, "older"), shop._started)
    since = len(shop.web.requests)
    browser.click("#other")
    shop.web.wait_for(partial(_shows, shop.key, ID), since)
