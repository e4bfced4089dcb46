"""The merchant's page is byte for byte what it was, before and after everything a visitor does."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.browser.scenarios import FRAME, opening, without_reference
from tests.browser.shops import ID, REFERENCE
from tools.engines.browser import CONTROL, ENTER, LEFT, MIDDLE, RIGHT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.shops import Shop
    from tools.engines.browser import Browser

PNG = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="

# Stripe's pages open in a frame: the page itself stays where it can be looked at.
PAGE = f"""<style>a, form {{ display: inline-block; padding: 6px }}
a[href*=reference], form > input[name*=reference]:last-child {{ color: red }}</style>
<a id=plain target=there href="PAY/plain?a=1#f"><b>Buy</b></a>
<a id=tab href="PAY/tab">Tab</a> <a id=drag href="PAY/drag" style="padding: 20px">Drag</a>
<a id=cancelled href="PAY/cancelled">Cancelled</a> <a id=deaf target=there href="PAY/deaf">Deaf</a>
<a id=keys target=there href="PAY/keys">Keys</a>
<a id=text target=there href="PAY/text" onclick="window.last = this.href">Text</a>
<img id=area usemap="#m" width=40 height=40 src="{PNG}"><map name=m>
<area shape=rect coords="0,0,40,40" target=there href="PAY/area"></map>
<svg width=50 height=50><a target=there href="PAY/svg"><rect id=svg width=40 height=40 /></a></svg>
<div id=host></div>
<button id=opener onclick="window.open('PAY/opener', 'there')">Open</button>
<button id=maker>Make</button>
<form id=f target=there action="PAY/get"><input name=plan value=a><button id=get>Get</button>
<button id=save formaction="/save">Save</button></form>
<form target=there action="PAY/post?x" method=post><button id=post>Post</button></form>
<form target=there><input name=client_reference_id><button id=own formaction="PAY/own">Own</button></form>
<form id=g target=there action="PAY/script"><input name=a value=b></form>
<button id=submits onclick="document.getElementById('g').submit()">Send</button>
<form target=there action="PAY/enter"><input id=field name=a value=b></form>
<form id=h target=there action="PAY/stopped"><button id=stopped>Stopped</button></form>
<stripe-buy-button buy-button-id=b></stripe-buy-button>
<stripe-pricing-table pricing-table-id=p client-reference-id=""></stripe-pricing-table>
{FRAME}<iframe id=same width=50 height=50></iframe>
<script>
host.attachShadow({{mode: 'open'}}).innerHTML = `<a id=inner target=there href="PAY/shadow">Shadow</a>
  <stripe-buy-button buy-button-id=s></stripe-buy-button>`;
cancelled.addEventListener('click', event => event.preventDefault());
h.addEventListener('submit', event => event.preventDefault());
for (const type of ['pointerdown', 'mousedown', 'click'])
  deaf.addEventListener(type, event => event.stopImmediatePropagation(), true);
maker.addEventListener('click', () => Object.assign(document.createElement('a'),
  {{href: 'PAY/made', target: 'there'}}).click());
// All that happens to the page once it has loaded, Stripe's attribute apart.
window.changes = [];
new MutationObserver(records => records.forEach(({{type, target, attributeName, addedNodes}}) => {{
  if (document.readyState !== 'loading' && attributeName !== 'client-reference-id')
    changes.push([type, target.nodeName, attributeName, addedNodes.length].join(' '));
}})).observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}});
// The page with its open shadow roots and fields as it is now, without Stripe's attribute.
window.serialise = () => {{
  const text = root => [...root.querySelectorAll('*')].reduce(
    (all, one) => all + (one.shadowRoot ? '\\n' + text(one.shadowRoot) : '') + (one.value || ''),
    root.innerHTML.replace(/(<stripe-[^>]*?) client-reference-id="[^"]*"/g, '$1'));
  return text({{innerHTML: document.documentElement.outerHTML,
    querySelectorAll: all => document.querySelectorAll(all)}});
}};
</script>"""


def _press_and_leave(browser: Browser) -> None:
    """Press on a link and let go beside it: no click comes of it."""
    x, y, below = browser.run(
        "const box = plain.getBoundingClientRect();"
        "return [Math.floor(box.x + 9), Math.floor(box.y + 9), Math.floor(box.height + 9)]"
    )
    move = {"type": "pointerMove", "origin": "viewport", "duration": 0}
    actions = [
        {**move, "x": x, "y": y},
        {"type": "pointerDown", "button": LEFT},
        {**move, "x": x, "y": y - 9 + below},
        {"type": "pointerUp", "button": LEFT},
    ]
    browser.sandbox.call(browser._perform, [_pointer("mouse", actions)])


def _touch(browser: Browser) -> None:
    """Tap a link; WebKitGTK's driver has no touch, its page gets the events alone."""
    if browser.name == "webkit":
        browser.run(
            """for (const type of ['pointerdown', 'touchstart', 'touchend', 'pointerup', 'click'])
              text.dispatchEvent(type === 'click' ? new MouseEvent(type, {bubbles: true,
                composed: true, cancelable: true}) : new Event(type, {bubbles: true, composed: true}))"""
        )
        return
    x, y = browser.run(
        "const box = text.getBoundingClientRect(); return [Math.floor(box.x + 9), Math.floor(box.y + 9)]"
    )
    actions = [
        {"type": "pointerMove", "origin": "viewport", "duration": 0, "x": x, "y": y},
        {"type": "pointerDown", "button": LEFT},
        {"type": "pointerUp", "button": LEFT},
    ]
    browser.sandbox.call(browser._perform, [_pointer("touch", actions)])


def _pointer(kind: str, actions: list[dict[str, object]]) -> dict[str, object]:
    return {
        "type": "pointer",
        "id": f"a {kind}",
        "parameters": {"pointerType": kind},
        "actions": actions,
    }


def _menu(browser: Browser) -> None:
    """Open a link's menu; WebKit's driver would let go on the menu's first entry."""
    if browser.name == "webkit":
        browser.run(
            """tab.dispatchEvent(new MouseEvent('contextmenu',
            {bubbles: true, composed: true, cancelable: true, button: 2}))"""
        )
    else:
        browser.click("#tab", RIGHT)
    # The menu may read the link when an entry is chosen: until the next press it stays decorated.
    browser.run("document.body.dispatchEvent(new PointerEvent('pointerdown', {bubbles: true}))")


def _keyboard(browser: Browser) -> None:
    browser.focus("#keys")
    browser.press(ENTER)


def _enter_in_field(browser: Browser) -> None:
    browser.focus("#field")
    browser.press(ENTER)


def _back_on_screen(browser: Browser) -> None:
    browser.run(
        """document.dispatchEvent(new Event('visibilitychange'));
        dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))"""
    )


def _another_window(browser: Browser) -> None:
    """What another window writes into the store; a frame of the same origin is one."""
    browser.run("same.contentWindow.localStorage.setItem('tn_click_id', 'newer')")


def _click(selector: str) -> Callable[[Browser], None]:
    return lambda browser: browser.click(selector)


# What the visitor does, and the target of the request that it leads to, whoever is asked.
ACTIONS: list[tuple[str, Callable[[Browser], None], str | None]] = [
    ("press and leave", _press_and_leave, None),
    ("cancelled link", _click("#cancelled"), None),
    ("stopped form", _click("#stopped"), None),
    ("back on screen", _back_on_screen, None),
    ("menu", _menu, None),
    ("drag", lambda browser: browser.drag("#drag", (200, 160)), None),
    ("link", _click("#plain b"), "KEY/plain?a=1&REF"),
    ("keyboard", _keyboard, "KEY/keys?REF"),
    ("deaf link", _click("#deaf"), "KEY/deaf?REF"),
    ("tap on a link with onclick", _touch, "KEY/text?REF"),
    ("area", _click("#area"), "KEY/area?REF"),
    ("svg", _click("#svg"), "KEY/svg?REF"),
    ("shadow root", _click("#host >>> #inner"), "KEY/shadow?REF"),
    ("form", _click("#get"), "KEY/get?plan=a&REF"),
    ("enter in a field", _enter_in_field, "KEY/enter?a=b&REF"),
    ("another button", _click("#save"), "/save?plan=a"),
    ("form that posts", _click("#post"), "KEY/post?x&REF"),
    ("form with a field of its own", _click("#own"), "KEY/own?client_reference_id=ID"),
    ("form sent by script", _click("#submits"), "KEY/script?a=b&REF"),
    ("link made by script", _click("#maker"), "KEY/made?REF"),
    ("window opened in a frame", _click("#opener"), "KEY/opener?REF"),
    ("middle click for a new tab", lambda browser: browser.click("#tab", MIDDLE), "KEY/tab?REF"),
    (
        "click with control for a new tab",
        lambda browser: browser.click("#tab", keys=(CONTROL,)),
        "KEY/tab?REF",
    ),
    ("another window", _another_window, None),
]


def _changed(shop: Shop, before: str, click_id: str) -> list[str]:
    """Do everything and return what left a trace in the page or did not ask Stripe rightly."""
    browser, wrong = shop.browser, []
    for name, act, asked in ACTIONS:
        if browser.name == "webkit" and name.endswith("new tab"):
            continue  # MiniBrowser opens both in this tab
        since = len(shop.web.requests)
        # What opens in a tab of its own is not waited for.
        framed = asked is not None and "/tab" not in asked
        with opening(browser) if framed else nullcontext():
            act(browser)
        if asked is not None:
            target = asked if click_id else without_reference(asked)
            target = target.replace("REF", REFERENCE).replace("ID", click_id)
            target = target.replace("KEY", f"/{shop.key}")
            try:
                shop.web.wait_for(partial(_is, target), since)
            except AssertionError as error:
                wrong.append(f"{name}: {error}")
        browser.switch_back()
        try:
            browser.until("return serialise() === arguments[0]", before)
        except AssertionError:
            now = browser.run("return serialise()").splitlines()
            lines = [line for line in now if line not in before.splitlines()]
            wrong.append(f"{name} left {lines}")
    return wrong


def _is(target: str, request: object) -> bool:
    return getattr(request, "target", "") == target


@pytest.mark.parametrize("landed", [True, False], ids=["id", "no id"])
def test_page_before_and_after_all_that_a_visitor_does(shop: Shop, landed: bool) -> None:
    """With and without an id nothing of the page differs but the reference of Stripe's elements."""
    shop.use(window_open=True)
    body = PAGE.replace("PAY", shop.pay)
    shop.page(body, "/without", script=False)
    browser = shop.browser
    browser.open(shop.url("/without"))
    merchants = browser.run("return serialise()").partition("</head>")[2]
    shop.page(body)
    browser.open(shop.url(f"/?click_id={ID}" if landed else "/"))
    elements = "document.querySelector('stripe-buy-button').getAttribute('client-reference-id')"
    browser.until(f"return {elements} === arguments[0]", ID if landed else None)
    before = browser.run("return serialise()")
    assert before.partition("</head>")[2] == merchants
    browser.run("dispatchEvent(new Event('focus')); scrollTo(0, 1)")
    assert browser.run("return changes") == []
    assert _changed(shop, before, ID if landed else "") == []
    assert not any(asked.path.endswith(("/cancelled", "/stopped")) for asked in shop.asked())
