"""Where on a page a payment link can stand at all: a few tags, found without reading the rest.

What leads to a payment page has a needle in it: the host, or a letter in disguise. So only the tag
or the script around each needle has to be parsed, if it is certain that a browser sees a tag there.
It is decided by leaps: from one comment, script or other raw text to the next, and between them by
the nearest quotes and brackets. Where that leaves any doubt the answer is None: read all of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tracknow_static.page import encoding
from tracknow_static.page.surfaces import has, spots_of
from tracknow_static.page.tokens import RAW_NAMES, SPACE, TAG, raw_end

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# Beyond these reading all of it is as good, and the looks back from each needle may get long.
_LARGE = 1 << 20
_MANY = 256
# What leads out of plain tags and text, or may: comments, CDATA, elements of raw text.
_LEAP = re.compile(
    rb"<(?:!-|!\[|script|style|t(?:itle|extarea)|iframe|no(?:script|embed|frames)|xmp|plaintext)"
)
# A host with a letter outside ASCII, which may stand for one inside.
_FOREIGN_HOST = re.compile(rb"//[^\s\"'<>/?#\\]*[\x80-\xff]")
# A parser drops these when they come twice or late.
_ONCE = frozenset((b"html", b"head", b"body"))
_BLANKS = 64  # as many stand between an "=" and its quote at most, or the answer is None


class Piece(NamedTuple):
    """A piece of the page that is parsed at once: ``data[start:end]``, its first line."""

    start: int
    end: int
    line: int
    lines: int


class _Doubt(Exception):  # noqa: N818 - no error: nothing has gone wrong
    """What a browser sees at some place is not certain."""


def windows(data: bytes, needles: Collection[bytes]) -> list[Piece] | None:
    """Give the tags and scripts of a page in UTF-8 that may lead to a payment page, or None."""
    if len(data) > _LARGE or not encoding.is_utf8(data):
        return None
    low = data.lower()
    # Relative addresses may lead to a payment page, needle or not.
    if has(low, b"<base") or (not data.isascii() and _FOREIGN_HOST.search(data)):
        return None
    spots = spots_of(low, (*needles, b"tn_click_id"))
    if len(spots) > _MANY:
        return None
    try:
        return list(_around(data, low, sorted(spots)))
    except _Doubt:
        return None


def _around(data: bytes, low: bytes, spots: list[int]) -> Iterator[Piece]:
    line, counted, done = 1, 0, 0
    leaps = _leaps(data, low, spots[-1] if spots else 0)
    base = 0  # from here on to the next leap there are but plain tags and text
    leap = next(leaps, None)
    for spot in spots:
        if spot < done:
            continue
        while leap and leap.end <= spot:
            base, leap = leap.end, next(leaps, None)
        if leap and leap.start <= spot:
            start, done = leap.start, leap.end
            if not (leap.script or spot < leap.opened):
                continue
            if leap.script and b"\n" in data[start : leap.opened]:
                raise _Doubt  # the lines of a script are counted from the end of its tag
        else:
            start = data.rfind(b"<", base, spot)
            if start < 0:
                continue
            _certain(data, base, start)
            slash, name, done = _tag(data, start)
            if slash or done <= spot:  # in text no address leads anywhere
                done = 0
                continue
            if name in _ONCE:
                raise _Doubt
        line += data.count(b"\n", counted, start)
        counted = start
        yield Piece(start, done, line, 1)


class _Leap(NamedTuple):
    """A comment, or an element of raw text, whose start tag ends at ``opened``."""

    start: int
    end: int
    opened: int = 0
    script: bool = False


def _leaps(data: bytes, low: bytes, last: int) -> Iterator[_Leap]:
    """Give what is not plain tags and text and begins before offset ``last``."""
    base = position = 0
    while found := _LEAP.search(low, position, last):
        start = found.start()
        _certain(data, base, start)
        if found.group() == b"<!-":
            if not low.startswith(b"<!--", start):
                raise _Doubt
            end = low.find(b"-->", start + 4) + 3
            if end < 3 or low.startswith((b">", b"->"), start + 4) or b"--!>" in low[start:end]:
                raise _Doubt
            leap = _Leap(start, end)
        else:
            slash, name, opened = _tag(data, start)
            if name not in RAW_NAMES:  # one whose name only begins alike
                position = start + 1
                continue
            if slash or name == b"plaintext" or data[opened - 2] == 0x2F:
                raise _Doubt
            stop = raw_end(data, opened, name)
            if stop is None or stop >= len(data):
                raise _Doubt
            leap = _Leap(start, _tag(data, stop)[2], opened, name == b"script")
        yield leap
        base = position = leap.end


def _tag(data: bytes, start: int) -> tuple[bytes, bytes, int]:
    """Give the slash, the name and the end of the tag at ``start``."""
    found = TAG.match(data, start)
    if found is None:
        raise _Doubt
    slash, name = found.groups()
    return slash, name.lower(), found.end()


def _certain(data: bytes, base: int, start: int) -> None:
    """Make sure that the "<" at ``start`` is markup, if from ``base`` on there are tags and text.

    It is, if the last ">" before it ends a tag or is text itself, and no other "<" comes between
    the two. Only in a quoted value is a ">" neither; then the last quote opens that value.
    """
    closed = data.rfind(b">", base, start)
    if data.rfind(b"<", base, start) > closed:
        raise _Doubt
    for quote in (b'"', b"'"):
        found = data.rfind(quote, base, max(base, closed))
        if found >= 0:
            before = data[max(base, found - _BLANKS) : found].rstrip(SPACE)
            if before.endswith(b"=") or (not before and found - base > _BLANKS):
                raise _Doubt
