"""`tracknow-static walk` with a real Chromium: every kind of route, taken and compared."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tracknow_static.cli import cli
from tracknow_static.page.site import process_site
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("walk")]

ID = "tn-Walk_0aZ"
_HEAD = '<!doctype html><html><head><meta charset="utf-8"><title>Shop</title></head><body>'
DEFAULTS = Settings()
BUY = "https://buy.stripe.com"

PAGES = {
    "index.html": f"""
        <a href="{BUY}/link?prefilled_email=a%20b">Buy</a>
        <form action="{BUY}/get"><input type=hidden name=x value="1 2"><button>Pay</button></form>
        <form action="{BUY}/post?y=1" method=post><input name=z value=3><button>Pay</button></form>
        <form action="{BUY}/needs"><input name=mail required><button>Pay</button></form>
        <button onclick="location.href='{BUY}/onclick'">Go</button>
        <p hidden><a href="{BUY}/hidden">Buy</a></p>
        <img src="https://pictures.example/cup.png" alt="">""",
    "own.html": f'<a href="{BUY}/own?client_reference_id=mine">Buy</a>',
    "button.html": '<script async src="https://js.stripe.com/v3/buy-button.js"></script>'
    '<stripe-buy-button buy-button-id="buy_btn_1" publishable-key="pk_live_1"></stripe-buy-button>',
    "frame/index.html": f"""<iframe srcdoc='<a target="_top" href="{BUY}/framed">Buy</a>'></iframe>""",
    "opens.html": f"""<button onclick="window.open('{BUY}/opened')">Go</button>""",
    "late.html": f"""<p></p><section></section><script>
        setTimeout(() => {{
            document.querySelector("section").innerHTML = `<a href="{BUY}/late">Buy</a>`;
            document.querySelector("p").attachShadow({{mode: "closed"}}).innerHTML =
                `<a href="{BUY}/late-closed">Buy</a>`;
        }}, 500);
    </script>""",
    "404.html": f'<a href="{BUY}/lost">Buy</a>',
    "caf\udce9.html": f'<form action="{BUY}/cafe"><button>Pay</button></form>',  # no UTF-8
}


def build(folder: Path, pages: dict[str, str], settings: Settings = DEFAULTS) -> str:
    """Build a site with the script in every page; returns its folder."""
    for name, body in pages.items():
        page = folder / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f"{_HEAD}{body}</body></html>")
    assert not process_site(folder, settings, site_url="/").failures
    return str(folder)


def walk(site: str, *arguments: str) -> Result:
    """Run the command."""
    done = CliRunner().invoke(cli, ["walk", site, *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done


def results(done: Result) -> dict[tuple[str, str, str], tuple[Any, str]]:
    """The result and what was asked for or why not, by page, address or kind, and action."""
    routes = json.loads(done.stdout)["routes"]
    return {
        (route["page"], route["url"] or route["kind"], route["action"]): (
            route["result"],
            route["asked"] or route["reason"],
        )
        for route in routes
        if route["scene"] in ("with an id", "landing")
    }


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The walk over a site with one of each kind."""
    return walk(build(tmp_path_factory.mktemp("site"), PAGES), "--all", "--format", "json")


def test_each_route_asks_for_exactly_its_address(report: Result) -> None:
    """Links by click, middle click and keyboard, forms of both kinds, handlers, frames, elements, late ones."""
    found = results(report)
    link = f"{BUY}/link?prefilled_email=a%20b"
    for action in ("click", "middle click", "keyboard"):
        asked = f"{link}&client_reference_id={ID}"
        assert found["index.html", link, action] == ("exact", asked), action
    for page, name, action, asked in (
        ("index.html", f"{BUY}/get", "submit", f"{BUY}/get?x=1+2&client_reference_id={ID}"),
        ("index.html", f"{BUY}/post?y=1", "submit", f"{BUY}/post?y=1&client_reference_id={ID}"),
        ("index.html", "handler", "click", f"{BUY}/onclick?client_reference_id={ID}"),
        ("frame/index.html", f"{BUY}/framed", "click", f"{BUY}/framed?client_reference_id={ID}"),
        ("caf\ufffd.html", f"{BUY}/cafe", "submit", f"{BUY}/cafe?client_reference_id={ID}"),
        ("late.html", f"{BUY}/late", "click", f"{BUY}/late?client_reference_id={ID}"),
        ("late.html", f"{BUY}/late-closed", "click", f"{BUY}/late-closed?client_reference_id={ID}"),
    ):
        assert found[page, name, action] == ("exact", asked), name
    own = f"{BUY}/own?client_reference_id=mine"
    assert found["own.html", own, "click"] == ("own-reference", own)
    result, asked = found["button.html", "buy_btn_1", "appear"]
    assert (result, asked.partition("?")[2]) == (
        "exact",
        f"product=buy_btn_1&client_reference_id={ID}",
    )


def test_what_cannot_be_reached_has_its_reason(report: Result) -> None:
    """A hidden link and a form that needs input are no failures."""
    found = results(report)
    assert found["index.html", f"{BUY}/hidden", "click"] == (None, "it is hidden")
    assert found["index.html", f"{BUY}/needs", "submit"] == (None, "it needs input")


def test_a_lost_id_is_an_error(report: Result) -> None:
    """window.open without the option loses the id: exit code 1 and a finding with page and line."""
    assert results(report)["opens.html", "handler", "click"] == ("missing", f"{BUY}/opened")
    document = json.loads(report.stdout)
    errors = [entry for entry in document["findings"] if entry["severity"] == "error"]
    assert [(entry["code"], entry["file"]) for entry in errors] == [("TN701", "opens.html")]
    assert report.exit_code == 1


def test_nothing_leaves_the_machine(report: Result) -> None:
    """Other hosts that the pages ask are answered by the stand-in, and named."""
    assert json.loads(report.stdout)["other_hosts"]["pictures.example"] >= 1


def test_the_visitor_comes_back_and_lands_anywhere(report: Result) -> None:
    """A new tab keeps the id, and so does landing on the 404 page."""
    scenes = {(route["scene"], route["result"]) for route in json.loads(report.stdout)["routes"]}
    assert ("coming back in a new tab", "exact") in scenes
    landing = results(report)["walk/no-such-page/", "landing", "land on the page"]
    assert landing[0] == "exact"


def test_a_page_without_the_script(tmp_path: Path) -> None:
    """What helps is named: injecting; an excluded page loses the id on purpose, and no other does."""
    form = f'<form action="{BUY}/form"><button>Pay</button></form>'
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "index.html").write_text(_HEAD + form)
    done = walk(str(tmp_path / "bare"))
    assert done.exit_code == 1
    assert "TN701" in done.stdout
    assert "Run `tracknow-static inject`" in done.stdout
    assert "1 route on 1 page taken: 0 as expected, 1 not\n" in done.stdout
    pages = {"a.html": form, "index.html": form}
    done = walk(build(tmp_path / "site", pages, Settings(exclude=("a.html",))), "--all")
    assert done.exit_code == 0, done.output
    assert "a.html:1: info TN701" in done.stdout
    assert "2 routes on 2 pages taken: 1 as expected, 1 not\n" in done.stdout


def test_closed_shadow_roots(tmp_path: Path) -> None:
    """A link in a closed root is walked: made by a script or by markup, at the top or in a frame."""

    def component(name: str) -> str:
        return f"""<p></p><script>
            document.querySelector("p").attachShadow({{mode: "closed"}}).innerHTML =
                `<a target="_top" href="{BUY}/{name}">Buy</a>`;
        </script>"""

    pages = {
        "index.html": component("scripted"),
        "markup.html": f"""<p><template shadowrootmode="closed"><a href="{BUY}/markup">Buy</a>
            </template></p><iframe srcdoc='{component("framed")}'></iframe>""",
    }
    found = results(walk(build(tmp_path, pages), "--all", "--json"))
    for page, name in (("index", "scripted"), ("markup", "markup"), ("markup", "framed")):
        asked = f"{BUY}/{name}?client_reference_id={ID}"
        assert found[f"{page}.html", f"{BUY}/{name}", "click"] == ("exact", asked), name
        assert found[f"{page}.html", f"{BUY}/{name}", "keyboard"] == ("exact", asked), name


def test_the_option_window_open(tmp_path: Path) -> None:
    """The same page built with window_open is as expected."""
    site = build(tmp_path, {"opens.html": PAGES["opens.html"]}, Settings(window_open=True))
    done = walk(site)
    assert done.exit_code == 0, done.output
    assert "as expected, 0 not" in done.stdout


def test_redirects_are_landed_on(tmp_path: Path) -> None:
    """A stub keeps the id on the way to a page, and to Stripe where the browser lets it."""
    pages = {
        "index.html": PAGES["own.html"],
        "go.html": "<script>location.replace('index.html')</script>",
        "pay.html": f"<script>location.href = '{BUY}/at-once'</script>",
    }
    found = results(walk(build(tmp_path, pages, Settings(delivery="inline")), "--json"))
    assert found["go.html", "landing", "land on the page"][0] == "exact"
    asked = f"{BUY}/at-once?client_reference_id={ID}"
    assert found["pay.html", "load", "open the page"] == ("exact", asked)


def test_consent(tmp_path: Path) -> None:
    """Before an answer and after a refusal no id is sent, after a yes it is."""
    settings = Settings(consent="event:agreed")
    pages = {"index.html": f'<a href="{BUY}/link">Buy</a>'}
    done = walk(build(tmp_path, pages, settings), "--json")
    scenes: dict[str, set[tuple[str, str]]] = {}
    for route in json.loads(done.stdout)["routes"]:
        scenes.setdefault(route["scene"], set()).add((route["result"], route["asked"]))
    bare, full = f"{BUY}/link", f"{BUY}/link?client_reference_id={ID}"
    assert scenes["before consent"] == {("exact", bare)}
    assert scenes["after consent"] == {("exact", full)}
    assert scenes["after a refusal"] == {("exact", bare)}
    assert done.exit_code == 0


def test_a_page_that_takes_the_id_away(tmp_path: Path) -> None:
    """A script of the page that rewrites the address is found out, with a picture."""
    body = f"""<a href="{BUY}/link">Buy</a><script>
        document.querySelector('a').addEventListener('click', event => {{
            event.preventDefault();
            const known = document.cookie.includes('tn_click_id');
            location.href = '{BUY}/' + (known ? 'dearer' : 'link');
        }});</script>"""
    site = build(tmp_path / "site", {"index.html": body})
    done = walk(site, "--format", "github", "--screenshots", str(tmp_path / "pictures"))
    assert done.exit_code == 1
    assert "title=tracknow TN702" in done.stdout
    assert f"{BUY}/dearer?client_reference_id={ID} in place of" in done.stdout
    pictures = list((tmp_path / "pictures").iterdir())
    assert pictures
    assert pictures[0].read_bytes().startswith(b"\x89PNG")


def test_wrong_usage_is_named(tmp_path: Path) -> None:
    """No payment route, no browser, no folder for pictures: exit code 2 and what to do."""
    site = build(tmp_path / "site", {"index.html": "<p>Nothing to buy"})
    done = walk(site)
    assert (done.exit_code, "no page leads to a payment page" in done.output) == (2, True)
    done = walk(site, "--browser", "/nowhere/chrome")
    assert done.exit_code == 2
    assert "--browser /nowhere/chrome: no such program. Install one (Debian: apt-get" in done.output
    site = build(tmp_path / "shop", {"index.html": f'<a href="{BUY}/link">Buy</a>'})
    done = walk(site, "--browser", shutil.which("true") or "")
    assert done.exit_code == 2
    assert "true: it does not start as Chrome does: session not created" in done.output
    assert "selenium.dev" not in done.output
    done = walk(site, "--allow", "https://cdn.example/")
    assert done.exit_code == 2
    assert "'https://cdn.example/' is not accepted. Accepted: a host name" in done.output
    (tmp_path / "file").touch()
    done = walk(site, "--screenshots", str(tmp_path / "file" / "x"))
    assert done.exit_code == 2
