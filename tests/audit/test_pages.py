"""``check``: every page carries the script, the right one, once, first to run; or why not."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.audit.conftest import LINK, page

if TYPE_CHECKING:
    from tests.audit.conftest import Site

REDIRECT = '<meta http-equiv="refresh" content="0; url=../new/">'


def test_an_injected_site_is_fine(site: Site) -> None:
    """All pages are current at any depth, nothing is to fix, exit code 0."""
    for path in ("index.html", "a/index.html", "a/b/c.htm", "404.html"):
        site.write(path, page())
    result = site.inject().check()
    assert "4 pages: 4 carry the script as they should" in result.output
    assert "nothing to fix" in result.output


def test_a_page_without_the_script(site: Site) -> None:
    """A page that was added after the injection is named; exit code 1."""
    site.write("a.html", page()).inject().write("new.html", page())
    assert site.states(code=1) == {"a.html": "current", "new.html": "missing"}
    assert site.codes(code=1) == ["new.html:1 TN401"]


@pytest.mark.parametrize(
    ("line", "state"),
    [("--param aff", "stale"), ("--delivery file", "duplicate"), ("--delivery split", "stale")],
)
def test_a_page_with_a_script_of_other_settings(site: Site, line: str, state: str) -> None:
    """The script is compared with the one that the settings make; two of another kind are many."""
    site.write("a.html", page()).inject(param="click")
    assert site.states(line, code=1) == {"a.html": state}
    assert site.codes(line, code=1)[0] == f"a.html:1 TN40{'2' if state == 'stale' else '3'}"


def test_the_same_other_settings_everywhere(site: Site) -> None:
    """All pages carry one other script: then it is the audit that lacks the settings."""
    for number in range(3):
        site.write(f"{number}.html", page())
    site.inject(param="partner")
    found = site.codes(code=1)
    assert ".:1 TN410" in found
    assert "settings read from: defaults" in site.check(code=1).output


def test_mixed_settings(site: Site) -> None:
    """Pages of two sites' settings in one folder: each script, its pages, and one of them."""
    site.write("a.html", page()).write("b/b.html", page()).inject()
    other = (site.root / "b/b.html").read_bytes()
    site.inject(param="partner").write("b/b.html", other)
    result = site.check("--param partner", code=1)
    assert "TN406" in result.output
    assert re.search(r"1 page such as a\.html \(carry\.\w+\.js\)", result.output)
    assert re.search(r"1 page such as b/b\.html \(carry\.\w+\.js\)", result.output)


def test_depth_makes_no_other_settings(site: Site) -> None:
    """The relative address of the file differs by folder; the script is the same."""
    site.write("a.html", page()).write("x/y/b.html", page()).inject()
    assert site.codes() == []


def test_the_script_twice(site: Site) -> None:
    """A page that carries the script twice counts a click twice at most; it is named."""
    site.write("a.html", page()).inject()
    once = (site.root / "a.html").read_text()
    tags = "".join(re.findall(r"<script data-tracknow.*?</script>", once, re.DOTALL))
    site.write("a.html", once.replace("</body>", tags + "</body>"))
    assert site.states(code=1) == {"a.html": "duplicate"}
    assert site.codes(code=1) == ["a.html:1 TN403"]


def test_the_script_too_late(site: Site) -> None:
    """A tool put something before the script: it is not first to run."""
    site.write("a.html", page()).inject()
    text = (site.root / "a.html").read_text()
    early = '<meta charset=utf-8><script>location.hash = "x"</script>'
    site.write("a.html", text.replace("<meta charset=utf-8>", early))
    assert site.states() == {"a.html": "misplaced"}
    moved = re.search(r"(<script data-tracknow.*</script>)(<title>.*?</title>)", text, re.DOTALL)
    assert moved
    site.write("a.html", text.replace(moved[0], moved[2] + moved[1]))
    assert site.states() == {"a.html": "misplaced"}
    assert site.codes("--fail-on warning", code=1) == ["a.html:1 TN404"]


@pytest.mark.parametrize("content", [b"", b"changed"], ids=["missing", "changed"])
def test_the_scripts_file(site: Site, content: bytes) -> None:
    """The file that all pages name is not there, or is another one."""
    site.write("a.html", page()).inject()
    (file,) = (site.root / "assets").iterdir()
    if content:
        file.write_bytes(content)
    else:
        file.unlink()
    assert site.codes(code=1) == [f"assets/{file.name}:1 TN405"]


def test_pages_that_cannot_take_the_script(site: Site) -> None:
    """AMP, XHTML and fragments: skipped, with the reason; a route to Stripe on one is an issue."""
    site.write("amp.html", "<!doctype html><html amp><head></head><body></body></html>")
    site.write("part.html", "<p>only a part</p>")
    site.write("x.xhtml", '<html xmlns="http://www.w3.org/1999/xhtml"><head/></html>')
    site.write("shop.html", f'<!doctype html><html amp><body><a href="{LINK}">b</a></body></html>')
    site.inject()
    assert set(site.states(code=1).values()) == {"skipped"}
    assert site.codes(code=1) == [
        "amp.html:1 TN407",
        "part.html:1 TN302",
        "shop.html:1 TN301",
        "x.xhtml:1 TN407",
        ".:1 TN413",
    ]


def test_excluded_pages(site: Site) -> None:
    """An excluded page is as it was; that it sells, or carries the script all the same, is reported."""
    site.write("in.html", page()).write("out/a.html", page(f'<a href="{LINK}">buy</a>')).inject()
    assert site.states("--exclude out/**")["out/a.html"] == "excluded"
    assert site.codes("--exclude out/**") == ["out/a.html:1 TN409", "out/a.html:3 TN408"]
    site.inject(exclude="out/**")
    assert site.codes("--exclude out/**") == ["out/a.html:3 TN408"]


@pytest.mark.parametrize("address", ["/shop/", "https://shop.example/shop/"])
def test_pages_that_are_served_at_any_depth(site: Site, address: str) -> None:
    """404.html names its file from the site's root, by path as plugins do or by the whole URL."""
    site.write("404.html", page()).inject(site_url=address)
    assert site.codes("--site-url https://shop.example/shop/") == []
    assert site.states("--site-url https://shop.example/", code=1) == {"404.html": "stale"}


def test_utf_16(site: Site) -> None:
    """A page in UTF-16 is read like any other."""
    text = page(f'<a href="{LINK}">buy</a>', REDIRECT).replace("<meta charset=utf-8>", "")
    site.write("a.html", text.encode("utf-16")).inject()
    assert site.states() == {"a.html": "current"}
    assert site.attributions() == [("link", 3, "carries the click id")]


def test_redirects_that_carry_the_script_are_fine(site: Site) -> None:
    """A stub of a redirect plugin keeps the click id, since the script runs before it leaves."""
    script = '<script>var to = location.hash; location.href = "../new/" + to</script>'
    site.write("old/index.html", page(head=script + REDIRECT)).inject()
    assert site.codes() == []


@pytest.mark.parametrize(
    "head",
    [
        REDIRECT,
        "<META HTTP-EQUIV=Refresh CONTENT=\"3;URL='../new/'\">",
        '<script>location.href = "../new/"</script>',
        '<script>window.location.replace("../new/")</script>',
    ],
)
def test_redirects_that_drop_the_query(site: Site, head: str) -> None:
    """A stub without the script, by refresh or by script, loses the click id of who lands there."""
    site.write("old/index.html", page(head=head)).write("a.html", page())
    site.inject(exclude="old/**")
    assert site.codes("--exclude old/**") == ["old/index.html:2 TN411"]


def test_many_redirects_are_one_entry(site: Site) -> None:
    """A plugin's hundred stubs lead to a hundred places, and are listed in one line."""
    for number in range(20):
        refresh = REDIRECT.replace("new", f"new{number}")
        site.write(f"old/{number:02}.html", page(head=refresh))
    site.inject(exclude="old/**")
    output = site.check("--exclude old/**").output
    assert output.count("TN411") == 1
    assert "site/old/00.html:2 and on 19 more pages" in output


def test_a_larger_page_is_no_stub(site: Site) -> None:
    """A page that does other things than redirect may mention location in its scripts."""
    script = '<script>if (old) location.href = "../new/"</script>' + "<p>text</p>" * 500
    site.write("a.html", page(script)).write("b.html", page(script, '<base href="./">'))
    site.inject(exclude="*")
    assert site.codes("--exclude *") == []


def test_redirects_to_another_host(site: Site) -> None:
    """What is kept on one host is not seen on another, unless the cookie is shared."""
    away = '<meta http-equiv="refresh" content="0; url=https://shop.example.com/">'
    site.write("a.html", page(head=away)).inject()
    assert site.codes("--site-url https://www.example.com/") == ["a.html:2 TN412"]
    assert site.codes("--site-url https://shop.example.com/") == []
    unsure = site.json()["pages"][0]["findings"][0]
    assert (unsure["code"], unsure["severity"]) == ("TN412", "info")
    site.inject(cookie_domain="example.com")
    line = "--cookie-domain example.com --site-url https://www.example.com/"
    assert site.codes(line) == []


def test_a_base_element(site: Site) -> None:
    """A base that sends relative links elsewhere is pointed out; one that does not is not."""
    site.write("a.html", page(head='<base href="https://cdn.example/">')).inject()
    site.write("b.html", page(head='<base href="./">')).inject()
    assert site.codes() == ["a.html:2 TN431"]


def test_a_base_element_before_the_script(site: Site) -> None:
    """With a late charset the tag comes after the base, which then misleads its relative address."""
    late = '<!doctype html><html><head><base href="https://cdn.example/">'
    late += f"<script>{'x' * 700}</script><meta charset=utf-8></head><body></body></html>"
    site.write("a.html", late).inject()
    assert "a.html:1 TN432" in site.codes(code=1)


def test_a_page_that_cannot_be_read(site: Site) -> None:
    """It is named and counted, the rest is audited, and so does the exit code."""
    site.write("a.html", page()).inject()
    (site.root / "b.html").symlink_to("/proc/self/mem")
    result = site.check(code=3)
    assert "1 carries the script as it should, 1 cannot be read" in result.output
    assert "site/b.html" in result.stderr


def test_links_and_loops(site: Site) -> None:
    """A link to a page of the site is audited there; folders behind links are not entered."""
    site.write("a.html", page()).inject()
    (site.root / "b.html").symlink_to("a.html")
    (site.root / "loop").symlink_to(site.root)
    (site.root / "gone.html").symlink_to("nowhere.html")
    os.mkfifo(site.root / "pipe.html")
    assert list(site.states()) == ["a.html"]


def test_odd_names(site: Site) -> None:
    """A name that is no text is still a page, in every format."""
    name = os.fsdecode(b"caf\xe9, 100%: x.html")
    site.write(name, page(f'<a href="{LINK}">buy</a>'))
    assert "TN401" in site.check(code=1).output
    for form in ("json", "github", "sarif"):
        assert "TN401" in site.check(f"--format {form}", code=1).output


def test_no_pages(site: Site) -> None:
    """An empty folder is an error: it is not the one that a build writes."""
    output = site.check(code=1).output
    assert "no HTML page found" in output
    assert "0 pages" in output


def test_no_folder(site: Site) -> None:
    """A folder that is not there is wrong usage."""
    site.root.rmdir()
    assert "does not exist" in site.check(code=2).output
