"""Stand-ins for Stripe's hosts: payment pages, and the two custom elements of js.stripe.com.

The elements do what a page can see of the real ones: they observe ``client-reference-id``, post
it into a frame of another origin, and the button inside that frame leads to Stripe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from tools.engines.fake_web import FakeWeb, Request

PAYMENT_HOSTS = ("buy.stripe.com", "book.stripe.com", "donate.stripe.com")

_PAYMENT_PAGE = b"""<!doctype html><meta charset=utf-8><link rel=icon href="data:,">
<title>Pay</title><h1>Thank you for looking; nothing is sold here.</h1>"""

_ELEMENT = """
customElements.define('%s', class extends HTMLElement {
  static observedAttributes = ['client-reference-id'];
  connectedCallback() {
    if (this.frame) return;
    const params = new URLSearchParams();
    for (const {name, value} of this.attributes) params.set(name, value);
    this.frame = document.createElement('iframe');
    this.frame.style = 'border:0;width:220px;height:60px';
    this.frame.src = 'https://js.stripe.com/frame?' + params;
    // What changes while the frame still loads must not be lost.
    this.frame.onload = () => { this.loaded = true; this.post() };
    this.attachShadow({mode: 'open'}).append(this.frame);
  }
  attributeChangedCallback() { this.post() }
  post() {
    const id = this.getAttribute('client-reference-id');
    if (this.loaded) this.frame.contentWindow.postMessage({id}, 'https://js.stripe.com');
  }
});
"""

_FRAME = b"""<!doctype html><meta charset=utf-8><link rel=icon href="data:,">
<style>body{margin:0}a{display:block;font:16px/44px sans-serif;text-align:center;color:#fff;
background:#0570de;border-radius:6px;width:200px;text-decoration:none}</style>
<a target="_top">Buy now</a><script>
const params = new URLSearchParams(location.search);
const link = document.querySelector('a');
let shown;
const show = id => {
  const product = params.get('buy-button-id') || params.get('pricing-table-id');
  link.href = 'https://buy.stripe.com/' + product + (id ? '?client_reference_id=' + id : '');
  if (id !== shown) fetch('/posted?' + new URLSearchParams({product, id: id || ''}));
  shown = id;
};
addEventListener('message', event => show(event.data.id));
show(params.get('client-reference-id'));
</script>"""


def serve_stripe(web: FakeWeb) -> None:
    """Serve Stripe's hosts on a fake web."""
    for host in PAYMENT_HOSTS:
        web.put_host(host, payment_page)
    web.put_host("js.stripe.com", _scripts)


def payment_page(_: Request) -> Response:
    """Response as a payment page does."""
    return Response(_PAYMENT_PAGE)


def posted(product: str, reference: str) -> str:
    """Return the target of the request with which a frame reports the reference it holds."""
    return "/posted?" + urlencode({"product": product, "id": reference})


def _scripts(request: Request) -> Response:
    if request.path == "/frame":
        return Response(_FRAME)
    if request.path == "/posted":
        return Response(b"{}", "application/json")
    if request.path in ("/v3/buy-button.js", "/v3/pricing-table.js"):
        name = request.path.removeprefix("/v3/").removesuffix(".js")
        return Response((_ELEMENT % f"stripe-{name}").encode(), "text/javascript")
    return Response(b"", "text/plain", 404)
