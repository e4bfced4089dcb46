"""Pages that a Content Security Policy guards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.shops import ID, REFERENCE, stored

if TYPE_CHECKING:
    from tests.browser.shops import Shop

STRICT = "default-src 'none'; img-src data:; connect-src 'self'; form-action *; script-src "
# Stands in a file, since these policies allow no other inline script.
REPORTS = "<script src=/recorder.js></script>"


def _recorder(shop: Shop) -> str:
    from tests.browser.shops import RECORDER
    from tools.engines.fake_web import Response

    text = RECORDER.removeprefix("<script>").removesuffix("</script>").encode()
    shop.web.put(shop.host, "/recorder.js", Response(text, "text/javascript"))
    return REPORTS


@pytest.mark.parametrize("delivery", ["split", "inline"])
def test_policy_with_hash(shop: Shop, delivery: str) -> None:
    """The hash that the build prints lets the inline part run under a strict policy."""
    script = shop.use(delivery=delivery)
    policy = f"{STRICT}'{script.csp_hash}' 'self'"
    browser = shop.visit(
        shop.link(), recorder=_recorder(shop), headers={"Content-Security-Policy": policy}
    )
    assert stored(browser) == (ID, ID)
    browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_policy_without_inline_scripts(shop: Shop) -> None:
    """``delivery: file`` works where no inline script may run at all, with integrity checked."""
    shop.use(delivery="file", integrity=True)
    browser = shop.visit(
        shop.link(),
        recorder=_recorder(shop),
        headers={"Content-Security-Policy": f"{STRICT}'self'"},
    )
    assert stored(browser) == (ID, ID)
    browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_policy_with_nonce(shop: Shop) -> None:
    """With a nonce both parts run under a policy that trusts the nonce alone."""
    shop.use(nonce="r4nd0m")
    recorder = _recorder(shop).replace("<script", "<script nonce=r4nd0m")
    browser = shop.visit(
        shop.link(),
        recorder=recorder,
        headers={"Content-Security-Policy": f"{STRICT}'nonce-r4nd0m' 'strict-dynamic'"},
    )
    browser.click("#buy")
    assert shop.left().query == REFERENCE


def test_trusted_types(shop: Shop) -> None:
    """Under Trusted Types every surface carries the id, without a breach."""
    browser = shop.visit(
        f"""{shop.link()}<form action="{shop.pay}/form"><button id=form>Buy</button></form>
        <stripe-buy-button></stripe-buy-button>""",
        headers={"Content-Security-Policy": "require-trusted-types-for 'script'; trusted-types 'none'"},
    )  # fmt: skip
    assert browser.attribute("stripe-buy-button", "client-reference-id") == ID
    browser.run("buy.href = arguments[0]; buy.target = '_blank'", f"{shop.pay}/again")
    browser.click("#buy")
    assert shop.left().target == f"/{shop.key}/again?{REFERENCE}"
    browser.click("#form")
    assert shop.left().target == f"/{shop.key}/form?{REFERENCE}"
