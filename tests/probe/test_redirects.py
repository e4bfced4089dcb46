"""What a redirect does to the id, and which spellings of an address are tried."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknow_static.probe.client import Answer, Hop, followed
from tracknow_static.probe.redirects import TEST_ID, is_intact, judge_hops, variants, with_id

_TEXT = st.text(st.characters(codec="ascii", exclude_characters="#"), max_size=20)

DAMAGE = {
    "/b/": "dropped",
    "/b/?utm=1": "dropped",
    f"/b/?ref={TEST_ID}": "renamed to 'ref'",
    f"/b/#top?click_id={TEST_ID}": "moved behind the fragment",
    f"/b/?click_id={TEST_ID.lower()}": f"changed to '{TEST_ID.lower()}'",
    f"/b/?click_id={TEST_ID[:5]}": f"changed to '{TEST_ID[:5]}'",
    f"/b/?next=%2Fa%3Fclick_id%3D{TEST_ID}": "encoded into another parameter",
    f"/b/?click_id%3D{TEST_ID}": "encoded into another parameter",
}


def hop(to: str, url: str = f"https://a.example/a?click_id={TEST_ID}", status: int = 301) -> Hop:
    """A redirect of a landing."""
    return Hop(url, status, followed(url, to))


@pytest.mark.parametrize(("to", "words"), DAMAGE.items())
def test_the_hop_that_loses_the_id_is_named(to: str, words: str) -> None:
    """The finding has the damage, the status and both addresses."""
    answer = Answer("https://a.example/b/", hops=(hop(to),), status=200)
    (found,) = judge_hops(answer, "click_id")
    assert found.code == "TN601"
    assert f"{words} by 301 https://a.example/a?click_id={TEST_ID} → " in found.message


def test_only_the_first_damage_counts() -> None:
    """What comes after it was lost before, and the whole chain is shown."""
    first = hop("/b/?click_id=" + TEST_ID, status=308)
    hops = (first, hop("/c/", first.to), hop("/d/", "https://a.example/c/"))
    (found,) = judge_hops(Answer("https://a.example/d/", hops=hops, status=200), "click_id")
    assert "dropped by 301 https://a.example/b/" in found.message
    assert "→ 308 → https://a.example/b/" in found.message
    assert found.message.count("https://a.example/d/") == 1


def test_another_host_is_reported_and_www_is_not_another() -> None:
    """The id is stored where the visitor arrives."""
    to = f"https://www.a.example/a?click_id={TEST_ID}"
    assert list(judge_hops(Answer(to, hops=(hop(to),)), "click_id")) == []
    to = f"https://b.example/a?click_id={TEST_ID}"
    assert [entry.code for entry in judge_hops(Answer(to, hops=(hop(to),)), "click_id")] == [
        "TN602"
    ]


@given(_TEXT, _TEXT)
def test_a_landing_address_is_intact(path: str, query: str) -> None:
    """Whatever path and query a page has, the script would read the id that is added."""
    url = f"https://a.example/{quote(path)}?{quote(query, safe='=&?/')}"
    landing = with_id(url, "click_id")
    assert is_intact(landing, "click_id")
    assert urlsplit(landing).path == urlsplit(url).path


@given(st.sampled_from(["", "/", "/guide", "/guide/", "/a/index.html", "/a/b.html"]))
def test_spellings_are_of_the_same_page(path: str) -> None:
    """No spelling is the address itself, none comes twice, and all have its host or www."""
    url = f"https://shop.example{path}"
    found = variants(url)
    assert url not in found
    assert len(set(found)) == len(found)
    hosts = {urlsplit(address).hostname for address in found}
    assert hosts == {"shop.example", "www.shop.example"}
    assert {urlsplit(address).scheme for address in found} == {"http", "https"}


def test_a_preview_has_one_name() -> None:
    """An IP address or localhost is asked by no other scheme and name."""
    assert variants("http://127.0.0.1:8000/guide/") == [
        "http://127.0.0.1:8000/guide/index.html",
        "http://127.0.0.1:8000/guide",
        "http://127.0.0.1:8000/GUIDE/",
    ]
    assert all("www." not in address for address in variants("http://localhost/"))
