"""A shop for one test: a host of its own, pages that carry the script, and what left for Stripe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.engines.fake_stripe import PAYMENT_HOSTS
from tools.engines.fake_web import FakeWeb, Request, Response
from tracknow_static.browser.compose import Script, compose
from tracknow_static.page.splice import transform
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    import threading

    from tools.engines.browser import Browser

ID = "aff-7d1e_42"
REFERENCE = f"client_reference_id={ID}"

# Stands before our script in every page: what goes wrong is reported to the fake web, what is
# written to the console is kept where a test can read it.
RECORDER = """<script>(() => {
const record = window.__record = {log: []};
const report = text => navigator.sendBeacon('/__report', text);
addEventListener('error', event => { if (event.message) report('error: ' + event.message) }, true);
addEventListener('unhandledrejection', event => report('rejection: ' + event.reason));
addEventListener('securitypolicyviolation', event =>
  report('policy: ' + event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample));
for (const name of ['log', 'info', 'warn', 'error', 'debug']) {
  const usual = console[name];
  console[name] = function (...words) {
    record.log.push(words.map(String).join(' '));
    return usual.apply(this, words);
  };
}
})()</script>"""


class Shop:
    """A site of its own on the fake web, under a host name that no other test uses.

    ``pay`` is the start of the URLs of its payment pages; ``left`` tells what was asked of them.
    """

    def __init__(self, web: FakeWeb, browser: Browser, number: int) -> None:
        self.web = web
        self.browser = browser
        self.host = f"shop{number}.example"
        self.key = f"t{number}"
        self.pay = f"https://buy.stripe.com/{self.key}"
        self.script: Script | None = None
        self.carry_hold: threading.Event | None = None
        self.carry_answer: Response | None = None
        self._seen = self._started = len(web.requests)
        web.sandbox.add_hosts(self.host)
        self.use()

    def use(self, **options: object) -> Script:
        """Choose the script's options; give the script."""
        self.script = compose(Settings.from_mapping(options))
        return self.script

    def page(
        self,
        body: str,
        path: str = "/",
        *,
        host: str | None = None,
        head: str = "",
        recorder: str = RECORDER,
        headers: dict[str, str] | None = None,
        script: bool = True,
    ) -> None:
        """Publish a page, with the script spliced in as the build does."""
        host = host or self.host
        text = (
            f'<!doctype html><html><head><meta charset=utf-8><link rel=icon href="data:,">'
            f"<title>{path}</title>{head}</head><body>{body}</body></html>"
        ).encode()
        if script and self.script:
            made = transform(text, self.script.tags("/"), relative=True)
            assert made.skipped is None
            text = made.page
            if self.script.asset_path and self.script.asset:
                answer = self.carry_answer or Response(
                    self.script.asset, "text/javascript", hold=self.carry_hold
                )
                self.web.put(host, "/" + self.script.asset_path, answer)
        if recorder:
            text = text.replace(b"<head>", b"<head>" + recorder.encode(), 1)
        self.web.put(host, path, Response(text, headers=headers or {}))

    def url(self, path: str = "/", *, host: str | None = None, scheme: str = "https") -> str:
        """Give the URL of a page."""
        return f"{scheme}://{host or self.host}{path}"

    def visit(self, body: str, *, path: str = f"/?click_id={ID}", **page: Any) -> Browser:
        """Publish a page and land on it with a click id; give the browser."""
        self.page(body, path.partition("?")[0], **page)
        self.browser.open(self.url(path, host=page.get("host")))
        return self.browser

    def left(self) -> Request:
        """Wait for the next request for a payment page of this shop, and give it."""
        request = self.web.wait_for(self._is_payment, self._seen)
        self._seen = self.web.requests.index(request, self._seen) + 1
        return request

    def asked(self) -> list[Request]:
        """Give all requests for payment pages of this shop so far."""
        return [
            request for request in self.web.requests[self._started :] if self._is_payment(request)
        ]

    def problems(self) -> list[str]:
        """Give what pages reported: uncaught errors, rejections, breaches of a policy."""
        return [
            request.body.decode()
            for request in self.web.requests[self._started :]
            if request.path == "/__report"
        ]

    def link(self, rest: str = "") -> str:
        """Give a plain payment link, ``#buy``."""
        return f'<a id="buy" href="{self.pay}{rest}">Buy</a>'

    def _is_payment(self, request: Request) -> bool:
        return request.path.startswith(f"/{self.key}") and (
            request.host in PAYMENT_HOSTS or request.host == f"pay.{self.host}"
        )


def stored(browser: Browser, name: str = "tn_click_id") -> tuple[str | None, str | None]:
    """Give the id in the cookie and in localStorage, as a script of the page reads them."""
    cookie, local = browser.until(
        "const found = document.cookie.split('; ').find(one => one.startsWith(arguments[0] + '='));"
        "return [found ? found.slice(arguments[0].length + 1) : null,"
        " localStorage.getItem(arguments[0])]",
        name,
    )
    return cookie, local
