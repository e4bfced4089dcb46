"""The merchant's own code reads the merchant's own page: addresses, selectors, handlers, fields."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.browser.scenarios import FRAME, Scenario, check, first_request, opening, play
from tests.browser.shops import RECORDER, REFERENCE
from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from tests.browser.shops import Shop

LINK = '<a id=buy href="PAY/m">Buy</a><button id=x>Go</button>'
SELF = '<a id=x href="PAY/m">Buy</a>'
FORM = '<form id=f action="PAY/m"><input name=plan value=a><button id=x>Buy</button></form>'


def _on_click(code: str, body: str = LINK, parameter: str = "") -> str:
    return (
        f"{body}<script>x.addEventListener('click', async ({parameter}) => {{ {code} }})</script>"
    )


# A route that builds on an address which it reads from the page.
READS = {
    "navigates to href and a parameter": Scenario(
        _on_click("location.href = buy.href + '?prefilled_email=a%40b.c'"),
        "/m?prefilled_email=a%40b.c&REF",
        by_script=True,
    ),
    "link cancels, then navigates to its href and a parameter": Scenario(
        _on_click(
            "e.preventDefault(); location.assign(x.href + '?prefilled_email=a')", SELF, "e"
        ),
        "/m?prefilled_email=a&REF",
        by_script=True,
    ),
    "link cancels, then navigates after a timer": Scenario(
        _on_click(
            """e.preventDefault();
            setTimeout(() => { location.href = x.href + '?prefilled_email=a' })""",
            SELF,
            "e",
        ),
        "/m?prefilled_email=a&REF",
        by_script=True,
    ),
    "link cancels, then navigates after a slow answer": Scenario(
        _on_click(
            """e.preventDefault(); await new Promise(done => setTimeout(done, 60));
            location.href = x.href + '?prefilled_email=a'""",
            SELF,
            "e",
        ),
        "/m?prefilled_email=a&REF",
        by_script=True,
    ),
    "link adds a parameter to its href": Scenario(
        _on_click("x.href += '?prefilled_promo_code=SAVE'", SELF),
        "/m?prefilled_promo_code=SAVE&REF",
    ),
    "another element adds a parameter to the href": Scenario(
        _on_click("buy.href += '?prefilled_promo_code=SAVE'"),
        "/m?prefilled_promo_code=SAVE&REF",
        ("#x", "#buy"),
    ),
    "parameter added at pointerdown": Scenario(
        SELF
        + """<script>x.addEventListener('pointerdown', () => {
        x.href += '?prefilled_promo_code=SAVE' })</script>""",
        "/m?prefilled_promo_code=SAVE&REF",
    ),
    "parameter added by a script that comes later": Scenario(
        SELF, "/m?prefilled_promo_code=SAVE&REF", before="x.href += '?prefilled_promo_code=SAVE'"
    ),
    "handler in the markup gets its own href": Scenario(
        """<script>const go = url => { location.href = url + '?prefilled_email=a'; return false }
        </script><a id=x href="PAY/m" onclick="return go(this.href)">Buy</a>""",
        "/m?prefilled_email=a&REF",
        by_script=True,
    ),
    "new window with href and a parameter": Scenario(
        _on_click("open(buy.href + '?prefilled_email=a')"),
        "/m?prefilled_email=a&REF",
        options={"window_open": True},
    ),
    "form's action and its fields": Scenario(
        FORM
        + """<script>f.addEventListener('submit', e => { e.preventDefault();
        location.href = f.action + '?' + new URLSearchParams(new FormData(f)) })</script>""",
        "/m?plan=a&REF",
        by_script=True,
    ),
    "form's action gets a parameter": Scenario(
        FORM.replace("<form", "<form method=post")
        + """<script>f.addEventListener('submit', () => {
        f.action += '?prefilled_promo_code=SAVE' })</script>""",
        "/m?prefilled_promo_code=SAVE&REF",
        body_sent=b"plan=a",
    ),
    "button's formaction gets a parameter": Scenario(
        _on_click(
            "x.formAction += '?prefilled_promo_code=SAVE'",
            '<form method=post action="/missed"><button id=x formaction="PAY/m">Buy</button></form>',
        ),
        "/m?prefilled_promo_code=SAVE&REF",
        body_sent=b"",
    ),
    "onclick joins two texts": Scenario(
        """<button id=x onclick="var u = 'PAY/'; location.href = u + 'abc'">Buy</button>""",
        "/abc?REF",
        by_script=True,
    ),
    "onclick passes two texts to a function": Scenario(
        """<script>const pay = (base, key) => { location.href = base + key }</script>
        <button id=x onclick="pay('PAY/', 'abc')">Buy</button>""",
        "/abc?REF",
        by_script=True,
    ),
    "switch compares href": Scenario(
        _on_click("buy.href = buy.href === 'PAY/m' ? 'PAY/y' : 'PAY/m'"), "/y?REF", ("#x", "#buy")
    ),
    "link compares its own href": Scenario(
        _on_click("if (x.getAttribute('href') !== 'PAY/m') x.href = '/missed'", SELF), "/m?REF"
    ),
    "look-up by the exact href": Scenario(
        _on_click("(document.querySelector('a[href=\"PAY/m\"]') || {click() { location = '/missed' }}).click()"),
        "/m?REF",
    ),
    "look-up by the end of href": Scenario(
        _on_click(
            "if (!document.querySelector('a[href$=\"/m\"]')) x.href = '/missed'", SELF
        ),
        "/m?REF",
    ),
    "parameter behind a decorated URL, in a link": Scenario(
        SELF, "/m?prefilled_email=a&REF", before="x.href = tracknow.decorate('PAY/m') + '?prefilled_email=a'"
    ),
    "parameter behind a decorated URL, by script": Scenario(
        _on_click("location.href = tracknow.decorate('PAY/m') + '?prefilled_email=a'"),
        "/m?prefilled_email=a&REF",
        by_script=True,
        # The page asked for the reference, and nothing there can part the two again.
        webkit="/m?REF?prefilled_email=a",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READS)
def test_code_that_builds_on_what_it_reads(shop: Shop, name: str) -> None:
    """Code reads the merchant's own address: its parameter, plan and target reach Stripe."""
    check(shop, READS[name])


def test_address_that_the_page_reports(shop: Shop) -> None:
    """Handlers and style sheets see the merchant's address during the click, too."""
    browser = play(
        shop,
        Scenario(
            """<a id=x target=_blank href="PAY/m">Buy</a><script>window.seen = [];
            const see = () => seen.push(x.href + ' ' + getComputedStyle(x).order);
            for (const type of ['pointerdown', 'mousedown', 'mouseup', 'click'])
              for (const target of [x, document]) target.addEventListener(type, see)</script>""",
            head='<style>a[href="PAY/m"] { order: 7 }</style>',
        ),
    )
    assert first_request(shop).target == f"/{shop.key}/m?{REFERENCE}"
    browser.switch_back()
    assert set(browser.run("return seen")) == {f"{shop.pay}/m 7"}


SOLD_OUT = f"""<button id=x onclick="window.open('PAY/dead', 'other')">Sold out</button>
<a id=ok target=there href="PAY/ok">Other</a>{FRAME}<iframe name=other></iframe>"""
# An onclick text that names a payment page, and what became of the handler since.
HANDLERS = {
    "replaced by a property": Scenario(
        """<button id=x onclick="location.href = 'PAY/dead'">Buy</button>
        <script>x.onclick = () => { location.href = 'PAY/live' }</script>""",
        "/live?REF",
        by_script=True,
    ),
    "removed by a property": Scenario(
        f"{SOLD_OUT}<script>x.onclick = null</script>", "/ok?REF", ("#x", "#ok")
    ),
    "removed before a newer id": Scenario(
        SOLD_OUT,
        "/ok?client_reference_id=newer",
        ("#x", "#ok"),
        before="""x.onclick = null;
        document.cookie = 'tn_click_id=newer;max-age=9999;path=/;secure';
        localStorage.tn_click_id = 'newer'""",
    ),
}


@pytest.mark.parametrize("name", HANDLERS)
def test_handler_stays_what_the_page_made_of_it(shop: Shop, name: str) -> None:
    """A handler that the page has replaced or removed does not come back to life."""
    check(shop, HANDLERS[name])


def test_handler_under_a_policy_with_hashes(shop: Shop) -> None:
    """Under ``'unsafe-hashes'`` the text of a handler stays what the policy has allowed."""
    code = f"location.href = '{shop.pay}/m'"
    script = shop.use()
    recorder = RECORDER.removeprefix("<script>").removesuffix("</script>").encode()
    shop.web.put(shop.host, "/recorder.js", Response(recorder, "text/javascript"))
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = f"script-src 'self' 'unsafe-hashes' '{script.csp_hash}' 'sha256-{digest}'"
    check(
        shop,
        Scenario(f'<button id=x onclick="{code}">Buy</button>', "/m?REF", by_script=True),
        recorder="<script src=/recorder.js></script>",
        headers={"Content-Security-Policy": policy},
    )


TWO_BUTTONS = f"""{FRAME}<form id=f action="PAY/m" target=there><input name=plan value=a>
<button id=x>Buy</button><button id=save formaction="/missed/cart">Save</button></form>
"""


def test_second_button_of_a_form(shop: Shop) -> None:
    """A button that sends the form elsewhere sends the merchant's fields alone."""
    play(shop, Scenario(TWO_BUTTONS, clicks=("#save",)))
    assert first_request(shop).target == "/missed/cart?plan=a"


def test_second_button_after_the_first(shop: Shop) -> None:
    """What the first button carried to Stripe is not carried elsewhere by the second."""
    browser = play(shop, Scenario(TWO_BUTTONS, clicks=()))
    with opening(browser):
        browser.click("#x")
        assert first_request(shop).target == f"/{shop.key}/m?plan=a&{REFERENCE}"
    since = len(shop.web.requests)
    browser.click("#save")
    cart = shop.web.wait_for(lambda request: request.path == "/missed/cart", since)
    assert cart.query == "plan=a"


def test_form_that_is_not_sent_after_all(shop: Shop) -> None:
    """A submission that the page stops leaves the form as it was, for whatever comes next."""
    browser = play(
        shop,
        Scenario(
            """<style>#f > :last-child { order: 7 }</style>"""
            + FORM
            + """<script>window.seen = []; const see = () => seen.push(
              [...new FormData(f).keys()] + getComputedStyle(x).order + f.elements.length);
            see(); addEventListener('load', () => setTimeout(see));
            f.addEventListener('submit', e => { e.preventDefault(); see(); setTimeout(see, 30) });
            </script>"""
        ),
    )
    browser.until("return seen.length === 4")
    assert set(browser.run("return seen")) == {"plan72"}
    browser.run("f.action = '/missed'; f.submit()")
    assert first_request(shop).query == "plan=a"
