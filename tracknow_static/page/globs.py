"""Globs over the paths of a site.

``*`` and ``?`` stay within one folder, ``**`` does not; a pattern without a slash matches names at
any depth, one that ends in a slash everything below that folder.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PART = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def compile_globs(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """Make one expression to be matched against whole slash-separated paths; None if empty."""
    expressions = [_expression(pattern) for pattern in patterns]
    return re.compile("|".join(expressions), re.DOTALL) if expressions else None


def _expression(pattern: str) -> str:
    pattern = pattern.removeprefix("./").removeprefix("/")
    if pattern.endswith("/"):
        pattern += "**"
    elif "/" not in pattern:
        pattern = "**/" + pattern
    inside = "".join(_translate(part) for part in _PART.findall(pattern))
    return f"(?:{inside})"


def _translate(part: str) -> str:
    fixed = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part in fixed:
        return fixed[part]
    if len(part) > 1:
        inside = part[1:-1].replace("\\", r"\\").replace("[", r"\[")
        inside = "^" + inside[1:] if inside.startswith("!") else inside
        return f"[{inside}]"
    return re.escape(part)
