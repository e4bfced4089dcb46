"""What the visitor does in the two shops, one function a step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tools.engines.fake_stripe import PAYMENT_HOSTS, posted
from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from pathlib import Path

    from tools.demonstration.steps import Steps
    from tools.engines.browser import Browser
    from tools.engines.fake_web import FakeWeb, Request

_KEPT = """const cookie = document.cookie.split('; ').find(one => one.startsWith('tn_click_id='));
return [cookie || 'no cookie', localStorage.getItem('tn_click_id') || 'nothing']"""


class OtherwiseError(Exception):
    """What was seen is not what had to be seen."""


def must(condition: bool, otherwise: str) -> None:
    """Raise :class:`OtherwiseError` with what was seen unless the condition holds."""
    if not condition:
        raise OtherwiseError(otherwise)


@dataclass
class Visitor:
    """Somebody with a browser, in a shop, sent by a partner with a click id."""

    browser: Browser
    web: FakeWeb
    host: str
    click_id: str
    hosts: tuple[str, ...] = PAYMENT_HOSTS
    # What Stripe was asked for, in order.
    asked: list[Request] = field(default_factory=list)

    def open(self, path: str) -> str:
        """Type an address of the shop."""
        url = f"https://{self.host}{path}"
        self.browser.open(url)
        return url

    def keeps(self) -> str:
        """Tell what the browser holds; it must be the id, in both places."""
        cookie, local = self.browser.run(_KEPT)
        must(cookie == f"tn_click_id={self.click_id}", f"cookie: {cookie}")
        must(local == self.click_id, f"localStorage: {local}")
        return f"cookie and localStorage {cookie}"

    def keeps_nothing(self) -> str:
        """Tell that nothing is stored yet."""
        kept = self.browser.run(_KEPT)
        must(kept == ["no cookie", "nothing"], f"stored: {kept}")
        return "nothing is stored before the answer"

    def walks(self, selector: str, path: str) -> str:
        """Click a link inside the shop and arrive at the page it leads to."""
        self.browser.click(selector)
        self.browser.until("return location.pathname === arguments[0]", path)
        self.browser.until("return document.readyState === 'complete'")
        return self.browser.url

    def pays(self, selector: str, frame: str = "") -> str:
        """Click what leads to Stripe; give the URL that Stripe was asked for."""
        since = len(self.web.requests)
        self.browser.until("return document.querySelector(arguments[0])", frame or selector)
        if frame:
            self.browser.click_in_frame(frame + " >>> iframe", selector)
        else:
            self.browser.click(selector)
        asked = self.web.wait_for(self._is_payment, since)
        self.asked.append(asked)
        self.browser.until("return location.host === arguments[0]", asked.host)
        reference = f"client_reference_id={self.click_id}"
        must(reference in asked.query.split("&"), f"{asked.url} lacks {reference}")
        method = "" if asked.method == "GET" else f"{asked.method} "
        return f"→ {method}{asked.url}"

    def element_knows(self, element: str, product: str) -> str:
        """Tell that one of Stripe's elements holds the reference, and told its frame."""
        self.browser.until(
            "const one = document.querySelector(arguments[0]);"
            "return one && one.getAttribute('client-reference-id') === arguments[1]",
            element,
            self.click_id,
        )
        target = posted(product, self.click_id)
        self.web.wait_for(lambda one: one.host == "js.stripe.com" and one.target == target)
        return f"<{element} client-reference-id={self.click_id}>"

    def _is_payment(self, request: Request) -> bool:
        return request.host in self.hosts and request.path != "/favicon.ico"


def walk_mkdocs(steps: Steps, visitor: Visitor) -> None:
    """Morrow Coffee: Material with instant navigation and its consent banner."""
    steps.run("lands", lambda: visitor.open(f"/?click_id={visitor.click_id}"))
    steps.run("is asked for consent", visitor.keeps_nothing)
    steps.run("agrees", lambda: _agree(visitor))
    steps.run("walks on, without a reload", lambda: _walk_instantly(visitor))
    steps.run("buys by a link", lambda: visitor.pays('a[href*="SAMPLEhuila250"].md-button'))
    steps.run("comes back, without id", lambda: visitor.open("/gifts/"))
    steps.run(
        "sees a buy button",
        lambda: visitor.element_knows("stripe-buy-button", "buy_btn_SAMPLEgiftbox"),
    )
    steps.run("buys by its button", lambda: visitor.pays("a", "stripe-buy-button"))
    steps.run("buys by a form (GET)", lambda: _at(visitor, "/gifts/", "#voucher button"))
    steps.run("buys by a form (POST)", lambda: _at(visitor, "/gifts/", "#office button"))
    steps.run(
        "sees a pricing table",
        lambda: _see(visitor, "/subscription/", "stripe-pricing-table", "prctbl_SAMPLEmorrow"),
    )
    steps.run(
        "buys at the shop's own domain",
        lambda: _at(visitor, "/coffees/night-ferry/", "a[href*='nightferry250']"),
    )
    steps.run("buys by a script's redirect", lambda: _at(visitor, "/coffees/", "button[onclick]"))
    steps.run("gives to a cause", lambda: _at(visitor, "/garden/", "a[href*='SAMPLEgarden']"))


def walk_pelican(steps: Steps, visitor: Visitor, folder: Path) -> None:
    """Tidewater Press: a plain site that cleans its address bar, seen through a blocker."""
    steps.run("lands", lambda: visitor.open(f"/?click_id={visitor.click_id}&page=1#prints"))
    steps.run("the id is kept", visitor.keeps)
    steps.run("the address is clean", lambda: _is_clean(visitor))
    steps.run("walks on", lambda: visitor.open("/gifts/"))
    steps.run(
        "buys by a form (GET)", lambda: visitor.pays("#mailed button, #mailed input[type=submit]")
    )
    steps.run("buys by a button's onclick", lambda: _at(visitor, "/gifts/", "button[onclick]"))
    steps.run(
        "buys with a promotion code",
        lambda: _at(visitor, "/prints/reeds-at-noon/", "a[href*='SAMPLEreeds']"),
    )
    steps.run("a blocker stops the file", lambda: _block(visitor, folder))
    steps.run(
        "… and buys all the same", lambda: _at(visitor, "/welcome/", "a[href*='SAMPLEsampler']")
    )
    visitor.web.remove(visitor.host, _carry(folder))


def agree(browser: Browser) -> None:
    """Click Accept in Material's banner, once it has slid in, and wait for the page to reload."""
    browser.until(
        """const button = document.querySelector('.md-consent__controls button.md-button--primary');
        const box = button?.getBoundingClientRect();
        const at = box && document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
        const still = !document.getAnimations().some(one => one.effect.target.closest('.md-consent')
          && one.playState === 'running');
        return box && box.width > 0 && button.contains(at) && still"""
    )
    browser.run("window.__left = true")
    browser.click(".md-consent__controls button.md-button--primary")
    browser.loaded()
    browser.until("return document.cookie.includes('tn_click_id')")


def _agree(visitor: Visitor) -> str:
    agree(visitor.browser)
    return visitor.keeps()


def _walk_instantly(visitor: Visitor) -> str:
    visitor.browser.run("window.samePage = true")
    visitor.walks('.md-tabs a[href*="coffees"]', "/coffees/")
    to_huila = 'article a[href$="huila/"]'
    visitor.browser.until("return document.querySelector(arguments[0])", to_huila)
    seen = visitor.walks(to_huila, "/coffees/huila/")
    must(visitor.browser.run("return window.samePage"), "the page was loaded anew")
    visitor.browser.until("return document.querySelector('a.md-button[href*=SAMPLEhuila250]')")
    return seen


def _see(visitor: Visitor, path: str, element: str, product: str) -> str:
    visitor.open(path)
    return visitor.element_knows(element, product)


def _at(visitor: Visitor, path: str, selector: str) -> str:
    visitor.open(path)
    return visitor.pays(selector)


def _is_clean(visitor: Visitor) -> str:
    url = str(visitor.browser.run("return location.href"))
    must(url.endswith("/?page=1#prints"), url)
    return url


def _block(visitor: Visitor, folder: Path) -> str:
    visitor.web.put(visitor.host, _carry(folder), Response(cut=True))
    return f"{_carry(folder)} does not load"


def _carry(folder: Path) -> str:
    (file,) = folder.glob("assets/carry.*.js")
    return f"/assets/{file.name}"
