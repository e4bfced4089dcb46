"""Reads a page for what leads to a payment page: with lxml, in a stream, line by line.

No tree is built, so that a page of 40 MB costs little memory; and the line is our own count,
because libxml2 stops counting at 65,535.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

import ada_url
from lxml import etree

from tracknow_static.page import links
from tracknow_static.page.surfaces import NOTHING, Inspection, Surface, SurfaceKind, spots_of
from tracknow_static.page.windows import Piece, windows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_URL_ATTRIBUTES: dict[str, tuple[SurfaceKind, tuple[str, ...]]] = {
    "a": ("link", ("href", "xlink:href")),
    "area": ("link", ("href",)),
    "form": ("form", ("action",)),
    "button": ("form", ("formaction",)),
    "input": ("form", ("formaction",)),
}
_STRIPE_ELEMENTS: dict[str, SurfaceKind] = {
    "stripe-buy-button": "buy-button",
    "stripe-pricing-table": "pricing-table",
}
# Elements that a parser adds by itself.
_IMPLIED = frozenset(("html", "head", "body", "p"))
# https://html.spec.whatwg.org/#shared-declarative-refresh-steps
_REFRESH = re.compile(
    r"[\t\n\f\r ]*[0-9.]+[\t\n\f\r ]*(?:[;,][\t\n\f\r ]*|[\t\n\f\r ])"
    r"""(?:url[\t\n\f\r ]*=[\t\n\f\r ]*)?(?:"([^"]*)|'([^']*)|(.*))""",
    re.IGNORECASE | re.DOTALL,
)
# An address inside a script or an inline handler: what follows a quote up to the next.
_IN_SCRIPT = re.compile(r"""(?:https?:)?\\?/\\?/[^\s"'`<>()]+""", re.IGNORECASE)
# A script of another type is data. (https://html.spec.whatwg.org/#prepare-the-script-element)
_RUNS = re.compile(
    r"\s*(?:module|(?:(?:text|application)/(?:x-)?(?:java|ecma)script|text/(?:jscript|livescript"
    r"|javascript1\.[0-5]))\s*)?",
    re.IGNORECASE,
)


class _Found(NamedTuple):
    """Something that may lead to a payment page; it is judged when ``base`` is known.

    ``first``: no other tag ended in its piece before it.
    """

    kind: SurfaceKind
    tag: str
    values: tuple[str, ...]
    piece: Piece
    first: bool


def read(data: bytes, hosts: Collection[str], where: str, needles: Collection[bytes]) -> Inspection:
    """Read a page in UTF-8; ``needles`` are what the spelling of each payment host contains."""
    few = windows(data, needles)
    if few is None:
        return read_whole(data, hosts, where, needles)
    inspection = _read(data, hosts, where, needles, few) if few else NOTHING
    assert inspection is not None  # noqa: S101 - each of these pieces knows its line
    return inspection


def read_whole(
    data: bytes, hosts: Collection[str], where: str, needles: Collection[bytes]
) -> Inspection:
    """Do what :func:`read` does, through the parser from the first byte to the last."""
    keep_all = b"<base" in data.lower()  # relative addresses may lead there as well
    pieces = _pieces(data, needles)
    inspection = _read(data, hosts, where, needles, pieces, keep_all=keep_all)
    if inspection is None:  # a line is not known: a host is spelled in a way that no needle finds
        inspection = _read(data, hosts, where, needles, _by_line(data), keep_all=keep_all)
        assert inspection is not None  # noqa: S101
    return inspection


def _by_line(data: bytes) -> Iterator[Piece]:
    start, line = 0, 1
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield Piece(start, end, line, 1)
        start, line = end, line + 1


def _pieces(data: bytes, needles: Collection[bytes]) -> Iterator[Piece]:
    """Cut a page so that each line that matters is a piece of its own: each piece costs time."""
    start, line = 0, 1
    for spot in sorted(spots_of(data.lower(), (*needles, b"<script"))):
        if spot < start:
            continue
        begin = data.rfind(b"\n", start, spot) + 1 or start
        if begin > start:
            lines = data.count(b"\n", start, begin)
            yield Piece(start, begin, line, lines)
            line += lines
        start = data.find(b"\n", spot) + 1 or len(data)
        yield Piece(begin, start, line, 1)
        line += 1
    if start < len(data):
        yield Piece(start, len(data), line, data.count(b"\n", start) + 1)


def _read(
    data: bytes,
    hosts: Collection[str],
    where: str,
    needles: Collection[bytes],
    pieces: Iterable[Piece],
    *,
    keep_all: bool = False,
) -> Inspection | None:
    """Read a page piece by piece; None if the line of something cannot be told."""
    target = _Target([needle.decode() for needle in needles], keep_all=keep_all)
    parser = etree.HTMLParser(
        target=target,  # type: ignore[arg-type] # the stubs ask for bytes and comments, lxml does not
        encoding="utf-8",
        recover=True,
        huge_tree=True,
    )
    try:
        for piece in pieces:
            target.piece = piece
            target.first = True
            parser.feed(data[piece.start : piece.end])
        parser.close()
    except etree.XMLSyntaxError:  # a page without a single element
        pass
    base = where
    if target.base is not None:
        with contextlib.suppress(ValueError):
            base = ada_url.URL(target.base, where).href
    judge = _Judge(data, hosts, base)
    surfaces = [surface for found in target.found for surface in judge.surfaces(found)]
    if any(surface.line < 1 for surface in surfaces):
        return None
    return Inspection(tuple(surfaces), target.vendor_line)


class _Target:
    """What lxml calls for each tag and text, in the order of the source."""

    def __init__(self, needles: list[str], *, keep_all: bool) -> None:
        self.piece = Piece(0, 0, 1, 1)
        self.first = True
        self.found: list[_Found] = []
        self.base: str | None = None
        self.vendor_line: int | None = None
        self._needles = needles
        self._keep_all = keep_all
        self._script: list[str] | None = None
        self._script_at = self.piece
        self._unseen = 0

    def start(self, tag: str, attrib: Mapping[str, str]) -> None:
        first = self.first
        if attrib or tag not in _IMPLIED:  # what is not written begins nowhere
            self.first = False
        if tag == "noscript":  # with scripts a browser sees no element inside
            self._unseen += 1
        if self._unseen:
            return
        if tag in _STRIPE_ELEMENTS:
            values = (attrib.get("client-reference-id"), attrib.get("publishable-key"))
            self.found.append(_stripe_element(tag, values, self.piece, first))
        elif tag == "script":
            runs = _RUNS.fullmatch(attrib.get("type") or "") and "data-tracknow" not in attrib
            self._script = [] if runs else None
            self._script_at = self.piece
        elif attrib:
            self._attributes(tag, attrib, first)

    def _attributes(self, tag: str, attrib: Mapping[str, str], first: bool) -> None:
        if tag in _URL_ATTRIBUTES:
            kind, names = _URL_ATTRIBUTES[tag]
            self._keep(kind, tag, [attrib[name] for name in names if name in attrib], first)
        elif tag == "meta":
            if attrib.get("http-equiv", "").lower() == "refresh":
                match = _REFRESH.match(attrib.get("content", ""))
                self._keep("refresh", tag, [match[match.lastindex or 0]] if match else [], first)
        elif tag == "base" and self.base is None:
            self.base = attrib.get("href")
        for name, value in attrib.items():
            if name.startswith("on"):
                self._keep("handler", tag, [value], first)

    def _keep(self, kind: SurfaceKind, tag: str, values: list[str], first: bool) -> None:
        """Spare the URL parser the many values that cannot name a payment host."""
        kept = tuple(value for value in values if self._keep_all or self._may_lead(value))
        if kept:
            self.found.append(_Found(kind, tag, kept, self.piece, first))

    def _may_lead(self, value: str) -> bool:
        if "%" in value or not value.isascii() or not value.isprintable():
            return True
        low = value.lower()
        return any(needle in low for needle in self._needles)

    def data(self, text: str) -> None:
        if self._script is not None:
            self._script.append(text)

    def end(self, tag: str) -> None:
        if tag == "noscript":
            self._unseen -= 1
        elif tag == "script" and self._script is not None:
            text = "".join(self._script)
            self._script = None
            if self.vendor_line is None and _is_vendor(text):
                self.vendor_line = self._script_at.line
            if any(needle in text.lower() for needle in self._needles):
                self.found.append(_Found("script", tag, (text,), self._script_at, first=False))

    def close(self) -> None:
        """What lxml wants a target to have."""


def _stripe_element(
    tag: str, values: tuple[str | None, str | None], piece: Piece, first: bool
) -> _Found:
    reference, key = values
    test = "test" if (key or "").startswith("pk_test_") else ""
    kept = (test,) if reference is None else (test, reference)
    return _Found(_STRIPE_ELEMENTS[tag], tag, kept, piece, first)


def _is_vendor(script: str) -> bool:
    """Recognise the snippet that docs.tracknow.io gives for pasting."""
    return "tn_click_id" in script and ("localStorage" in script or "document.cookie" in script)


class _Judge:
    """Decides which of the things found are payment surfaces."""

    def __init__(self, data: bytes, hosts: Collection[str], base: str) -> None:
        self._data = data
        self._hosts = hosts
        self._base = base
        self._last: Surface | None = None

    def surfaces(self, found: _Found) -> Iterator[Surface]:
        if found.kind in ("buy-button", "pricing-table"):
            test, *reference = found.values
            yield Surface(
                *(found.kind, self._line(found), "", test == "test", False),
                reference=reference[0] if reference else None,
            )
        elif found.kind in ("handler", "script"):
            yield from self._mentions(found)
        else:
            for value in found.values:
                if surface := self._surface(found.kind, self._line(found), value):
                    self._last = surface
                    yield surface
                    break

    def _mentions(self, found: _Found) -> Iterator[Surface]:
        line = self._line(found)
        text = found.values[0]
        for match in _IN_SCRIPT.finditer(text):
            # Lines inside a script count; inside a handler the tag's line says enough.
            at = line + text.count("\n", 0, match.start()) if found.kind == "script" else line
            surface = self._surface(found.kind, at, match.group().replace("\\/", "/"))
            if surface is None:
                continue
            own = self._last
            if found.kind == "handler" and own and (own.line, own.url) == (line, surface.url):
                continue  # a handler that counts clicks names its own link
            yield surface

    def _surface(self, kind: SurfaceKind, line: int, url: str) -> Surface | None:
        parsed = links.payment_url(url, self._base, self._hosts)
        if parsed is None:
            return None
        pairs = parse_qsl(parsed.query, keep_blank_values=True)
        reference = next((value for key, value in pairs if key == "client_reference_id"), None)
        return Surface(
            *(kind, line, parsed.href, parsed.test_mode, parsed.scheme == "http"), reference
        )

    def _line(self, found: _Found) -> int:
        """Give the line where a tag begins; 0 if it cannot be told.

        Only the first tag that ends in a piece may have begun in an older one.
        """
        piece = found.piece
        if found.first:
            text = self._data[piece.start : piece.end]
            opens, closes = text.find(b"<"), text.find(b">")
            if 0 <= closes < opens or opens < 0:
                before = self._data[: piece.start].lower()
                began = before.rfind(b"<" + found.tag.encode())
                return piece.line - before.count(b"\n", began) if began >= 0 else piece.line
        return piece.line if piece.lines == 1 else 0
