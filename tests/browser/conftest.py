"""Three engines, each started once per process, and a fresh shop for each test."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest

from tests.browser.node_page import NodePage
from tests.browser.shops import Shop
from tools.engines.browser import Browser, BrowserError
from tools.engines.fake_stripe import serve_stripe
from tools.engines.fake_web import FakeWeb
from tools.engines.launch import ENGINES, launch
from tools.engines.sandbox import Sandbox, SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def web() -> Iterator[FakeWeb]:
    """Servers and browsers of this process live in a network of their own."""
    try:
        sandbox = Sandbox()
    except SandboxError as error:
        _missing(str(error))
    made = FakeWeb(sandbox)
    serve_stripe(made)
    yield made
    made.close()
    sandbox.close()


@pytest.fixture(scope="session")
def started(web: FakeWeb) -> Iterator[dict[str, Browser]]:
    """Hold the browsers that run, by engine."""
    browsers: dict[str, Browser] = {}
    yield browsers
    for browser in browsers.values():
        browser.quit()


# One group an engine: a process starts as few browsers as it can.
@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.xdist_group(name), pytest.mark.browser])
        for name in ENGINES
    ]
)
def browser(
    request: pytest.FixtureRequest, web: FakeWeb, started: dict[str, Browser]
) -> Iterator[Browser]:
    """Give a browser with one empty tab; one that died is replaced for the next test."""
    name: str = request.param
    if name not in started:
        try:
            started[name] = launch(name, web.sandbox)
        except BrowserError as error:
            _missing(str(error))
    browser = started[name]
    yield browser
    try:
        browser.reset()
    except Exception:  # noqa: BLE001 - whatever it is: that browser is of no more use
        del started[name]
        browser.quit()


@pytest.fixture
def shop(web: FakeWeb, browser: Browser) -> Iterator[Shop]:
    """Give a shop whose pages must not have reported anything when the test ends."""
    made = Shop(web, browser, next(_NUMBERS))
    yield made
    assert made.problems() == []


def _missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
def node() -> Iterator[NodePage]:
    """Give the process."""
    with NodePage() as made:
        yield made


@pytest.fixture
def page(node: NodePage) -> NodePage:
    """Give a browser that stored nothing yet."""
    node.reset()
    return node
