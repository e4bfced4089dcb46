"""How the id is put on a URL: one insertion before the fragment of what the browser asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.browser.node_page import SHOP, NodePage
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

REF = "client_reference_id"
ID = "7e1d-b_2"
VALID = re.compile("[A-Za-z0-9_-]{1,200}")
STRIPE = {
    f"{scheme}:{name}.stripe.com"
    for scheme in ("http", "https")
    for name in ("buy", "book", "donate")
}
# A failing text stands in the assertion: shrinking would cost minutes and tell no more.
PLENTY = settings(max_examples=40, phases=[Phase.explicit, Phase.generate])


@pytest.fixture(scope="module")
def page() -> Iterator[NodePage]:
    """Give a page that landed with the click id."""
    with NodePage() as made:
        made.reset()
        made.load(f"?click_id={ID}", Settings(payment_hosts=("pay.shop.example",)))
        yield made


@pytest.fixture(scope="module")
def overwriting() -> Iterator[NodePage]:
    """Give one that overwrites the references it finds."""
    with NodePage() as made:
        made.reset()
        made.load(f"?click_id={ID}", Settings(existing_reference="overwrite"))
        yield made


@pytest.mark.parametrize(
    ("url", "decorated"),
    [
        ("https://buy.stripe.com/x", f"https://buy.stripe.com/x?{REF}={ID}"),
        ("https://buy.stripe.com/x?", f"https://buy.stripe.com/x?{REF}={ID}"),
        ("https://buy.stripe.com/x?a=1", f"https://buy.stripe.com/x?a=1&{REF}={ID}"),
        ("https://buy.stripe.com/x?a=1&", f"https://buy.stripe.com/x?a=1&{REF}={ID}"),
        ("https://buy.stripe.com/x?a=1?b=2", f"https://buy.stripe.com/x?a=1?b=2&{REF}={ID}"),
        ("https://buy.stripe.com/x#a?b", f"https://buy.stripe.com/x?{REF}={ID}#a?b"),
        (
            "https://buy.stripe.com/x?a=%20'+x#f",
            f"https://buy.stripe.com/x?a=%20%27+x&{REF}={ID}#f",
        ),
        ("https://buy.stripe.com/a&b", f"https://buy.stripe.com/a&b?{REF}={ID}"),
        ("https://buy.stripe.com/a&", f"https://buy.stripe.com/a&?{REF}={ID}"),
        (" https://buy.stripe.com/x \n", f"https://buy.stripe.com/x?{REF}={ID}"),
        ("HTTPS://BUY.STRIPE.COM/x", f"https://buy.stripe.com/x?{REF}={ID}"),
        ("//buy.stripe.com/x", f"https://buy.stripe.com/x?{REF}={ID}"),
        ("http://buy.stripe.com/x", f"http://buy.stripe.com/x?{REF}={ID}"),
        ("https://buy.stripe.com:443/x", f"https://buy.stripe.com/x?{REF}={ID}"),
        ("https://book.stripe.com/x", f"https://book.stripe.com/x?{REF}={ID}"),
        ("https://donate.stripe.com/x", f"https://donate.stripe.com/x?{REF}={ID}"),
        ("https://pay.shop.example/x", f"https://pay.shop.example/x?{REF}={ID}"),
        ("https:\\\\buy.stripe.com\\x", f"https://buy.stripe.com/x?{REF}={ID}"),
        # What Stripe would drop is replaced.
        (f"https://buy.stripe.com/x?{REF}=", f"https://buy.stripe.com/x?{REF}={ID}"),
        (
            "https://buy.stripe.com/x?client_ref\terence_id=&a=1",
            f"https://buy.stripe.com/x?a=1&{REF}={ID}",
        ),
        (f"https://buy.stripe.com/x?{REF}={'x' * 201}", f"https://buy.stripe.com/x?{REF}={ID}"),
        (f"https://buy.stripe.com/x?{REF}=own=&a=1", f"https://buy.stripe.com/x?a=1&{REF}={ID}"),
        ("https://buy.stripe.com/x??a=1", f"https://buy.stripe.com/x??a=1&{REF}={ID}"),
        (f"https://buy.stripe.com/x?{REF}&a=1", f"https://buy.stripe.com/x?a=1&{REF}={ID}"),
        (f"https://buy.stripe.com/x?{REF}=a.b&a=1#f", f"https://buy.stripe.com/x?a=1&{REF}={ID}#f"),
        (
            "https://buy.stripe.com/x?client%5Freference_id=&a",
            f"https://buy.stripe.com/x?a&{REF}={ID}",
        ),
    ],
)
def test_the_id_is_appended_before_the_fragment(page: NodePage, url: str, decorated: str) -> None:
    """A payment URL gets the id, and nothing else of it changes."""
    assert page.decorate(url) == [decorated]


@pytest.mark.parametrize(
    "url",
    [
        "https://buy.stripe.com.evil.example/x",
        "https://buy.stripe.com@evil.example/x",
        "https://evil.example\\@buy.stripe.com/x",
        "https://buy.stripe.com:8443/x",
        "http://buy.stripe.com:443/x",
        "https://evil.example/?u=buy.stripe.com",
        "https://notbuy.stripe.com/x",
        "https://buy-stripe.com/x",
        "https://stripe.com/x",
        "https://api.stripe.com/x",
        "https://other.shop.example/x",
        "ftp://buy.stripe.com/x",
        "javascript:location='https://buy.stripe.com/x'",
        "mailto:buy.stripe.com",
        "/buy.stripe.com",
        "https://",
        "",
        "http://[",
        f"https://buy.stripe.com/x?{REF}=merchants-own",
        f"https://buy.stripe.com/x?{REF}=&{REF}=merchants-own",
    ],
)
def test_every_other_url_stays(page: NodePage, url: str) -> None:
    """What leads elsewhere, and what carries the merchant's own reference, is not touched."""
    assert page.decorate(url) == [url]


@pytest.mark.parametrize(
    ("url", "decorated"),
    [
        (f"https://buy.stripe.com/x?{REF}=own&a=1", f"https://buy.stripe.com/x?a=1&{REF}={ID}"),
        (f"https://buy.stripe.com/x?{REF}=a&b&{REF}=c", f"https://buy.stripe.com/x?b&{REF}={ID}"),
    ],
)
def test_overwriting_leaves_one_reference(overwriting: NodePage, url: str, decorated: str) -> None:
    """With existing_reference: overwrite the merchant's own reference gives way."""
    assert overwriting.decorate(url) == [decorated]


def test_what_is_no_text_is_no_error(page: NodePage) -> None:
    """decorate() takes whatever a merchant's code passes and never throws."""
    odd: list[object] = [None, 5, {}]
    assert page.ask("call", name="decorate", given=odd) == ["null", "5", "[object Object]"]
    assert page.ask("run", code="tracknow.decorate(Symbol.iterator) === Symbol.iterator")
    assert page.ask("run", code="tracknow.decorate(new URL('https://buy.stripe.com/x'))").endswith(
        ID
    )


def test_without_an_id_nothing_is_appended() -> None:
    """A visitor who brought no click id leaves with the link as it was."""
    with NodePage() as page:
        page.reset()
        page.load()
        assert page.decorate("https://buy.stripe.com/x") == ["https://buy.stripe.com/x"]


pieces = st.sampled_from(
    ["?", "&", "=", "#", "/", "\\", "@", ":", "%", "%26", "%3D", "+", " ", "\t", "\n", "'", '"', ";",
     REF, f"{REF}=", f"?{REF}=x", f"&{REF}=", "client%5Freference_id", "a=1", "utm_source=ü", "é", ".."]
)  # fmt: skip
tails = st.lists(st.one_of(pieces, st.text(max_size=8)), max_size=12).map("".join)
heads = st.sampled_from(
    ["https://buy.stripe.com", "HTTPS://Book.Stripe.com/x", "//donate.stripe.com/", "http:buy.stripe.com",
     " https://buy.stripe.com/x", "https://u:p@buy.stripe.com/x", "https://evil.example", "", "/x"]
)  # fmt: skip
urls = st.builds(str.__add__, heads, tails).filter(lambda url: not _surrogates(url))


def _surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _references(parsed: dict[str, list[list[str]]]) -> list[str]:
    return [value for name, value in parsed["pairs"] if name == REF]


@PLENTY
@given(st.lists(urls, min_size=10, max_size=20))
def test_an_untouched_pair_stays_a_pair(page: NodePage, texts: list[str]) -> None:
    """For any text: exactly one reference, all other pairs, path and fragment as they were."""
    made = page.decorate(*texts)
    before = page.ask("parse", texts=texts, base=SHOP)
    after = page.ask("parse", texts=made, base=SHOP)
    for text, result, old, new in zip(texts, made, before, after, strict=True):
        if result == text:
            if old and old["host"] in STRIPE:
                assert any(map(VALID.fullmatch, _references(old))), text
            continue
        assert _references(new) == [ID], (text, result)
        # A pair without name and value is none.
        assert [pair for pair in old["pairs"] if pair[0] != REF] == [
            pair for pair in new["pairs"] if pair[0] != REF
        ], (text, result)
        assert (old["host"], old["rest"]) == (new["host"], new["rest"]), (text, result)


@PLENTY
@given(st.lists(urls, min_size=10, max_size=20))
def test_the_rest_is_what_the_browser_asks_for(page: NodePage, texts: list[str]) -> None:
    """For any text without a reference: taking out what was put in gives the parsed URL back."""
    texts = [text for text in texts if "reference_id" not in text]
    asked = page.ask("parse", texts=texts, base=SHOP)
    for text, result, before in zip(texts, page.decorate(*texts), asked, strict=True):
        if result == text:
            continue
        put_in = [f"?{REF}={ID}", f"&{REF}={ID}", f"{REF}={ID}"]
        assert before["href"] in [result.replace(piece, "", 1) for piece in put_in], (text, result)


@PLENTY
@given(st.lists(urls, min_size=10, max_size=20))
def test_twice_is_once(page: NodePage, texts: list[str]) -> None:
    """A decorated URL stays as it is."""
    once = page.decorate(*texts)
    assert page.decorate(*once) == once
