"""Reading the few tags around a needle says the same as parsing the whole page."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknow_static.page import links, reading
from tracknow_static.page.encoding import to_utf8
from tracknow_static.page.windows import windows

if TYPE_CHECKING:
    from tracknow_static.page.surfaces import Inspection

HOSTS = links.all_hosts(["pay.shop.example"])
NEEDLES = {b"stripe", b"pay.shop.example"}

# Links, and what may hide one, or make one of what is none.
PARTS = [
    '<a href="https://buy.stripe.com/1">buy</a>',
    "<area href=https://b%75y.stripe.com/2>",
    '<a href="&#104;ttps://buy.&#115;tripe.com/3">',
    "<button onclick=\"location='https://pay.shop.example/4'\">x</button>",
    "<script>go('https://book.stripe.com/5')</script>",
    "<script async src=https://js.stripe.com/v3></script>",
    "<stripe-buy-button publishable-key=pk_test_1></stripe-buy-button>",
    "<meta http-equiv=refresh content='0; url=https://buy.stripe.com/6'>",
    "<iframe src=https://buy.stripe.com/7 onload=\"x('https://buy.stripe.com/7')\"></iframe>",
    "<noscript><a href=https://buy.stripe.com/8></a></noscript>",
    "<script>var tn_click_id = localStorage.x</script>",
    *("<body onload=\"go('https://buy.stripe.com/9')\">", "<base href=https://buy.stripe.com/>"),
    *("stripe", "tn_click_id", "text", "it's", " x = ", "a > b", "\n", " ", "<b>", "</p>", "é"),
    *("<!--", "-->", "<!-->", "--!>", "<!x", "<?x", "<![CDATA[", "]]>", "<", ">", "'", '"'),
    *("<p title='", '<p title="', "<p title=", "<titlebar>", "<script/>", "<plaintext>"),
    *("<script>", "</script>", "<style>", "</style>", "<title>", "</title>", "<textarea>"),
    *("</textarea>", "<xmp>", "</xmp>", "<svg>", "</svg>", "<script\n>", "</script x='>'>"),
]


def bare(inspection: Inspection) -> list[tuple[str, str, str | None]]:
    """Give what was found without lines."""
    return [(one.kind, one.url, one.reference) for one in inspection.surfaces]


@given(st.lists(st.sampled_from(PARTS), max_size=14).map("".join))
def test_windows_find_what_a_whole_parse_finds(page: str) -> None:
    """In any tag soup both ways find the same; windows leave to the other what is in doubt."""
    data = f"<!doctype html><body>\n{page}".encode()
    few = reading.read(data, HOSTS, links.ANYWHERE, NEEDLES)
    whole = reading.read_whole(data, HOSTS, links.ANYWHERE, NEEDLES)
    assert bare(few) == bare(whole)
    assert (few.vendor_line is None) == (whole.vendor_line is None)


@given(st.lists(st.sampled_from(PARTS[:11]).map("<p>{}\n".format), max_size=14).map("".join))
def test_windows_know_the_same_lines(page: str) -> None:
    """What stands on a line of its own is found there both ways."""
    data = page.encode()
    assert windows(data, NEEDLES) is not None
    few = reading.read(data, HOSTS, links.ANYWHERE, NEEDLES)
    assert few == reading.read_whole(data, HOSTS, links.ANYWHERE, NEEDLES)
    lines = page.split("\n")
    assert all(re.search("buy|stripe|shop", lines[one.line - 1]) for one in few.surfaces)


def _real_pages() -> list[Path]:
    folders = [Path("/usr/share/doc"), Path(reading.__file__).parents[2] / "sample_site"]
    found = [path for folder in folders for path in sorted(folder.rglob("*.html"))]
    return [path for path in found if path.is_file() and path.stat().st_size < 100_000]


@pytest.mark.parametrize("seed", range(3))
def test_windows_in_real_pages(seed: int) -> None:
    """In real pages that got links and torn markup in random places both ways agree."""
    chance = random.Random(seed)
    pages = _real_pages()
    certain = 0
    for path in chance.sample(pages, min(len(pages), 60)):
        page = to_utf8(path.read_bytes())
        for _ in range(chance.randint(1, 4)):
            at = max(0, page.rfind(b"<", 0, chance.randrange(len(page) + 1)))
            page = page[:at] + chance.choice(PARTS).encode() + page[at:]
        certain += windows(page, NEEDLES) is not None
        few = reading.read(page, HOSTS, links.ANYWHERE, NEEDLES)
        assert bare(few) == bare(reading.read_whole(page, HOSTS, links.ANYWHERE, NEEDLES)), path
    assert certain or not pages


@pytest.mark.parametrize(
    "before",
    [
        *('<p title=\'a\' lang="b">it\'s "so" &amp; a > b</p>', "<!-- a 'b -->", "<br/>"),
        *("<script>if (a < b) x = '\"'</script>", "<style>a > b {}</style>", "<title>'</title>"),
        *("<!DOCTYPE html>", '<img alt="" src=x>', "<svg><path d='M0 0'/></svg>", "é"),
    ],
)
def test_usual_pages_are_not_parsed_whole(before: str) -> None:
    """What pages are made of leaves no doubt: one tag is parsed."""
    page = before.encode() + b'\n<a class="x" href="https://buy.stripe.com/1">buy</a>'
    (piece,) = windows(page, NEEDLES) or []
    assert page[piece.start : piece.end] == b'<a class="x" href="https://buy.stripe.com/1">'
    assert piece.line == 2


@pytest.mark.parametrize(
    "before",
    [
        *("<p title='<b>", '<p title="<b>', "<p title=\n'>", "<!-- ", "<!--> -->", "<![CDATA["),
        *("<script>", "<script/>", "<style>", "<plaintext>", "<p ", "<base href=x>", "\xff"),
        *("x" * (1 << 20), "//ｓtripe.com"),
    ],
)
def test_doubt_is_left_to_the_parser(before: str) -> None:
    """Whatever could make something else of the next tag has the whole page parsed."""
    page = before.encode("latin-1" if before == "\xff" else "utf-8")
    assert windows(page + b"<a href=https://buy.stripe.com/1>", NEEDLES) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [("<script/>", "</script>"), ("<!-- --!>", "-->"), ("<plaintext>", "</plaintext>")],
)
def test_doubt_about_an_end(before: str, after: str) -> None:
    """Where parsers disagree on what ends, the whole page is parsed."""
    page = f"{before}<a href=https://buy.stripe.com/1>{after}"
    assert windows(page.encode(), NEEDLES) is None


def test_nothing_after_a_noscript_is_lost() -> None:
    """What a noscript leaves open ends with it, as in a browser that runs scripts."""
    page = b"<noscript><div></noscript><a href=https://buy.stripe.com/1>"
    found = reading.read(page, HOSTS, links.ANYWHERE, NEEDLES)
    assert [one.url for one in found.surfaces] == ["https://buy.stripe.com/1"]
