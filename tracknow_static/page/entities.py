"""Character references in attribute values, as the HTML standard reads them there."""

from __future__ import annotations

import html
import re
from html.entities import html5

# In an attribute a name without ";" is a reference only when no letter, digit or "=" follows:
# "?a=1&copy=2" is a query. (§ 13.2.5.73)
_REFERENCE = re.compile(r"&(?:#(?:[xX][0-9a-fA-F]+|[0-9]+);?|([A-Za-z][A-Za-z0-9]*)(;?)(?!=))")


def decode_attribute(value: str) -> str:
    """Give an attribute's value with its character references resolved."""
    if "&" not in value:
        return value
    return _REFERENCE.sub(_resolve, value)


def _resolve(match: re.Match[str]) -> str:
    name = match.group(1)
    if name is None:
        return html.unescape(match.group())
    return html5.get(name + match.group(2), match.group())
