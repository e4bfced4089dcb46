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
from tracknow_static.page.surfaces import Inspection, Surface, SurfaceKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

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


class _Position(NamedTuple):
    """Where a tag ends: the line, the offset of its beginning, and whether no tag ended before."""

    line: int
    offset: int
    first: bool


class _Found(NamedTuple):
    """Something that may lead to a payment page; it is judged when ``base`` is known."""

    kind: SurfaceKind
    tag: str
    values: tuple[str, ...]
    at: _Position


def read(data: bytes, hosts: Collection[str], where: str, needles: Collection[bytes]) -> Inspection:
    """Read a page in UTF-8; ``needles`` are what the spelling of each payment host contains."""
    target = _Target([needle.decode() for needle in needles], keep_all=b"<base" in data.lower())
    # The events are ours to interpret: an error in the markup is none of the reading.
    parser = etree.HTMLParser(
        target=target,  # type: ignore[arg-type] # the stubs ask for bytes and comments, lxml does not
        encoding="utf-8",
        recover=True,
        huge_tree=True,
    )
    start = 0
    try:
        while start < len(data):
            end = data.find(b"\n", start) + 1 or len(data)
            target.first = True
            target.offset = start
            parser.feed(data[start:end])
            target.line += 1
            start = end
        parser.close()
    except etree.XMLSyntaxError:  # a page without a single element
        pass
    base = where
    if target.base is not None:
        with contextlib.suppress(ValueError):
            base = ada_url.URL(target.base, where).href
    judge = _Judge(data, hosts, base)
    surfaces = [surface for found in target.found for surface in judge.surfaces(found)]
    return Inspection(tuple(surfaces), target.vendor_line)


class _Target:
    """What lxml calls for each tag and text, in the order of the source."""

    def __init__(self, needles: list[str], *, keep_all: bool) -> None:
        self.line = 1
        self.offset = 0
        self.first = True
        self.found: list[_Found] = []
        self.base: str | None = None
        self.vendor_line: int | None = None
        self._needles = needles
        self._keep_all = keep_all
        self._script: list[str] | None = None
        self._script_at = _Position(1, 0, first=False)
        self._unseen = 0

    def start(self, tag: str, attrib: Mapping[str, str]) -> None:
        first, self.first = self.first, False
        if tag == "noscript":  # with scripts a browser sees no element inside
            self._unseen += 1
        if self._unseen:
            return
        at = _Position(self.line, self.offset, first)
        if tag in _STRIPE_ELEMENTS:
            values = (attrib.get("client-reference-id"), attrib.get("publishable-key"))
            self.found.append(_stripe_element(tag, values, at))
        elif tag == "script":
            runs = _RUNS.fullmatch(attrib.get("type") or "") and "data-tracknow" not in attrib
            self._script = [] if runs else None
            self._script_at = at
        elif attrib:
            self._attributes(tag, attrib, at)

    def _attributes(self, tag: str, attrib: Mapping[str, str], at: _Position) -> None:
        if tag in _URL_ATTRIBUTES:
            kind, names = _URL_ATTRIBUTES[tag]
            self._keep(kind, tag, [attrib[name] for name in names if name in attrib], at)
        elif tag == "meta":
            if attrib.get("http-equiv", "").lower() == "refresh":
                match = _REFRESH.match(attrib.get("content", ""))
                self._keep("refresh", tag, [match[match.lastindex or 0]] if match else [], at)
        elif tag == "base" and self.base is None:
            self.base = attrib.get("href")
        for name, value in attrib.items():
            if name.startswith("on"):
                self._keep("handler", tag, [value], at)

    def _keep(self, kind: SurfaceKind, tag: str, values: list[str], at: _Position) -> None:
        """Spare the URL parser the many values that cannot name a payment host."""
        kept = tuple(value for value in values if self._keep_all or self._may_lead(value))
        if kept:
            self.found.append(_Found(kind, tag, kept, at))

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
            self._keep("script", tag, [text], self._script_at)

    def close(self) -> None:
        """What lxml wants a target to have."""


def _stripe_element(tag: str, values: tuple[str | None, str | None], at: _Position) -> _Found:
    reference, key = values
    test = "test" if (key or "").startswith("pk_test_") else ""
    return _Found(
        _STRIPE_ELEMENTS[tag], tag, (test, *([] if reference is None else [reference])), at
    )


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
        """Give the line where a tag begins; only the first that ends in a line may be older."""
        line, offset, first = found.at
        if not first:
            return line
        end = self._data.find(b"\n", offset)
        text = self._data[offset : end if end >= 0 else None]
        opens, closes = text.find(b"<"), text.find(b">")
        if 0 <= opens < closes or closes < 0:
            return line
        before = self._data[:offset].lower()
        began = before.rfind(b"<" + found.tag.encode())
        return line - before.count(b"\n", began) if began >= 0 else line
