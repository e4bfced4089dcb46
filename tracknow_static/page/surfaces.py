"""What on a page leads to a payment page, with its line.

A cheap test of the bytes says which pages are worth reading at all; ``reading.py`` reads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import ada_url

from tracknow_static.page import encoding, links
from tracknow_static.tracknow import PAYMENT_HOSTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

SurfaceKind = Literal["link", "form", "buy-button", "pricing-table", "handler", "script", "refresh"]

# One ASCII letter, digit, dot or hyphen written as a reference or percent-encoded, or what a URL
# parser leaves out: the ways to spell a host so that the plain word is not there.
_REFERENCE = re.compile(
    rb"&(?:#(?:x0*(2[de]|3[0-9]|[46][1-9a-f]|[57][0-9a])"
    rb"|0*(4[56]|4[89]|5[0-7]|6[5-9]|[78][0-9]|90|9[7-9]|1[01][0-9]|12[0-2]))(?![0-9a-f]);?"
    rb"|(period|shy|tab|newline);)"
)
_ESCAPE = re.compile(rb"%(2[de]|[46][1-9a-f]|[57][0-9a])")
_MANY = 16
_WINDOW = 400  # how far from a hidden letter the rest of its host is looked for
# "stripe" as a part of a host or of an element, not of "striped": what follows may be a dot in one
# of its spellings, or something that a URL parser leaves out.
_STRIPE = re.compile(rb"stripe(?:\.com|-buy-button|-pricing-table|[%&\\\t\n\r\x80-\xff])")


@dataclass(frozen=True)
class Surface:
    """One thing on a page that leads to a payment page.

    ``line`` counts from 1; ``url`` is the address as a browser reads it ("" for a buy button or a
    pricing table); ``reference`` is a client_reference_id that it carries already.
    """

    kind: SurfaceKind
    line: int
    url: str
    test_mode: bool = False
    plain_http: bool = False
    reference: str | None = None


@dataclass(frozen=True)
class Inspection:
    """What :func:`inspect` found on a page, before it is known where the page stands."""

    surfaces: tuple[Surface, ...] = ()
    vendor_line: int | None = None


NOTHING = Inspection()


def worth_reading(page: bytes, hosts: Collection[str] = PAYMENT_HOSTS) -> bool:
    """Say by a cheap test whether a page can have a payment surface or the vendor's snippet."""
    if encoding.wide(page):
        page = encoding.to_utf8(page)
    low = page.lower()
    needles = [needle for host in hosts for needle in _spellings(host)]
    if has(low, b"tn_click_id") or _mentions(low, needles):
        return True
    for start, end in hidden(low):
        if _mentions(_plain(low[max(0, start - _WINDOW) : end + _WINDOW]), needles):
            return True
    return False


def hidden(low: bytes) -> Iterator[tuple[int, int]]:
    """Give the places in a lower-case page where a letter of a host may be hidden."""
    for pattern, sign in ((_REFERENCE, b"&"), (_ESCAPE, b"%")):
        # Few signs are found faster one by one than by the pattern, and most pages have few.
        spot = low.find(sign)
        for _ in range(_MANY):
            if spot < 0:
                break
            if match := pattern.match(low, spot):
                yield match.span()
            spot = low.find(sign, spot + 1)
        if spot >= 0:
            yield from (match.span() for match in pattern.finditer(low, spot))


def spots_of(low: bytes, needles: Iterable[bytes]) -> set[int]:
    """Give the places in a lower-case page where a needle is, or a letter may be hidden."""
    spots = {start for start, _ in hidden(low)}
    for needle in needles:
        found = low.find(needle)
        while found >= 0:
            spots.add(found)
            found = low.find(needle, found + len(needle))
    return spots


def has(page: bytes, word: bytes, start: int = 0) -> bool:
    """Say whether ``word`` is in a page; for one that is not, this is twice as fast as ``in``."""
    return page.rfind(word, start) >= 0


def _mentions(low: bytes, needles: list[bytes]) -> bool:
    if has(low, b"stripe") and _STRIPE.search(low):
        return True
    return any(has(low, needle) for needle in needles)


def _spellings(host: str) -> list[bytes]:
    if host in PAYMENT_HOSTS:
        return []  # "stripe" has been looked for
    spellings = [host.encode()]
    if "xn--" in host:
        spellings.append(ada_url.idna_to_unicode(host).encode())
    return spellings


def _plain(low: bytes) -> bytes:
    """Resolve what hides single letters of a host."""
    plain = _REFERENCE.sub(_letter, low)
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), plain).lower()


def _letter(match: re.Match[bytes]) -> bytes:
    hexadecimal, decimal, name = match.groups()
    if name:
        return b"." if name == b"period" else b""
    return bytes([int(hexadecimal, 16) if hexadecimal else int(decimal)])


def find_surfaces(
    page: bytes, hosts: Collection[str] = PAYMENT_HOSTS, *, where: str = links.ANYWHERE
) -> list[Surface]:
    """Give every payment surface of a page in the order of the source."""
    return list(inspect(page, hosts, where=where).surfaces)


def inspect(
    page: bytes, hosts: Collection[str] = PAYMENT_HOSTS, *, where: str = links.ANYWHERE
) -> Inspection:
    """Read a page for payment surfaces and the vendor's snippet; ``where`` is the page's URL."""
    return read_page(page, hosts, where=where) if worth_reading(page, hosts) else NOTHING


def read_page(
    page: bytes, hosts: Collection[str] = PAYMENT_HOSTS, *, where: str = links.ANYWHERE
) -> Inspection:
    """Do what :func:`inspect` does, for a page that has passed the test."""
    # Late: a site without payment links on most of its pages may never need lxml.
    from tracknow_static.page.reading import read

    needles = {b"stripe"} | {low for host in hosts for low in _spellings(host)}
    return read(encoding.to_utf8(page), hosts, where, needles)
