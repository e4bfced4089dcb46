"""What the visitor does in the two sample shops, one function per step.

Each purchase is judged by the request that Stripe receives, not by what the page looks like.
"""

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

# Whether an element that Material has swapped in stays where it is: pictures above it push it down.
SETTLED = """return document.querySelector(arguments[0])
  && [...document.images].every(one => one.complete || one.loading === 'lazy')"""
_STORED = """const cookie = document.cookie.split('; ').find(item => item.startsWith('tn_click_id='));
return [cookie || 'no cookie', localStorage.getItem('tn_click_id') || 'nothing']"""


class UnexpectedError(Exception):
    """Something else was seen than what had to be seen; the text is what was seen."""


def expect(condition: bool, seen: str) -> None:
    """Raise :class:`UnexpectedError` with what was seen unless the condition holds."""
    if not condition:
        raise UnexpectedError(seen)


@dataclass
class Visitor:
    """Someone with a browser in a shop, sent by a partner with a click id.

    ``hosts`` are Stripe's hosts and the shop's own payment domains; ``payments`` are the requests
    that they received, in order.
    """

    browser: Browser
    web: FakeWeb
    host: str
    click_id: str
    hosts: tuple[str, ...] = PAYMENT_HOSTS
    payments: list[Request] = field(default_factory=list)

    def open(self, path: str) -> str:
        """Open an address of the shop as if typed; return it."""
        url = f"https://{self.host}{path}"
        self.browser.open(url)
        return url

    def has_stored_id(self) -> str:
        """Report what the browser has stored: the id, in both places."""
        cookie, local = self.browser.run(_STORED)
        expect(cookie == f"tn_click_id={self.click_id}", f"cookie: {cookie}")
        expect(local == self.click_id, f"localStorage: {local}")
        return f"cookie and localStorage: {cookie}"

    def has_stored_nothing(self) -> str:
        """Report that nothing is stored yet."""
        stored = self.browser.run(_STORED)
        expect(stored == ["no cookie", "nothing"], f"stored: {stored}")
        return "nothing is stored before the visitor answers"

    def follow(self, selector: str, path: str) -> str:
        """Click a link inside the shop; return the URL of the page it leads to."""
        self.browser.click(selector)
        self.browser.until("return location.pathname === arguments[0]", path)
        self.browser.until("return document.readyState === 'complete'")
        return self.browser.url

    def buy(self, selector: str, path: str = "") -> str:
        """Click what leads to Stripe, on the given page of the shop; return Stripe's request."""
        if path:
            self.open(path)
        since = len(self.web.requests)
        self.browser.until(SETTLED, selector)
        self.browser.click(selector)
        return self._check_payment(since)

    def buy_in_element(self, element: str, product: str, path: str) -> str:
        """Click the button inside one of Stripe's elements; return Stripe's request."""
        since = len(self.web.requests)
        self.open(path)
        # A visitor can click once Stripe has drawn its button: its frame knows the id by then.
        target = posted(product, self.click_id)
        self.web.wait_for(
            lambda request: request.host == "js.stripe.com" and request.target == target, since
        )
        self.browser.click_in_frame(f"{element} >>> iframe", "a")
        return self._check_payment(since)

    def _check_payment(self, since: int) -> str:
        request = self.web.wait_for(self._is_payment, since)
        self.payments.append(request)
        self.browser.until("return location.host === arguments[0]", request.host)
        reference = f"client_reference_id={self.click_id}"
        expect(reference in request.query.split("&"), f"{request.url} lacks {reference}")
        method = "" if request.method == "GET" else f"{request.method} "
        return f"→ {method}{request.url}"

    def _is_payment(self, request: Request) -> bool:
        return request.host in self.hosts and request.path != "/favicon.ico"


def walk_mkdocs(steps: Steps, visitor: Visitor) -> None:
    """Visit Morrow Coffee: Material with instant navigation and its consent banner."""
    run, buy = steps.run, visitor.buy
    run("arrives by a partner's link", lambda: visitor.open(f"/?click_id={visitor.click_id}"))
    run("sees the consent banner", visitor.has_stored_nothing)
    run("accepts", lambda: _accept(visitor))
    run("browses without a page load", lambda: _browse_instantly(visitor))
    run("buys by a payment link", lambda: buy('a[href*="SAMPLEhuila250"].md-button'))
    run("comes back without the id", lambda: visitor.open("/gifts/"))
    run(
        "buys by Stripe's Buy Button",
        lambda: visitor.buy_in_element("stripe-buy-button", "buy_btn_SAMPLEgiftbox", "/gifts/"),
    )
    run("buys by a form (GET)", lambda: buy("#voucher button", "/gifts/"))
    run("buys by a form (POST)", lambda: buy("#office button", "/gifts/"))
    run(
        "buys from a pricing table",
        lambda: visitor.buy_in_element(
            "stripe-pricing-table", "prctbl_SAMPLEmorrow", "/subscription/"
        ),
    )
    run(
        "pays at the shop's own domain",
        lambda: buy("a[href*='nightferry250']", "/coffees/night-ferry/"),
    )
    run("is redirected by a script", lambda: buy("button[onclick]", "/coffees/"))
    run("donates", lambda: buy("a[href*='SAMPLEgarden']", "/garden/"))


def walk_pelican(steps: Steps, visitor: Visitor, folder: Path) -> None:
    """Visit Tidewater Press: it cleans its address bar, and a blocker comes into play."""
    run, buy = steps.run, visitor.buy
    run(
        "arrives by a partner's link",
        lambda: visitor.open(f"/?click_id={visitor.click_id}&page=1#prints"),
    )
    run("has stored the id", visitor.has_stored_id)
    run("sees a clean address", lambda: _has_clean_address(visitor))
    run("browses", lambda: visitor.open("/gifts/"))
    run("buys by a form (GET)", lambda: buy("#mailed button, #mailed input[type=submit]"))
    run("buys by a button's onclick", lambda: buy("button[onclick]", "/gifts/"))
    run(
        "buys with a promotion code",
        lambda: buy("a[href*='SAMPLEreeds']", "/prints/reeds-at-noon/"),
    )
    run("turns on a content blocker", lambda: _block(visitor, folder))
    run("… and buys with the id", lambda: buy("a[href*='SAMPLEsampler']", "/welcome/"))
    visitor.web.remove(visitor.host, _script_file(folder))


def agree(browser: Browser) -> None:
    """Click Accept in Material's banner, once it has slid in, and wait for the page to reload."""
    browser.until(
        """const button = document.querySelector('.md-consent__controls button.md-button--primary');
        const box = button?.getBoundingClientRect();
        const at = box && document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
        const still = !document.getAnimations().some(item => item.effect.target.closest('.md-consent')
          && item.playState === 'running');
        return box && box.width > 0 && button.contains(at) && still"""
    )
    browser.run("window.__left = true")
    browser.click(".md-consent__controls button.md-button--primary")
    browser.loaded()
    browser.until("return document.cookie.includes('tn_click_id')")


def _accept(visitor: Visitor) -> str:
    agree(visitor.browser)
    return visitor.has_stored_id()


def _browse_instantly(visitor: Visitor) -> str:
    visitor.browser.run("window.samePage = true")
    visitor.follow('.md-tabs a[href*="coffees"]', "/coffees/")
    to_huila = 'article a[href$="huila/"]'
    visitor.browser.until(SETTLED, to_huila)
    url = visitor.follow(to_huila, "/coffees/huila/")
    expect(visitor.browser.run("return window.samePage"), "the page was loaded anew")
    visitor.browser.until("return document.querySelector('a.md-button[href*=SAMPLEhuila250]')")
    return url


def _has_clean_address(visitor: Visitor) -> str:
    url = str(visitor.browser.run("return location.href"))
    expect(url.endswith("/?page=1#prints"), url)
    return url


def _block(visitor: Visitor, folder: Path) -> str:
    visitor.web.put(visitor.host, _script_file(folder), Response(cut=True))
    return f"{_script_file(folder)} does not load"


def _script_file(folder: Path) -> str:
    (file,) = folder.glob("assets/carry.*.js")
    return f"/assets/{file.name}"
