"""After the purchase: Stripe's events reach Tracknow, and the status page shows what became of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.events import encode, event, purchase
from tools.demonstration.relay import LINK, PASSWORD
from tools.demonstration.walk import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.demonstration.relay import Relay, Tracknow
    from tools.demonstration.steps import Steps
    from tools.engines.browser import Browser

STATUS_HOST = "relay.morrow.example"
_SECONDS = 60
_CELLS = """return [...document.querySelectorAll('main tbody tr')].map(row =>
  [...row.children].map(cell => cell.innerText.replace(/\\s+/g, ' ').trim()))"""


def report_purchase(steps: Steps, reference: str, relay: Relay, tracknow: Tracknow) -> None:
    """Send an event with the reference that the browser took to Stripe through a relay."""
    steps.section("After the purchase", "Stripe's event goes through tracknow-relay to Tracknow")
    body = encode(_session("demo", client_reference_id=reference))
    steps.run("the relay starts", relay.start)
    steps.run("rejects a forged event", lambda: relay.rejects(body))
    steps.run("stores the signed event", lambda: relay.accepts(body))
    steps.run("delivers it to Tracknow", lambda: tracknow.received(body, reference))
    steps.run("accepts Stripe's repeat", lambda: relay.accepts(body))
    steps.run("does not deliver it again", tracknow.received_no_more)


def look_up_sales(steps: Steps, reference: str, relay: Relay, browser: Browser) -> None:
    """Open the relay's status page, sell without a click id, and give the first sale's money back."""
    page = _StatusPage(browser)
    steps.section("What became of each sale", "the relay's status page, in the browser")
    steps.run("opens the status page", page.open)
    steps.run("the sale has its verdict", lambda: page.finds_sale("cs_demo", "attributed"))
    direct = encode(_session("direct", client_reference_id=None, payment_link=LINK))
    steps.run("a sale without a click id", lambda: relay.accepts(direct))
    steps.run(
        "gets its reason", lambda: page.finds_sale("cs_direct", "no-click-id", "page-with-script")
    )
    refund = {
        "id": "ch_demo",
        "object": "charge",
        "amount": 1400,
        "amount_refunded": 1400,
        "currency": "eur",
        "payment_intent": "pi_demo",
    }
    back = encode(event("demo_refund", "charge.refunded", refund, created=int(time.time())))
    steps.run("the first sale is refunded", lambda: relay.accepts(back))
    steps.run("moves to the refund list", lambda: page.lists_refund(reference))


def _session(name: str, **fields: Any) -> dict[str, Any]:
    now = int(time.time())
    session = {"amount_total": 1400, "currency": "eur", "mode": "payment", "created": now, **fields}
    return purchase(name, session, created=now)


class _StatusPage:
    """The status page as the browser shows it, behind a proxy of its own host."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def open(self) -> str:
        self._browser.open(f"https://merchant:{PASSWORD}@{STATUS_HOST}/status")
        found = str(self._browser.run("return document.querySelector('h1').innerText"))
        expect(found == "Everything is well", found)
        return f"https://{STATUS_HOST}/status: {found}"

    def finds_sale(self, sale: str, verdict: str, reason: str = "") -> str:
        """Open a sale's page until it has a verdict and a reason; return both."""

        def look() -> tuple[str, str]:
            self._browser.open(f"https://{STATUS_HOST}/status/sales/{sale}")
            script = """return [...document.querySelectorAll('h1 .badge, .lead code')]
              .map(one => one.innerText)"""
            found = [*self._browser.run(script), "", ""]
            return found[0], found[1]

        seen = _until(look, lambda found: found == (verdict, reason))
        expect(seen == (verdict, reason), f"{sale}: {' '.join(seen) or 'not there'}")
        script = (
            "return (document.querySelector('.why') || document.querySelector('.lead')).innerText"
        )
        why = str(self._browser.run(script))
        return f"{verdict}{f' ({reason})' if reason else ''}\n{why}"

    def lists_refund(self, reference: str) -> str:
        """Open the list of refunds until it has the sale; return its line."""

        def look() -> list[list[str]]:
            self._browser.open(f"https://{STATUS_HOST}/status/refunds")
            return list(self._browser.run(_CELLS))

        rows = _until(look, bool)
        line = " · ".join(rows[0]) if rows else "nothing is listed"
        expect(reference in line and "14.00 EUR" in line, line)
        return line


def _until(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """Return what is seen when it is wanted, or at last: the ledger is a moment behind."""
    end = time.monotonic() + _SECONDS
    while not wanted(seen := look()) and time.monotonic() < end:
        time.sleep(0.2)
    return seen
