"""The edge files in the servers and runtimes that they are for: which landings set the cookie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.edge.servers import serving
from tracknow_static.edge.files import HOSTS
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.edge.servers import Server

YEAR = 365 * 86_400
LONGEST = "a" * 200

# Query: the id that the cookie gets, or None where the script decides alone.
QUERIES = {
    "?click_id=abc_1-Z": "abc_1-Z",
    f"?click_id={LONGEST}": LONGEST,
    "?utm_source=x&click_id=abc&y=1": "abc",
    "?utm_source=x?click_id=abc": "abc",
    "?click_id=&click_id=abc": "abc",
    "?click_id=first&click_id=second": "first",
    "": None,
    "?click_id=": None,
    "?click_id=undefined": None,
    "?click_id=CLICK_ID": None,
    "?click_id=--your_click-id--": None,
    "?click_id=clickid-1": "clickid-1",
    "?click_id={click_id}": None,
    "?my_click_id=abc": None,
    "?CLICK_ID=abc": None,
    f"?click_id={LONGEST}a": None,
    "?click_id=" + "a" * 5_000: None,
    # What tries to break out of the header.
    "?click_id=abc;Domain=evil.example": None,
    "?click_id=abc%0d%0aSet-Cookie:%20evil=1": None,
    "?click_id=abc%00": None,
    "?click_id=%61bc": None,
    "?click_id=abc%3B%20Max-Age=0": None,
    "?click_id=abc,evil=1": None,
    '?click_id="abc"': None,
    "?click_id=$tracknow_id": None,
    "?click_id={re.tracknow.0}": None,
    "?click_id=%{TRACKNOW_ID}e": None,
}


def ours(cookies: list[str]) -> list[str]:
    """Cookies other than the one that the site sets by itself."""
    return [cookie for cookie in cookies if cookie != "own=1; Path=/"]


def cookie(click_id: str, seconds: int = YEAR, name: str = "tn_click_id", domain: str = "") -> str:
    """The cookie of an id."""
    return f"{name}={click_id}; Max-Age={seconds}; Path=/{domain}; Secure; SameSite=Lax"


@pytest.fixture(scope="module", params=HOSTS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Each kind of host in turn, with the default options."""
    folder = tmp_path_factory.mktemp(request.param)
    with serving(request.param, Settings(), folder) as running:
        yield running


def test_which_landings_set_the_cookie(server: Server) -> None:
    """A valid id is set with every attribute; nothing else reaches the header."""
    for query, click_id in QUERIES.items():
        answer = server.ask(f"/guide/{query}")
        assert "own=1; Path=/" in answer.cookies, query
        assert ours(answer.cookies) == ([cookie(click_id)] if click_id else []), query
        assert ("no-store" in answer.cache_control) == bool(click_id), query


def test_every_page_is_a_landing_page(server: Server) -> None:
    """The root, a deep page and HEAD set the cookie; a POST does not."""
    for target in ("/?click_id=abc", "/guide/?click_id=abc", "/guide/index.html?click_id=abc"):
        assert ours(server.ask(target).cookies) == [cookie("abc")], target
    assert ours(server.ask("/?click_id=abc", method="HEAD").cookies) == [cookie("abc")]
    assert ours(server.ask("/?click_id=abc", method="POST", Content_Length="0").cookies) == []


def test_a_missing_page_is_a_landing_page(server: Server) -> None:
    """A 404 page carries the script, so its answer carries the cookie."""
    answer = server.ask("/nowhere/?click_id=abc")
    assert answer.status == (404 if server.has_missing_pages else 200)
    assert ours(answer.cookies) == [cookie("abc")]


def test_what_is_no_page_is_left_alone(server: Server) -> None:
    """A data file that a script asks for gets no cookie and keeps its caching."""
    answer = server.ask("/data.json?click_id=abc", Accept="*/*")
    assert ours(answer.cookies) == []
    assert "no-store" not in answer.cache_control


def test_a_reload_is_no_new_click(server: Server) -> None:
    """An id that is stored already stays when the page is reloaded, and loses to a new click."""
    stored = {"Cookie": "own=1; tn_click_id=newer"}
    assert ours(server.ask("/?click_id=older", Cache_Control="max-age=0", **stored).cookies) == []
    assert ours(server.ask("/?click_id=older", **stored).cookies) == [cookie("older")]
    first = server.ask("/?click_id=older", Cache_Control="max-age=0", Cookie="x_tn_click_id=y")
    assert ours(first.cookies) == [cookie("older")]


def test_a_prefetch_is_no_visit(server: Server) -> None:
    """A page that the browser loads ahead may never be seen."""
    assert ours(server.ask("/?click_id=abc", Sec_Purpose="prefetch;prerender").cookies) == []


@pytest.mark.parametrize("host", HOSTS)
def test_options(host: str, tmp_path: Path) -> None:
    """First click, parameter, name, window, domain and Global Privacy Control are followed."""
    settings = Settings(
        param="ref",
        storage_name="shop_ref",
        window_days=30,
        cookie_domain="example.com",
        attribution="first",
        respect_gpc=True,
    )
    wanted = cookie("abc", 30 * 86_400, "shop_ref", "; Domain=example.com")
    with serving(host, settings, tmp_path) as server:
        assert ours(server.ask("/?ref=abc").cookies) == [wanted]
        assert ours(server.ask("/?click_id=abc").cookies) == []
        assert ours(server.ask("/?ref=abc", Cookie="shop_ref=older").cookies) == []
        assert ours(server.ask("/?ref=abc", Cookie="shop_ref=").cookies) == [wanted]
        assert ours(server.ask("/?ref=abc", Sec_GPC="1").cookies) == []
        elsewhere = server.ask("/?ref=abc", Host="shop.notexample.com")
        assert ours(elsewhere.cookies) == [wanted.replace("; Domain=example.com", "")]
