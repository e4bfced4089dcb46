"""Which pages, and which elements of a page, can lead to a payment page: found in the bytes.

A payment address contains a word: its host, or a letter of it in disguise. So only the element
around each word has to be read, if it is certain that a browser sees an element there. That is
decided by leaps: from one comment, script or other raw text to the next, and between them by the
nearest quotes and brackets. Where any doubt is left, the whole page is tokenized.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import ada_url

from tracknow_static.page import encoding
from tracknow_static.page.tokens import RAW_NAMES, SPACE, TAG, other, raw_end, tokens
from tracknow_static.tracknow import PAYMENT_HOSTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

# One ASCII letter, digit, dot or hyphen written as a reference or percent-encoded, or what a URL
# parser removes: the ways to spell a host so that the plain word is not there.
_REFERENCE = re.compile(
    rb"&(?:#(?:x0*(2[de]|3[0-9]|[46][1-9a-f]|[57][0-9a])"
    rb"|0*(4[56]|4[89]|5[0-7]|6[5-9]|[78][0-9]|90|9[7-9]|1[01][0-9]|12[0-2]))(?![0-9a-f]);?"
    rb"|(period|shy|tab|newline);)"
)
_ESCAPE = re.compile(rb"%(2[de]|[46][1-9a-f]|[57][0-9a])")
_FEW = 16
_WINDOW = 400  # how far from a hidden letter the rest of its host is looked for
# "stripe" as a part of a host or of an element, not of "striped": what follows may be a dot in one
# of its spellings, or something that a URL parser removes.
_STRIPE = re.compile(rb"stripe(?:\.com|-buy-button|-pricing-table|[%&\\\t\n\r\x80-\xff])")
# A host with a letter outside ASCII, which may be another spelling of an ASCII one.
_FOREIGN_HOST = re.compile(rb"//[^\s\"'<>/?#\\]*[\x80-\xff]")

# Beyond these the whole page is tokenized: the looks back from each word may get long, in bytes.
_MANY = 256
_FAR = 1 << 30
# What is no plain tag or text, or may not be: comments, CDATA, elements of raw text.
_LEAP = re.compile(
    rb"<(?:!-|!\[|script|style|t(?:itle|extarea)|iframe|no(?:script|embed|frames)|xmp|plaintext)"
)
_BLANKS = 64  # maximum number of spaces between an "=" and its quote, or there is doubt


class Element(NamedTuple):
    """A start tag, ``data[start:opened]``; and the raw text of a script or noscript, ``data[opened:end]``."""

    name: bytes
    start: int
    opened: int
    end: int


class _DoubtError(Exception):
    """What a browser sees at some place is not certain without tokenizing the page."""


def words(hosts: Collection[str]) -> set[bytes]:
    """Return what the spelling of each payment host contains, in lower case."""
    return {b"stripe"} | {spelling for host in hosts for spelling in _spellings(host)}


def worth_reading(page: bytes, hosts: Collection[str] = PAYMENT_HOSTS) -> bool:
    """Whether a page can lead to a payment page or carry the vendor's snippet: a cheap test."""
    if encoding.wide(page):
        page = encoding.to_utf8(page)
    low = page.lower()
    spellings = [spelling for host in hosts for spelling in _spellings(host)]
    if _has(low, b"tn_click_id") or _mentions(low, spellings):
        return True
    return any(
        _mentions(_plain(low[max(0, start - _WINDOW) : end + _WINDOW]), spellings)
        for start, end in _hidden(low)
    )


def elements(data: bytes, wanted: Iterable[bytes]) -> Iterable[Element]:
    """Return the elements of a page in UTF-8 that contain one of the ``wanted`` words."""
    low = data.lower()
    places = _places(data, low, wanted)
    if len(places) <= _MANY and len(places) * len(data) <= _FAR:
        try:
            return list(_around(data, low, places))
        except _DoubtError:
            pass
    return _exactly(data, places)


def _places(data: bytes, low: bytes, wanted: Iterable[bytes]) -> list[int]:
    places = {start for start, _ in _hidden(low)}
    if not data.isascii():
        places |= {match.start() for match in _FOREIGN_HOST.finditer(data)}
    for word in wanted:
        place = low.find(word)
        while place >= 0:
            places.add(place)
            place = low.find(word, place + len(word))
    return sorted(places)


def all_elements(data: bytes) -> Iterator[Element]:
    """Return every element of a page, as a browser's tokenizer finds them."""
    opened = None
    for token in tokens(data):
        if opened:
            yield opened._replace(end=token.end) if token.kind == "raw" else opened
        is_start = token.kind == "start"
        opened = Element(token.name, token.start, token.end, token.end) if is_start else None
    if opened:
        yield opened


def _exactly(data: bytes, places: list[int]) -> Iterator[Element]:
    remaining = iter(places)
    place = next(remaining, None)
    for element in all_elements(data):
        while place is not None and place < element.start:
            place = next(remaining, None)
        if place is None:
            return
        if place < element.end:
            yield element


def _around(data: bytes, low: bytes, places: list[int]) -> Iterator[Element]:
    leaps = _leaps(data, low, places[-1] if places else 0)
    base = done = 0  # from base to the next leap there are only plain tags and text
    leap = next(leaps, None)
    for place in places:
        if place < done:
            continue
        while leap and leap.end <= place:
            base, leap = leap.end, next(leaps, None)
        if leap and leap.start <= place:
            done = leap.end
            if leap.name:
                yield leap
            continue
        start = data.rfind(b"<", base, place + 1)
        if start < 0:
            continue
        _certain(data, base, start)
        slash, name, end = _tag(data, start)
        if not slash and end > place:  # in text no address leads anywhere
            done = end
            yield Element(name, start, end, end)


def _leaps(data: bytes, low: bytes, last: int) -> Iterator[Element]:
    """Yield what is not plain tags and text and begins before offset ``last``; comments too."""
    base = position = 0
    foreign = [name for name in (b"svg", b"math") if _has(low, b"<" + name)]
    while found := _LEAP.search(low, position, last):
        start = found.start()
        _certain(data, base, start)
        if found.group().startswith(b"<!"):
            token = other(data, start, 0x21, False)
            if token.kind != "comment" or found.group() == b"<![":
                raise _DoubtError
            leap = Element(b"", start, start, token.end)
        else:
            _, name, opened = _tag(data, start)
            if name not in RAW_NAMES:  # one whose name only begins alike
                position = start + 1
                continue
            stop = raw_end(data, opened, name)
            # In SVG a slash ends the element, elsewhere it does not.
            if data[opened - 2] == 0x2F or stop is None or stop >= len(data):
                raise _DoubtError
            # Nothing is raw text inside SVG and MathML.
            inside = any(
                low.rfind(b"<" + kind, 0, start) > low.rfind(b"</" + kind, 0, start)
                for kind in foreign
            )
            if inside and data.find(b"<", opened, stop) >= 0:
                raise _DoubtError
            leap = Element(name, start, opened, stop)
        yield leap
        base = position = leap.end


def _tag(data: bytes, start: int) -> tuple[bytes, bytes, int]:
    """Return the slash, the name and the end of the tag at ``start``."""
    found = TAG.match(data, start)
    if found is None:
        raise _DoubtError
    slash, name = found.groups()
    return slash, name.lower(), found.end()


def _certain(data: bytes, base: int, start: int) -> None:
    """Make sure that the "<" at ``start`` is markup, if from ``base`` on there are tags and text.

    It is, if the last ">" before it ends a tag or is text itself, and no other "<" comes between
    the two. Only in a quoted value is a ">" neither; then the last quote opens that value.
    """
    closed = data.rfind(b">", base, start)
    if data.rfind(b"<", base, start) > closed:
        raise _DoubtError
    for quote in (b'"', b"'"):
        found = data.rfind(quote, base, max(base, closed))
        if found >= 0:
            before = data[max(base, found - _BLANKS) : found].rstrip(SPACE)
            if before.endswith(b"=") or (not before and found - base > _BLANKS):
                raise _DoubtError


def _hidden(low: bytes) -> Iterator[tuple[int, int]]:
    """Yield the places in a lower-case page where a letter of a host may be hidden."""
    for pattern, sign in ((_REFERENCE, b"&"), (_ESCAPE, b"%")):
        # Few signs are found faster one by one than by the pattern, and most pages have few.
        place = low.find(sign)
        for _ in range(_FEW):
            if place < 0:
                break
            if match := pattern.match(low, place):
                yield match.span()
            place = low.find(sign, place + 1)
        if place >= 0:
            yield from (match.span() for match in pattern.finditer(low, place))


def _has(page: bytes, word: bytes) -> bool:
    """Whether ``word`` is in a page; for one that is not, this is twice as fast as ``in``."""
    return page.rfind(word) >= 0


def _mentions(low: bytes, spellings: list[bytes]) -> bool:
    if _has(low, b"stripe") and _STRIPE.search(low):
        return True
    return any(_has(low, spelling) for spelling in spellings)


def _spellings(host: str) -> list[bytes]:
    if host in PAYMENT_HOSTS:
        return []  # "stripe" is looked for anyway
    spellings = [host.encode()]
    if "xn--" in host:
        spellings.append(ada_url.idna_to_unicode(host).encode())
    return spellings


def _plain(low: bytes) -> bytes:
    """Return the text with every hidden letter of a host written out."""
    plain = _REFERENCE.sub(_letter, low)
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), plain).lower()


def _letter(match: re.Match[bytes]) -> bytes:
    hexadecimal, decimal, name = match.groups()
    if name:
        return b"." if name == b"period" else b""
    return bytes([int(hexadecimal, 16) if hexadecimal else int(decimal)])
