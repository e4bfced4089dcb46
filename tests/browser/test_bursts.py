"""Pages that insert and render without pause: nothing is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.scenarios import Scenario, check
from tests.browser.shops import ID

if TYPE_CHECKING:
    from tests.browser.shops import Shop


def test_bursts_of_insertions(shop: Shop) -> None:
    """However often a page inserts within one task, every buy button shows the reference."""
    browser = shop.visit("<main id=m></main><div id=deep></div>")
    browser.run(
        """(async () => {
          for (let n = 0; n < 300; n++) { // one observer callback each
            m.append(document.createElement('stripe-buy-button')); await 0 }
          let inner = deep;
          for (let n = 0; n < 150; n++) {
            inner = inner.appendChild(document.createElement('div'));
            inner.append(document.createElement('stripe-pricing-table')); await 0 }
          m.insertAdjacentHTML('beforeend', '<p><stripe-buy-button></stripe-buy-button></p>'.repeat(700));
          window.done = true })()"""
    )
    browser.until("return window.done")
    without = """return document.querySelectorAll(
      'stripe-buy-button:not([client-reference-id]),stripe-pricing-table:not([client-reference-id])').length"""
    browser.until(f"{without} === 0")
    assert browser.run("return document.querySelectorAll('[client-reference-id]').length") == 1150


def test_bursts_of_attribute_changes(shop: Shop) -> None:
    """A framework that renders 300 times within one task does not wear out the reference."""
    browser = shop.visit("<stripe-buy-button id=b></stripe-buy-button>")
    browser.run(
        """(async () => {
          for (let n = 0; n < 300; n++) { b.removeAttribute('client-reference-id'); await 0 }
          window.done = true })()"""
    )
    browser.until("return window.done")
    browser.until(f"return b.getAttribute('client-reference-id') === '{ID}'")


def test_burst_before_the_click(shop: Shop) -> None:
    """The last link of a long burst carries the id when it is clicked."""
    check(
        shop,
        Scenario(
            "<main id=m></main>",
            "/299?REF",
            before="""(async () => { for (let n = 0; n < 300; n++) {
              m.innerHTML = `<a id=x href="PAY/${n}">Buy</a>`; await 0 } })()""",
        ),
    )
