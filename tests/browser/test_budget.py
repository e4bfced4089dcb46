"""What the script weighs: the numbers that the project promises for default settings."""

from __future__ import annotations

import gzip
import itertools
from typing import Any

import pytest

from tracknow_static.browser.compose import CATEGORIES, compose
from tracknow_static.settings import Settings

CONSENTS = (*CATEGORIES, "event:consent-given")
DEFAULT = compose(Settings())


def packed(*texts: str | bytes | None) -> int:
    """Give the size of what a server sends for all texts together, compressed by gzip."""
    whole = b"".join(
        text.encode("ascii") if isinstance(text, str) else text or b"" for text in texts
    )
    return len(gzip.compress(whole, 9))


def test_the_capture_tag_is_small_enough_for_a_late_charset() -> None:
    """The inline element takes at most 800 of the 1,024 bytes that precede a charset."""
    assert len(DEFAULT.capture_tag) <= 800


def test_both_parts_together() -> None:
    """Capture and carry make at most 2,700 bytes."""
    assert packed(DEFAULT.inline, DEFAULT.asset) <= 2700


@pytest.mark.parametrize("consent", CONSENTS)
def test_a_consent_adapter_costs_little_and_only_when_wanted(consent: str) -> None:
    """An adapter adds at most 400 bytes, and no trace of it is in the default script."""
    with_adapter = compose(Settings(consent=consent))
    extra = packed(with_adapter.inline, with_adapter.asset) - packed(DEFAULT.inline, DEFAULT.asset)
    assert extra <= 400
    for word in (b"Cookiebot", b"getCkyConsent", b"OnetrustActiveGroups", b"klaro", b"__md_get"):
        assert word not in (DEFAULT.asset or b"")


CHOICES: dict[str, tuple[Any, ...]] = {
    "consent": (None, *CONSENTS),
    "attribution": ("last", "first"),
    "cookie_domain": (None, "shop.example"),
    "existing_reference": ("keep", "overwrite"),
    "link_domains": ((), ("other.example",)),
    "respect_gpc": (False, True),
    "clean_url": (False, True),
    "window_open": (False, True),
}


def test_the_weights_of_all_combinations(capsys: pytest.CaptureFixture[str]) -> None:
    """No combination of options weighs more than 4,100 bytes, nor its tag more than 1,000."""
    rows = []
    for values in itertools.product(*CHOICES.values()):
        options = dict(zip(CHOICES, values, strict=True))
        script = compose(Settings(**options))
        wanted = [
            name if value is True else str(value)
            for name, value in options.items()
            if value != CHOICES[name][0]
        ]
        both = packed(script.inline, script.asset)
        rows.append((both, len(script.capture_tag), wanted))
    with capsys.disabled():
        print("\n gzip  tag  options")
        single = [row for row in rows if len(row[2]) <= 1]
        for both, tag, wanted in [*single, max(rows), max(rows, key=lambda row: row[1])]:
            print(f"{both:5} {tag:4}  {' '.join(wanted) or 'default'}")
    assert max(rows)[0] <= 4100
    assert max(row[1] for row in rows) <= 1000
