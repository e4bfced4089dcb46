"""Dub's analytics beside ours: both ids reach Stripe.

The package on npm is what a merchant's bundle imports; it loads Dub's own script from Dub's
servers. A stand-in answers here with what that script does to a page: it writes ``dub_id`` into
links to the configured domains when the page is ready, over and over, and at each change of the
history, also in frames that the page writes itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.packages import bundle
from tests.browser.scenarios import FRAME, opening
from tests.browser.shops import REFERENCE
from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from tests.browser.shops import Shop

INJECT = """import {inject} from '@dub/analytics';
inject({domainsConfig: {outbound: 'buy.stripe.com'}, scriptProps: {src: '/dub.js'}});"""
# The interval is Dub's two seconds, made shorter.
DUB = b"""
const {outbound} = JSON.parse(document.currentScript.dataset.domains);
const write = () => {
  const frames = [...document.querySelectorAll('iframe[srcdoc]')].map(one => one.contentDocument);
  for (const root of [document, ...frames]) for (const link of root.querySelectorAll('a[href]')) {
    const url = new URL(link.href);
    if (url.hostname !== outbound || url.searchParams.has('dub_id')) continue;
    url.searchParams.set('dub_id', 'd1');
    link.href = url;
    window.written = (window.written || 0) + 1;
  }
};
write();
setInterval(write, 50);
for (const name of ['pushState', 'replaceState']) {
  const usual = history[name];
  history[name] = function () { usual.apply(this, arguments); write() };
}"""
# A merchant whose affiliate program is Dub's: its id is the reference.
OTHERS = """setInterval(() => { const url = new URL(other.href);
  if (!url.searchParams.has('client_reference_id')) {
    url.searchParams.set('client_reference_id', 'dub_id_d1'); other.href = url } }, 20)"""


@pytest.mark.parametrize("delivery", ["split", "file"])
def test_dub(shop: Shop, delivery: str) -> None:
    """Links that Dub's script rewrites again and again carry both ids and are not written to."""
    shop.use(delivery=delivery)
    script = bundle(("@dub/analytics@0.0.32",), INJECT)
    shop.web.put(shop.host, "/app.js", Response(script, "text/javascript"))
    shop.web.put(shop.host, "/dub.js", Response(DUB, "text/javascript"))
    inner = f'<a id=y target=there href="{shop.pay}/y?a=1">Buy</a>'
    browser = shop.visit(
        f"""{FRAME}<a id=buy target=there href="{shop.pay}/x">Buy</a>
        <iframe id=f width=300 height=100 srcdoc='{inner}'></iframe>
        <a id=other target=there href="{shop.pay}/o">Other</a><script>{OTHERS}</script>""",
        head="<script defer src=/app.js></script>",
    )
    browser.until("return window.written >= 3 && other.search.includes('dub_id_d1')")
    for _ in range(2):
        with opening(browser):
            browser.click("#buy")
            assert shop.left().target == f"/{shop.key}/x?dub_id=d1&{REFERENCE}"
    browser.until("return buy.search === '?dub_id=d1'")
    with opening(browser):
        browser.click_in_frame("#f", "#y")
        assert shop.left().target == f"/{shop.key}/y?a=1&dub_id=d1&{REFERENCE}"
    browser.run("history.pushState({}, '', '/elsewhere')")
    with opening(browser):
        browser.click("#other")
        request = shop.left()
    assert "client_reference_id=dub_id_d1" in request.query
    assert REFERENCE not in request.query
    assert browser.run("return window.written") == 3
    assert browser.run("return __record.log") == []
