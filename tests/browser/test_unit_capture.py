"""The part in the page by itself, while the script file is missing: it stores and decorates."""

from __future__ import annotations

import json

import pytest

from tests.browser.node_page import NAME, QUERIES, SHOP, NodePage
from tracknow_static.browser.compose import compose
from tracknow_static.settings import Settings

DAY = 86400
FIRST = Settings(attribution="first")


def click(page: NodePage, search: str, host: str = "buy.stripe.com") -> str:
    """Click a link with that query; give what its query is set to, or what it was."""
    link = {"host": host, "search": search}
    code = (
        f"const link = {json.dumps(link)}; link.getAttribute = () => 'before';"
        "listeners.click[0]({composedPath: () => [{}, link]})"
    )
    return str(page.ask("run", code=f"(() => {{ {code}; return link.search }})()"))


@pytest.mark.parametrize(("query", "found"), QUERIES)
def test_capture_alone_reads_as_both_parts_do(
    page: NodePage, query: str, found: str | None
) -> None:
    """What a page that is left before the file came keeps is what Stripe accepts, too."""
    page.ask("page", script=compose(Settings()).inline, url=SHOP + query)
    assert page.cookies() == ([(found, "", 365)] if found else [])
    assert page.storage() == ({NAME: found} if found else {})


def test_capture_alone_stores(page: NodePage) -> None:
    """Where the file never arrives the id is kept all the same."""
    page.ask("page", script=compose(Settings()).inline, url=SHOP + "?click_id=abc")
    assert page.cookies() == [("abc", "", 365)]
    assert page.storage() == {NAME: "abc"}


def test_capture_alone_leaves_the_first_click(page: NodePage) -> None:
    """With attribution: first neither store nor a click that comes before the file takes the second."""
    inline = compose(FIRST).inline
    page.ask("page", script=inline, url=SHOP + "?click_id=one")
    page.ask("page", script=inline, url=SHOP + "?click_id=two")
    assert page.cookies() == [("one", "", 365)]
    assert page.storage() == {NAME: "one"}
    assert click(page, "") == "client_reference_id=one"


def test_capture_alone_leaves_the_first_click_where_no_cookie_is(page: NodePage) -> None:
    """With attribution: first and without cookies the localStorage entry stays, too."""
    page.reset(refuse=["cookies"])
    for value in ("one", "two"):
        page.ask("page", script=compose(FIRST).inline, url=f"{SHOP}?click_id={value}")
    assert page.storage() == {NAME: "one"}


@pytest.mark.parametrize(
    ("search", "asked"),
    [
        ("", "client_reference_id=abc"),
        ("?a=%20b", "?a=%20b&client_reference_id=abc"),
        ("?client_reference_id=own", "?client_reference_id=own"),
    ],
)
def test_capture_alone_decorates(page: NodePage, search: str, asked: str) -> None:
    """A click before the file came adds the reference, and leaves one that is there."""
    page.ask("page", script=compose(Settings()).inline, url=SHOP + "?click_id=abc")
    assert click(page, search) == asked


def test_capture_alone_stores_for_the_domain(page: NodePage) -> None:
    """With cookie_domain the other subdomains know the id before the file came."""
    inline = compose(Settings(cookie_domain="shop.example")).inline
    page.ask("page", script=inline, url="https://www.shop.example/?click_id=abc")
    assert ("abc", "shop.example", 365) in page.cookies()


@pytest.mark.parametrize("host", ["buy.stripe.com.evil.example", "notbuy.stripe.com", ""])
def test_capture_alone_leaves_other_hosts(page: NodePage, host: str) -> None:
    """What only looks like Stripe gets no click id, before the file came as after."""
    page.ask("page", script=compose(Settings()).inline, url=SHOP + "?click_id=abc")
    assert click(page, "?a", host) == "?a"


@pytest.mark.parametrize("refused", ["cookies", "storage"])
def test_capture_alone_meets_a_store_that_throws(page: NodePage, refused: str) -> None:
    """Nothing is thrown, and the other store is written."""
    page.reset(refuse=[refused])
    page.ask("page", script=compose(Settings()).inline, url=SHOP + "?click_id=abc")
    written = {"storage": [value for value, _, _ in page.cookies()], "cookies": page.storage()}
    assert "abc" in str(written[refused])
