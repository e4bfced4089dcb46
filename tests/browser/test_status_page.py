"""The relay's status page in three engines: readable by all, usable by keyboard, on any width."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.relay.operate.parts import environment, run
from tests.relay.status.parts import PASSWORD, application, authorization
from tools.demonstration.ledger import fill
from tools.engines import npm, wsgi
from tools.engines.browser import ENTER, TAB
from tools.engines.fake_web import Response
from tools.engines.selenium_engines import Chromium
from tracknow_static.relay.config import RelayConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.engines.browser import Browser
    from tools.engines.fake_web import FakeWeb
    from tracknow_static.relay.app import Relay

HOST = "relay.example"
PAGES = {
    "overview": "/status",
    "sales": "/status/sales",
    "filtered": "/status/sales?verdict=attributed&reference=nightowl",
    "empty": "/status/sales?reference=nobody",
    "refunds": "/status/refunds",
    "sale": "/status/sales/cs_live_a10005SAMPLE",
    "missing": "/status/nowhere",
    "refused": "/status/sales?verdict=nonsense",
}
# https://www.deque.com/axe, the checker that browsers' developer tools are made with.
AXE = ("axe-core", "4.10.3", "axe.min.js")
# What the other engines' drivers cannot do: be that narrow, and answer the question for a password.
IN_CHROMIUM = pytest.mark.parametrize(
    "browser",
    [pytest.param("chromium", marks=[pytest.mark.xdist_group("chromium"), pytest.mark.browser])],
    indirect=True,
)
_RUN_AXE = """;return axe.run(document, {resultTypes: ['violations']}).then(found =>
  found.violations.map(one => [one.id, ...one.nodes.map(node => node.html)].join(' ')))"""


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A relay's environment with two months of sales up to now."""
    folder = tmp_path_factory.mktemp("status")
    destination = "https://acme-tracking.tracknow.info/stripe/postback"
    made = environment(f"sqlite:///{folder}/relay.sqlite3", destination)
    fill(RelayConfig.from_environ(made), float(int(time.time())), days=45)
    return made


@pytest.fixture(scope="module")
def relay(environ: dict[str, str]) -> Iterator[Relay]:
    """The application on that database."""
    made = application(environ)
    yield made
    made.stop(30)


@pytest.fixture
def page(web: FakeWeb, browser: Browser, relay: Relay) -> Browser:
    """A browser for which the relay is a host of the web; the password comes with each request."""
    web.put_host(HOST, wsgi.host(relay, HTTP_AUTHORIZATION=authorization()))
    return browser


def opened(page: Browser, name: str) -> None:
    """Open one of the pages."""
    page.open(f"https://{HOST}{PAGES[name]}")


def violations(page: Browser) -> Any:
    """Return what axe finds wrong with the page."""
    return page.run(npm.read(*AXE).decode() + _RUN_AXE)


def test_axe_finds_nothing(page: Browser) -> None:
    """No page has a fault that a checker of accessibility knows, in light and in dark colors."""
    found = {}
    for name in PAGES:
        opened(page, name)
        found[name] = violations(page)
        if isinstance(page, Chromium):
            page.prefer("prefers-color-scheme", "dark")
            found[f"{name}, dark"] = violations(page)
            page.prefer("prefers-color-scheme", "")
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_style_applies_and_nothing_is_loaded(page: Browser, web: FakeWeb) -> None:
    """The policy lets the page's own style through; no page asks for anything but itself."""
    since = len(web.requests)
    for name in PAGES:
        opened(page, name)
        family = page.run("return getComputedStyle(document.body).fontFamily")
        assert "system-ui" in family, name
        assert page.run("return performance.getEntriesByType('resource').length") == 0
        assert page.run("return document.scripts.length") == 0
    asked = {request.target for request in web.requests[since:] if request.host == HOST}
    assert asked == set(PAGES.values())


def test_by_keyboard(page: Browser) -> None:
    """The first stop leads to the content; a form is filled and sent; a sale opens; back to the list."""
    opened(page, "sales")
    page.press(TAB)
    page.until("return document.activeElement.className === 'skip'")
    page.until("return document.activeElement.getBoundingClientRect().left >= 0")
    page.press(ENTER)
    page.until("return location.hash === '#content'")
    page.focus("#reference")
    page.run("window.__left = true")
    page.press(*"nightowl", ENTER)
    page.loaded()
    assert "reference=nightowl" in page.url
    rows = page.run(
        "return [...document.querySelectorAll('tbody .under.id')].map(one => one.innerText)"
    )
    assert set(rows) == {"nightowl"}
    page.focus("tbody a")
    page.run("window.__left = true")
    page.press(ENTER)
    page.loaded()
    assert "/status/sales/cs_live_" in page.url
    page.back()
    page.until(
        "return location.pathname.endsWith('/sales') && document.querySelector('#reference')"
    )
    assert page.run("return document.querySelector('#reference').value") == "nightowl"


def test_the_chart_has_a_table_behind_it(page: Browser) -> None:
    """The chart has a name and a text; its numbers are a table, which the keyboard opens."""
    opened(page, "overview")
    title, text = page.run(
        "return [...document.querySelectorAll('svg[role=img] > :is(title, desc)')].map(one => one.textContent)"
    )
    assert title == "Sales by month and verdict"
    assert "sales in 12 months" in text
    assert not page.run("return document.querySelector('details').open")
    page.focus("summary")
    page.press(ENTER)
    page.until("return document.querySelector('details').open")
    cells = page.run(
        """const rows = [...document.querySelectorAll('details tbody tr')];
        return rows.map(row => [...row.cells].slice(1).map(cell => +cell.innerText.replace(',', '')))"""
    )
    assert len(cells) == 12
    assert all(sum(row[:-1]) == row[-1] for row in cells)
    bars = page.run("return document.querySelectorAll('.plot rect').length")
    assert bars == sum(1 for row in cells for number in row[:-1] if number)


@IN_CHROMIUM
def test_every_page_fits_a_phone(page: Browser) -> None:
    """Nothing has to be scrolled sideways at 320 pixels; what can be pressed is large enough."""
    assert isinstance(page, Chromium)
    page.resize(320, 640)
    try:
        for name in PAGES:
            opened(page, name)
            width = page.run("return document.documentElement.scrollWidth")
            assert width <= 320, name
        opened(page, "sales")
        heights = page.run(
            "return [...document.querySelectorAll('input, select, button')].map(one => one.offsetHeight)"
        )
        assert min(heights) >= 40
    finally:
        page.resize(1280, 800)


@IN_CHROMIUM
def test_the_password_is_asked_for(page: Browser, web: FakeWeb, relay: Relay) -> None:
    """A browser that has no password sees nothing; with it in the address it comes in."""
    web.put_host("closed.example", wsgi.host(relay))
    # What the browser shows in the place of the answer has no host.
    page.open("https://closed.example/status", wait=False)
    page.loaded()
    assert "Destinations" not in page.run("return document.body.innerText")
    page.open(f"https://me:{PASSWORD.replace(' ', '%20')}@closed.example/status")
    assert "Destinations" in page.run("return document.body.innerText")


def test_the_report_as_a_file(page: Browser, web: FakeWeb, environ: dict[str, str]) -> None:
    """The HTML report is readable by itself, by all, in both colors and on a phone."""
    for number, more in enumerate(([], ["--by", "payment-link"], ["--refunds"])):
        html = run(environ, "report", "--format", "html", *more).stdout
        web.put("mail.example", f"/report-{number}.html", Response(html.encode()))
        page.open(f"https://mail.example/report-{number}.html")
        assert "system-ui" in page.run("return getComputedStyle(document.body).fontFamily")
        assert page.run("return document.querySelectorAll('tbody tr').length") > 1
        assert page.run("return document.scripts.length") == 0
        assert page.run("return performance.getEntriesByType('resource').length") == 0
        assert violations(page) == []
        if not isinstance(page, Chromium):
            continue
        page.prefer("prefers-color-scheme", "dark")
        page.resize(320, 640)
        try:
            assert violations(page) == []
            assert page.run("return document.documentElement.scrollWidth") <= 320
        finally:
            page.prefer("prefers-color-scheme", "")
            page.resize(1280, 800)
