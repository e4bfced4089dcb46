"""Single values of what Stripe sends, as both databases can store them."""

from __future__ import annotations

import re

# What both databases take as text: no NUL, no half of a surrogate pair.
_LONGEST_TEXT = 500
_TEXT = re.compile(rf"[^\x00\ud800-\udfff]{{1,{_LONGEST_TEXT}}}")
_LARGEST = 2**62


def text_of(value: object) -> str | None:
    """Return a text if it is not empty and both databases can store it."""
    if not isinstance(value, str):
        return None
    # Nearly all are plain and short, and seen so at once.
    plain = value.isascii() and value.isprintable() and 0 < len(value) <= _LONGEST_TEXT
    return value if plain or _TEXT.fullmatch(value) else None


def id_of(value: object) -> str | None:
    """Return the id of an object, which Stripe writes as the id or, expanded, as the object."""
    return text_of(value.get("id") if isinstance(value, dict) else value)


def whole_number_of(value: object) -> int | None:
    """Return a whole number, such as a time or an amount, if both databases can store it."""
    ok = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST
    return value if ok and isinstance(value, int) else None
