"""Reading the few elements around a word finds what tokenizing the whole page finds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from tracknow_static.page import candidates, links
from tracknow_static.page.candidates import Element, elements, words
from tracknow_static.page.encoding import to_utf8
from tracknow_static.page.reader import read
from tracknow_static.tracknow import PAYMENT_HOSTS

HOSTS = PAYMENT_HOSTS | {"pay.shop.example"}
WORDS = words(HOSTS)

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


def exactly(data: bytes) -> list[Element]:
    """Return what a whole pass of the tokenizer finds."""
    places = candidates._places(data, data.lower(), WORDS)
    return [
        element
        for element in candidates.all_elements(data)
        if any(element.start <= place < element.end for place in places)
    ]


@given(st.lists(st.sampled_from(PARTS), max_size=14).map("".join))
def test_any_soup(page: str) -> None:
    """In any tag soup both ways find the same elements."""
    data = f"<!doctype html><body>\n{page}".encode()
    assert list(elements(data, WORDS)) == exactly(data)


# lexbor parses as without scripting, and a page in a form or an svg as a tree.
JUDGED = [part for part in PARTS if "noscript" not in part]


@given(st.lists(st.sampled_from(JUDGED), max_size=14).map("".join))
def test_same_links_as_another_parser(page: str) -> None:
    """An independent parser finds the same payment links, whatever is around them."""
    data = f"<!doctype html><body>\n{page}".encode()
    tree = LexborHTMLParser(data)
    base = next((node.attributes["href"] for node in tree.css("base[href]")), None)
    where = "https://buy.stripe.com/" if base else links.ANYWHERE
    expected = [
        parsed.href
        for node in tree.css("a, area")
        if (parsed := links.payment_url(node.attributes.get("href") or "", where, HOSTS))
        and node.attributes.get("href") is not None
    ]
    found = [surface.url for surface in read(data, HOSTS).surfaces if surface.kind == "link"]
    assert found == expected


@given(st.lists(st.sampled_from(PARTS[:11]).map("<p>{}\n".format), max_size=14).map("".join))
def test_lines(page: str) -> None:
    """Each surface is on the line where its address is."""
    lines = page.split("\n")
    for surface in read(page.encode(), HOSTS).surfaces:
        assert any(word in lines[surface.line - 1] for word in ("tripe", "shop"))


def _real_pages() -> list[Path]:
    folders = [Path("/usr/share/doc"), Path(candidates.__file__).parents[2] / "sample_site"]
    found = [path for folder in folders for path in sorted(folder.rglob("*.html"))]
    return [path for path in found if path.is_file() and path.stat().st_size < 100_000]


@pytest.mark.parametrize("seed", range(3))
def test_real_pages(seed: int) -> None:
    """In real pages with links and torn markup in random places both ways agree."""
    chance = random.Random(seed)
    pages = _real_pages()
    for path in chance.sample(pages, min(len(pages), 60)):
        page = to_utf8(path.read_bytes())
        for _ in range(chance.randint(1, 4)):
            at = max(0, page.rfind(b"<", 0, chance.randrange(len(page) + 1)))
            page = page[:at] + chance.choice(PARTS).encode() + page[at:]
        assert list(elements(page, WORDS)) == exactly(page), path


@pytest.fixture
def tokenized(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the pages that were tokenized from end to end."""
    sizes: list[int] = []
    whole = candidates.all_elements

    def noted(data: bytes) -> object:
        sizes.append(len(data))
        return whole(data)

    monkeypatch.setattr(candidates, "all_elements", noted)
    return sizes


@pytest.mark.parametrize(
    "before",
    [
        *('<p title=\'a\' lang="b">it\'s "so" &amp; a > b</p>', "<!-- a 'b -->", "<br/>"),
        *("<script>if (a < b) x = '\"'</script>", "<style>a > b {}</style>", "<title>'</title>"),
        *("<!DOCTYPE html>", '<img alt="" src=x>', "<svg><path d='M0 0'/></svg>", "é"),
        *("<!--> -->", "<!-- --!>"),
    ],
)
def test_usual_pages_are_not_tokenized(before: str, tokenized: list[int]) -> None:
    """What pages are made of leaves no doubt: one tag is read."""
    page = before.encode() + b'\n<a class="x" href="https://buy.stripe.com/1">buy</a>'
    (element,) = elements(page, WORDS)
    assert page[element.start : element.opened] == b'<a class="x" href="https://buy.stripe.com/1">'
    assert read(page).surfaces[0].line == 2
    assert tokenized == []


@pytest.mark.parametrize(
    "before",
    [
        *("<p title='<b>", '<p title="<b>', "<p title=\n'>", "<!-- ", "<![CDATA[", "<script>"),
        *("<script/>", "<style>", "<plaintext>", "<p ", "&#115;" * 300),
    ],
)
def test_doubt_is_left_to_the_tokenizer(before: str, tokenized: list[int]) -> None:
    """Whatever could make something else of the next tag has the whole page tokenized."""
    page = before.encode() + b"<a href=https://buy.stripe.com/1>"
    assert list(elements(page, WORDS)) == exactly(page)
    assert len(page) in tokenized


def test_nothing_after_a_noscript_is_lost() -> None:
    """What a noscript leaves open ends with it, as in a browser that runs scripts."""
    page = b"<noscript><div></noscript><a href=https://buy.stripe.com/1>"
    assert [surface.url for surface in read(page, HOSTS).surfaces] == ["https://buy.stripe.com/1"]
