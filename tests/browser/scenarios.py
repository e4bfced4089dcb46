"""A page of a merchant, what a visitor does on it, and what Stripe must then be asked for.

In markup and code ``PAY`` is the start of the shop's payment URLs, in what is expected ``REF`` is
the whole reference. Engines without the Navigation API (WebKitGTK) cannot add a reference to a
navigation that a script starts: there the merchant's own URL must arrive unchanged.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.browser.shops import ID, REFERENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.shops import Shop
    from tools.engines.browser import Browser
    from tools.engines.fake_web import Request


@dataclass(frozen=True)
class Scenario:
    """``asked`` follows the payment page's path in the request.

    ``by_script``: the navigation is a script's. ``before`` runs in the page before the clicks.
    ``webkit``: what is asked for in WebKitGTK, where it is something else again.
    """

    body: str
    asked: str = "?REF"
    clicks: tuple[str, ...] = ("#x",)
    by_script: bool = False
    before: str = ""
    head: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    body_sent: bytes | None = None
    webkit: str = ""


def without_reference(target: str) -> str:
    """Return what is asked for where no reference can be added."""
    return target.replace("?REF&", "?").replace("&REF", "").replace("?REF", "")


def play(shop: Shop, scenario: Scenario, **page: Any) -> Browser:
    """Land on the scenario's page with a click id and do what its visitor does."""
    if scenario.options:
        shop.use(**scenario.options)
    browser = shop.visit(
        scenario.body.replace("PAY", shop.pay), head=scenario.head.replace("PAY", shop.pay), **page
    )
    if scenario.before:
        browser.run(scenario.before.replace("PAY", shop.pay))
    for selector in scenario.clicks:
        browser.click(selector)
    return browser


def check(shop: Shop, scenario: Scenario, **page: Any) -> None:
    """Play a scenario and compare what Stripe is asked for, once and for nothing else."""
    browser = play(shop, scenario, **page)
    request = first_request(shop)
    asked = scenario.asked
    if scenario.by_script and browser.name == "webkit":
        asked = scenario.webkit or without_reference(asked)
    _same(request.target, f"/{shop.key}" + asked.replace("REF", REFERENCE))
    _same({entry.target for entry in shop.asked()}, {request.target})
    if scenario.body_sent is not None:
        _same((request.method, request.body), ("POST", scenario.body_sent))


def _same(got: object, expected: object) -> None:
    assert got == expected, f"got {got!r}, expected {expected!r}"


def first_request(shop: Shop) -> Request:
    """Wait for the shop's next request to Stripe; whatever misses Stripe misses its own path."""

    def leaves(request: Request) -> bool:
        stripe = request.host.endswith(".stripe.com") and request.host != "js.stripe.com"
        missed = request.host == shop.host and request.path.startswith("/missed")
        return request.method in ("GET", "POST") and (stripe or missed)

    return shop.web.wait_for(leaves, shop._started)


# A frame for pages that the visitor opens while the page stays; it counts what has loaded.
FRAME = '<iframe name=there onload="window.loads = (window.loads || 0) + 1" width=300 height=60></iframe>'


@contextmanager
def opening(browser: Browser) -> Iterator[None]:
    """Wait until what is done here has loaded in the frame: Firefox drops a form sent before."""
    loads = browser.run("return window.loads")
    yield
    browser.until("return window.loads > arguments[0]", loads)


def newer_id(browser: Browser, value: str = ID) -> None:
    """Store a newer id as another tab does, without telling this page."""
    browser.run(
        """document.cookie = `tn_click_id=${arguments[0]};max-age=9999;path=/;secure`;
        localStorage.tn_click_id = arguments[0]""",
        value,
    )
