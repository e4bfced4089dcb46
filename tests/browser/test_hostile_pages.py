"""Pages that are in the script's way without meaning to: names, globals, lengths, frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.shops import ID, REFERENCE, stored
from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from tests.browser.shops import Shop


@pytest.mark.parametrize(
    "head",
    [
        "<script>delete window.unescape</script>",
        "<script>Object.prototype.i = 'evil'</script>",
        "<script>Array.prototype.extra = () => 0; Object.prototype.iframe = 1</script>",
    ],
)
def test_changed_globals(shop: Shop, head: str) -> None:
    """A page that removes or adds what every script shares neither stops the script nor fools it."""
    shop.page(shop.link(), "/next", recorder=head)
    browser = shop.visit(shop.link(), recorder=head)
    assert stored(browser) == (ID, ID)
    browser.open(shop.url("/next"))
    browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_a_polluted_prototype_is_no_id(shop: Shop) -> None:
    """Without any click nothing is sent, whatever other scripts have put on all objects."""
    browser = shop.visit(
        shop.link(), path="/", recorder="<script>Object.prototype.i = 'evil'</script>"
    )
    assert browser.run("return tracknow.clickId()") is None
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}"


@pytest.mark.parametrize(
    "fields",
    [
        "<input name=elements>",
        "<input name=action><input name=method value=post>",
        "<input name=getRootNode><input name=submit>",
    ],
)
def test_fields_named_like_what_a_form_has(shop: Shop, fields: str) -> None:
    """A form whose fields hide its own properties is sent with the reference."""
    browser = shop.visit(f'<form action="{shop.pay}">{fields}<button id=x>Buy</button></form>')
    browser.click("#x")
    assert shop.left().query.split("&")[-1] == REFERENCE


def test_a_form_named_like_what_a_document_has(shop: Shop) -> None:
    """A form that hides a property of the document does not stop the script."""
    browser = shop.visit(f"<form name=baseURI></form><form name=links></form>{shop.link()}")
    browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_an_address_of_many_blanks(shop: Shop) -> None:
    """50,000 blanks in an address cost no more time than other characters."""
    browser = shop.visit("<p>Hello")
    took = browser.run(
        """const time = text => Math.min(...[1, 2, 3, 4, 5].map(() => {
          const start = performance.now();
          for (let i = 0; i < 20; i++) tracknow.decorate(text);
          return performance.now() - start }));
        const blanks = arguments[0] + '?a=' + ' '.repeat(50000) + 'b';
        time(blanks);
        return [time(blanks), time(blanks.replace(/ /g, 'x'))]""",
        shop.pay,
    )
    assert took[0] < 500 + 20 * took[1]


@pytest.mark.parametrize("how", ["srcdoc", "write"])
@pytest.mark.parametrize("what", ["link", "element"])
def test_a_frame_that_the_page_writes(shop: Shop, how: str, what: str) -> None:
    """What a page writes into a frame of its own carries the id like the page itself."""
    markup = (
        f'<a id=x target=_blank style="display:block" href="{shop.pay}">Buy</a>'
        "<stripe-buy-button id=element></stripe-buy-button>"
    )
    browser = shop.visit("<iframe id=f width=300 height=100></iframe>")
    browser.run(
        """if (arguments[0] === 'srcdoc') f.srcdoc = arguments[1];
        else { const d = f.contentDocument; d.open(); d.write(arguments[1]); d.close() }""",
        how,
        markup,
    )
    element = "f.contentDocument.querySelector('#element')"
    browser.until(f"return {element} && {element}.getAttribute('client-reference-id') === '{ID}'")
    if what == "link":
        browser.click_in_frame("#f", "#x")
        assert shop.left().query == REFERENCE


def test_an_id_that_only_local_storage_has(shop: Shop) -> None:
    """Without the script file an id that survived in localStorage alone is used all the same."""
    shop.carry_answer = Response(cut=True)
    browser = shop.visit(shop.link())
    browser.run("document.cookie = 'tn_click_id=;max-age=0;path=/;secure'")
    browser.open(shop.url("/"))
    assert stored(browser) == (None, ID)
    browser.click("#buy")
    assert shop.left().query == REFERENCE
