"""The one declaration of options: what it accepts, what it refuses, and its messages."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknow_static.errors import SettingsError
from tracknow_static.settings import OPTIONS, Settings


def problem(**raw: object) -> str:
    """Return the error text for these raw values."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping(raw, where="here")
    return str(caught.value)


def test_defaults_are_the_documented_ones() -> None:
    """An empty mapping gives the defaults, and they are the vendor's names."""
    settings = Settings.from_mapping({})
    assert settings == Settings()
    assert (settings.param, settings.storage_name, settings.window_days) == (
        "click_id",
        "tn_click_id",
        365,
    )


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.name)
def test_every_default_is_accepted_by_its_own_rule(option: Any) -> None:
    """A user may write any default down and it means the same."""
    assert option.parse(option.default) == option.default


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.name)
def test_a_bad_value_names_option_value_and_what_is_accepted(option: Any) -> None:
    """The error of every option contains all three."""
    text = problem(**{option.name: {"no": "such"}})
    assert text.startswith(f"here: {option.name}: ")
    assert "{'no': 'such'}" in text
    assert f"Accepted: {option.accepts}." in text


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("window_days", "30", 30),
        ("window_days", 400, 400),
        ("cookie_domain", ".Example.COM", "example.com"),
        ("cookie_domain", "", None),
        ("payment_hosts", "Pay.Example.com., buy.shop.test", ("pay.example.com", "buy.shop.test")),
        ("payment_hosts", ["bücher.example"], ("xn--bcher-kva.example",)),
        ("payment_hosts", ["a.example", "A.example"], ("a.example",)),
        ("consent", "none", None),
        ("consent", "event:shop.consent", "event:shop.consent"),
        ("nonce", "{{CSP_NONCE}}", "{{CSP_NONCE}}"),
        ("exclude", "/drafts/**, *.tmp.html", ("drafts/**", "*.tmp.html")),
        ("exclude", None, ()),
        ("clean_url", "yes", True),
        ("enabled", "0", False),
        ("enabled", 1, True),
        ("asset_dir", "static/js", "static/js"),
    ],
)
def test_values_are_normalised(name: str, raw: object, value: object) -> None:
    """YAML, Python and command lines spell a value differently and mean the same."""
    settings = Settings.from_mapping({name: raw})
    assert getattr(settings, name) == value


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("window_days", 0),
        ("window_days", 401),
        ("window_days", True),
        ("window_days", 1.5),
        ("param", ""),
        ("param", "click id"),
        ("storage_name", "a;b"),
        ("cookie_domain", "localhost"),
        ("cookie_domain", "127.0.0.1"),
        ("cookie_domain", "https://example.com"),
        ("payment_hosts", ["pay.example.com:8443"]),
        ("payment_hosts", [3]),
        ("asset_dir", "../up"),
        ("asset_dir", "/root"),
        ("asset_dir", ".git"),
        ("nonce", 'x" onload="y'),
        ("nonce", "two words"),
        ("nonce", "{{CharSet}}"),
        ("asset_dir", "static/CHARSET"),
        ("consent", "event:"),
        ("consent", "cookibot"),
        ("exclude", [""]),
        ("exclude", ["[z-a].html"]),
        ("enabled", 2),
        ("consent_category", "<b>"),
    ],
)
def test_values_that_would_break_a_page_are_refused(name: str, raw: object) -> None:
    """Nothing reaches a page, a cookie or a path that could break out of it."""
    assert f"{name}: {raw!r} is not accepted" in problem(**{name: raw})


def test_an_unknown_option_is_named_with_the_one_that_was_meant() -> None:
    """A typing error is answered with the right name."""
    assert "windowdays: unknown option. Did you mean window_days?" in problem(windowdays=3)


def test_all_problems_are_reported_at_once() -> None:
    """A user can fix a configuration in one go."""
    text = problem(windowdays=3, delivery="fast", window_days=0)
    assert text.count("\n") == 2
    assert all(line.startswith("here: ") for line in text.splitlines())


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"consent_category": "marketing"}, "has no effect without consent"),
        ({"integrity": True, "delivery": "inline"}, "has no effect with delivery 'inline'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(raw: dict[str, Any], words: str) -> None:
    """An option that would silently do nothing is an error."""
    assert words in problem(**raw)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"attributes": {"data-cfasync": False, "class": "a b"}, "exclude": "a,b/**"},
        {"payment_hosts": "pay.example.com", "consent": "event:x", "nonce": "{{nonce}}"},
    ],
)
def test_settings_survive_json(raw: dict[str, Any]) -> None:
    """A build leaves its settings in a JSON file; other commands read the same ones from it."""
    settings = Settings.from_mapping(raw)
    stored = json.loads(json.dumps(asdict(settings)))
    assert Settings.from_mapping(stored) == settings


@pytest.mark.parametrize("raw", [None, ["window_days"], "param", 3])
def test_what_is_no_table_is_refused(raw: Any) -> None:
    """A list or a word in the place of the table of options is an error in words."""
    with pytest.raises(
        SettingsError, match=r"here: .*is not accepted. Accepted: a table of options"
    ):
        Settings.from_mapping(raw, where="here")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
RAW = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(sorted(OPTIONS)), RAW))
def test_no_value_makes_a_traceback(raw: dict[str, object]) -> None:
    """Whatever a user writes, the answer is settings that survive a process, or SettingsError."""
    try:
        settings = Settings.from_mapping(raw)
    except SettingsError:
        return
    assert pickle.loads(pickle.dumps(settings)) == settings
