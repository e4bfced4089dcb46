"""What both halves know of Tracknow and of Stripe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tracknow_static import tracknow
from tracknow_static.browser import compose as compose_module
from tracknow_static.browser.compose import compose
from tracknow_static.settings import Settings


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("shop", True),
        ("a", True),
        ("my-shop-2", True),
        ("a" * 54, True),
        ("a" * 55, False),
        ("", False),
        ("-shop", False),
        ("shop-", False),
        ("Shop", False),
        ("shop.example", False),
        ("shop-tracking", False),
        ("your-namespace", False),
        ("shop\n", False),
    ],
)
def test_namespaces(text: str, valid: bool) -> None:
    """With "-tracking" behind it a namespace is one DNS label."""
    assert tracknow.is_namespace(text) is valid


def test_the_postback_url_leads_to_tracknow() -> None:
    """What is made for a namespace is recognised; a name that only looks like it is not."""
    assert tracknow.postback_url("shop") == "https://shop-tracking.tracknow.info/stripe/postback"
    assert tracknow.is_tracknow_url(tracknow.postback_url("shop"))
    assert tracknow.is_tracknow_url("https://SHOP-tracking.TRACKNOW.info/stripe/postback")
    assert not tracknow.is_tracknow_url("https://shop-tracking.tracknow.info.example/")
    assert not tracknow.is_tracknow_url("relay")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a", True),
        ("A-z_0", True),
        ("a" * 200, True),
        ("a" * 201, False),
        ("", False),
        ("a b", False),
    ],
)
def test_references(text: str, kept: bool) -> None:
    """Stripe keeps letters, digits, hyphens and underscores, at most 200 of them."""
    assert tracknow.is_reference(text) is kept


def test_the_script_knows_the_same_payment_hosts() -> None:
    """The script's pattern matches each of Stripe's payment hosts."""
    script = compose(Settings(delivery="inline")).inline
    assert script is not None
    hosts = re.search(r"\((\w+(?:\|\w+)+)\)\\?\\\.stripe", script)
    assert hosts is not None
    assert {f"{name}.stripe.com" for name in hosts[1].split("|")} == tracknow.PAYMENT_HOSTS


@pytest.mark.parametrize(
    ("text", "placeholder"),
    [
        *[(word, True) for word in ("undefined", "NULL", "NaN", "true", "false", "none")],
        *[(word, True) for word in ("CLICK_ID", "--CLICK-ID--", "__CLICKID__", "YOUR_CLICK_ID")],
        *[(word, False) for word in ("", "3f1c", "nan-1", "clickid1", "my-click-id", "undefined_")],
    ],
)
def test_placeholders_are_no_click_ids(text: str, placeholder: bool) -> None:
    """The relay, the edge files and the script in the browser agree on each."""
    assert tracknow.is_placeholder(text) is placeholder
    source = (Path(compose_module.__file__).parent / "src" / "carry.js").read_text()
    (pattern,) = re.findall(r"/\^\((undefined.*)\)\$/i", source)
    assert bool(re.fullmatch(pattern, text, re.IGNORECASE | re.ASCII)) is placeholder


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (5, "eur", "0.05 EUR"),
        (-1234, "usd", "-12.34 USD"),
        (0, "jpy", "0 JPY"),
        (1234, "kwd", "1.234 KWD"),
        (None, "eur", "-"),
    ],
)
def test_money(amount: int | None, currency: str, text: str) -> None:
    """Minor units are hundredths, units or thousandths."""
    assert tracknow.money(amount, currency) == text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((1, "call"), "1 call"),
        ((0, "call"), "0 calls"),
        ((2000, "delivery"), "2,000 deliveries"),
        ((1, "sale waits", "sales wait"), "1 sale waits"),
        ((2, "sale waits", "sales wait"), "2 sales wait"),
    ],
)
def test_counted(words: tuple[int, str], text: str) -> None:
    """Nobody reads of 1 calls."""
    assert tracknow.counted(*words) == text
