"""What an audit reads in a page beside its payment surfaces: redirects, policies, base, our tags.

Only pages that a byte test lets through are read, and of them only start tags and scripts.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import NamedTuple

from tracknow_static.page import encoding
from tracknow_static.page.splice import MARK
from tracknow_static.page.tokens import Token, attributes, tokens

# https://html.spec.whatwg.org/#shared-declarative-refresh-steps
_REFRESH = re.compile(
    r"[\t\n\f\r ]*[0-9.]+[\t\n\f\r ]*(?:[;,][\t\n\f\r ]*|[\t\n\f\r ])"
    r"""(?:url[\t\n\f\r ]*=[\t\n\f\r ]*)?(?:"([^"]*)|'([^']*)|(.*))""",
    re.IGNORECASE | re.DOTALL,
)
# What stubs do: location = "…", location.href = "…", location.replace("…"), .assign("…").
_MOVES = re.compile(
    r"""\blocation(?:\.href)?\s*=\s*["'`]([^"'`]*)|\blocation\.(?:replace|assign)\(\s*["'`]([^"'`]*)"""
)
_STUB = 4096  # bytes of a page that is nothing but a redirect; a larger one does other things


class Redirect(NamedTuple):
    """A page that sends its visitor on; ``target`` as written, "" for one made by a script."""

    line: int
    target: str


class MetaPolicy(NamedTuple):
    """A Content-Security-Policy in a ``meta`` element."""

    line: int
    offset: int
    text: str


class Base(NamedTuple):
    """The first ``base`` element with an address."""

    line: int
    offset: int
    href: str


@dataclass(frozen=True)
class Markup:
    """What was found, in the order of the source; offsets are those of the scannable bytes."""

    redirects: tuple[Redirect, ...] = ()
    policies: tuple[MetaPolicy, ...] = ()
    base: Base | None = None
    ours: tuple[bytes, ...] = ()
    first_of_ours: int | None = None


NOTHING = Markup()


def worth_marking(bare: bytes) -> bool:
    """Say by a cheap test whether a page without our script has a redirect, a policy or a base."""
    low = (encoding.to_utf8(bare) if encoding.wide(bare) else bare).lower()
    if b"<base" in low:
        return True
    if b"http-equiv" in low and (b"refresh" in low or b"content-security-policy" in low):
        return True
    return len(low) <= _STUB and b"location" in low


def read_markup(page: bytes, *, ours_only: bool = False) -> Markup:
    """Read a page as it is on the disk; with ``ours_only`` no further than our elements."""
    data, start, _ = encoding.scannable(page)
    return _Reading(data).markup(start, data.rfind(MARK) if ours_only else len(data))


class _Reading:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._redirects: list[Redirect] = []
        self._policies: list[MetaPolicy] = []
        self._base: Base | None = None
        self._ours: list[bytes] = []
        self._first: int | None = None
        self._opened: int | None = None

    def markup(self, start: int, last: int) -> Markup:
        for token in tokens(self._data, start):
            if token.start > last and self._opened is None:
                break
            if token.kind == "start" and not token.foreign:
                self._start(token)
            elif token.kind == "raw" and token.name == b"script" and self._opened is None:
                self._script(token)
            elif token.kind == "end" and token.name == b"script" and self._opened is not None:
                self._ours.append(self._data[self._opened : token.end])
                self._opened = None
        return Markup(
            *(tuple(self._redirects), tuple(self._policies), self._base),
            ours=tuple(self._ours),
            first_of_ours=self._first,
        )

    def _start(self, token: Token) -> None:
        if token.name == b"meta":
            self._meta(token)
        elif token.name == b"base" and self._base is None:
            href = self._values(token).get("href")
            if href is not None:
                self._base = Base(self._line(token.start), token.start, href)
        elif token.name == b"script" and MARK in attributes(self._data, token):
            self._opened = token.start
            if self._first is None:
                self._first = token.start

    def _meta(self, token: Token) -> None:
        values = self._values(token)
        pragma, content = values.get("http-equiv", "").lower(), values.get("content", "")
        if pragma == "refresh":
            match = _REFRESH.match(content)
            if match and (target := match[match.lastindex or 0].strip()):
                self._redirects.append(Redirect(self._line(token.start), target))
        elif pragma == "content-security-policy":
            self._policies.append(MetaPolicy(self._line(token.start), token.start, content))

    def _script(self, token: Token) -> None:
        if len(self._data) - sum(map(len, self._ours)) > _STUB:
            return
        text = self._data[token.start : token.end].decode("utf-8", "replace")
        if match := _MOVES.search(text):
            target = match[1] if match[1] is not None else match[2]
            self._redirects.append(Redirect(self._line(token.start), target))

    def _values(self, token: Token) -> dict[str, str]:
        return {
            name.decode("latin-1"): html.unescape(
                self._data[slice(*span)].decode("utf-8", "replace")
            )
            for name, span in attributes(self._data, token).items()
        }

    def _line(self, offset: int) -> int:
        return self._data.count(b"\n", 0, offset) + 1
