"""What on a page leads to a payment page, with its line; and what is wrong with it.

A cheap test of the bytes says which pages are worth reading at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl

import ada_url

from tracknow_static.page import encoding, links
from tracknow_static.page.entities import decode_attribute
from tracknow_static.page.findings import Finding, Severity, finding
from tracknow_static.page.tokens import Token, attributes, tokens

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

SurfaceKind = Literal["link", "form", "buy-button", "pricing-table", "handler", "script", "refresh"]

# What Stripe keeps of a reference (docs.stripe.com/payment-links/url-parameters).
_KEPT = re.compile(r"[A-Za-z0-9_-]{1,200}")

# One ASCII letter, digit, dot or hyphen written as a reference or percent-encoded: the ways to
# spell a host so that the plain word is not there. Most pages have none of them.
_LETTER_REFERENCE = re.compile(rb"&#(?:x0*(2[de]|3[0-9]|[46][1-9a-f]|[57][0-9a])|0*(4[56]|4[89]|5[0-7]|6[5-9]|[78][0-9]|90|9[7-9]|1[01][0-9]|12[0-2]))(?![0-9a-f]);?")  # fmt: skip
_LETTER_ESCAPE = re.compile(rb"%(2[de]|[46][1-9a-f]|[57][0-9a])")
_NAMED_DOT = re.compile(rb"&period;|&shy;|&tab;|&newline;")

_ELEMENTS = frozenset(
    (b"a", b"area", b"form", b"button", b"input", b"stripe-buy-button", b"stripe-pricing-table")
)
_URL_ATTRIBUTES = {
    b"a": (b"href", b"xlink:href"),
    b"area": (b"href",),
    b"form": (b"action",),
    b"button": (b"formaction",),
    b"input": (b"formaction",),
}
_STRIPE_ELEMENTS: dict[bytes, SurfaceKind] = {
    b"stripe-buy-button": "buy-button",
    b"stripe-pricing-table": "pricing-table",
}
_REFRESH = re.compile(r"^[\t\n\f\r ]*[0-9.]*[\t\n\f\r ]*[;,]?[\t\n\f\r ]*(?:url[\t\n\f\r ]*=[\t\n\f\r ]*)?[\"']?([^\"']*)", re.IGNORECASE)  # fmt: skip
# An address inside a script or an inline handler: what follows a quote up to the next.
_IN_SCRIPT = re.compile(r"""(?:https?:)?\\?/\\?/[^\s"'`<>()]+""", re.IGNORECASE)


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


def worth_reading(page: bytes, hosts: Collection[str] = links.STRIPE_HOSTS) -> bool:
    """Say by a cheap test whether a page can have a payment surface or the vendor's snippet."""
    if encoding.wide(page):
        page = _text(page)
    low = page.lower()
    if b"stripe" in low or b"tn_click_id" in low:
        return True
    needles = [needle for host in hosts for needle in _spellings(host)]
    if any(needle in low for needle in needles):
        return True
    if b"&" not in low and b"%" not in low:
        return False
    plain = _plain(low)
    return plain is not low and (b"stripe" in plain or any(needle in plain for needle in needles))


def _spellings(host: str) -> list[bytes]:
    if host in links.STRIPE_HOSTS:
        return []  # "stripe" has been looked for
    spellings = [host.encode()]
    if "xn--" in host:
        spellings.append(ada_url.idna_to_unicode(host).encode())
    return spellings


def _plain(low: bytes) -> bytes:
    """Resolve single letters written as references or percent-encoded."""
    if b"&#" in low:
        low = _LETTER_REFERENCE.sub(_letter, low)
    if b"&" in low:
        low = _NAMED_DOT.sub(lambda match: b"." if match.group() == b"&period;" else b"", low)
    if b"%" in low:
        low = _LETTER_ESCAPE.sub(lambda match: bytes([int(match.group(1), 16)]), low)
    return low.lower()


def _letter(match: re.Match[bytes]) -> bytes:
    hexadecimal, decimal = match.groups()
    return bytes([int(hexadecimal, 16) if hexadecimal else int(decimal)])


def _text(page: bytes) -> bytes:
    form = encoding.wide(page)
    return page.decode(form, "replace").encode("utf-8", "replace") if form else page


def find_surfaces(
    page: bytes, hosts: Collection[str] = links.STRIPE_HOSTS, *, where: str = links.ANYWHERE
) -> list[Surface]:
    """Give every payment surface of a page in the order of the source."""
    return list(inspect(page, hosts, where=where).surfaces)


def inspect(
    page: bytes, hosts: Collection[str] = links.STRIPE_HOSTS, *, where: str = links.ANYWHERE
) -> Inspection:
    """Read a page for payment surfaces and the vendor's snippet; ``where`` is the page's URL."""
    if not worth_reading(page, hosts):
        return NOTHING
    data = _text(page)
    return _Reading(data, hosts, where).inspection()


class _Reading:
    """One reading of one page."""

    def __init__(self, data: bytes, hosts: Collection[str], where: str) -> None:
        self._data = data
        self._hosts = hosts
        self._base = where
        self._needles = {b"stripe"} | {low for host in hosts for low in _spellings(host)}
        self._line = 1
        self._counted = 0
        self._base_leads = False

    def inspection(self) -> Inspection:
        data = self._data
        kept: list[Token] = []
        vendor: int | None = None
        based = False
        ours = False
        for token in tokens(data):
            if token.kind == "start":
                ours = token.name == b"script" and b"data-tracknow" in data[token.start : token.end]
                if token.name == b"base" and not based and not token.foreign:
                    based = self._take_base(token)
                elif token.name in _ELEMENTS or token.name == b"meta" or self._handles(token):
                    kept.append(token)
            elif token.kind == "raw" and token.name == b"script" and not ours:
                kept.append(token)
        surfaces: list[Surface] = []
        for token in kept:
            if token.kind == "raw":
                if vendor is None and _is_vendor(data[token.start : token.end]):
                    vendor = self._at(token.start)
                surfaces += self._mentions(token.start, token.end, "script")
            else:
                surfaces += self._of_tag(token)
        return Inspection(tuple(surfaces), vendor)

    def _take_base(self, token: Token) -> bool:
        span = attributes(self._data, token).get(b"href")
        if span is None:
            return False
        try:
            base = ada_url.URL(self._value(span), self._base)
        except ValueError:
            return True
        self._base = base.href
        self._base_leads = base.hostname in self._hosts
        return True

    def _handles(self, token: Token) -> bool:
        text = self._data[token.rest : token.end].lower()
        return b"on" in text and any(needle in text for needle in self._needles)

    def _of_tag(self, token: Token) -> Iterator[Surface]:
        found = attributes(self._data, token)
        name = token.name
        if name in _STRIPE_ELEMENTS:
            yield self._stripe_element(token, found)
            return
        if name == b"meta":
            yield from self._refresh(token, found)
            return
        for attribute in _URL_ATTRIBUTES.get(name, ()):
            span = found.get(attribute)
            if span and self._may_lead(span):
                kind: SurfaceKind = "link" if name in (b"a", b"area") else "form"
                surface = self._surface(kind, token.start, self._value(span))
                if surface:
                    yield surface
                    break
        for attribute, span in found.items():
            if attribute.startswith(b"on") and span[0] < span[1]:
                yield from self._mentions(*span, "handler")

    def _may_lead(self, span: tuple[int, int]) -> bool:
        """Spare the URL parser the many values that cannot name a payment host."""
        if self._base_leads:
            return True
        raw = self._data[slice(*span)]
        if b"%" in raw or b"&" in raw or not raw.isascii() or b"\n" in raw or b"\t" in raw:
            return True
        low = raw.lower()
        return any(needle in low for needle in self._needles)

    def _surface(self, kind: SurfaceKind, start: int, url: str) -> Surface | None:
        parsed = links.payment_url(url, self._base, self._hosts)
        if parsed is None:
            return None
        pairs = parse_qsl(parsed.query, keep_blank_values=True)
        reference = next((value for key, value in pairs if key == "client_reference_id"), None)
        plain = parsed.scheme == "http"
        return Surface(kind, self._at(start), parsed.href, parsed.test_mode, plain, reference)

    def _stripe_element(self, token: Token, found: dict[bytes, tuple[int, int]]) -> Surface:
        span = found.get(b"client-reference-id")
        reference = self._value(span) if span else None
        key = found.get(b"publishable-key")
        test = self._value(key).startswith("pk_test_") if key else False
        kind = _STRIPE_ELEMENTS[token.name]
        return Surface(kind, self._at(token.start), "", test, reference=reference)

    def _refresh(self, token: Token, found: dict[bytes, tuple[int, int]]) -> Iterator[Surface]:
        pragma, content = found.get(b"http-equiv"), found.get(b"content")
        if not pragma or not content or self._data[slice(*pragma)].lower() != b"refresh":
            return
        match = _REFRESH.match(self._value(content))
        if match and match.group(1):
            surface = self._surface("refresh", token.start, match.group(1))
            if surface:
                yield surface

    def _mentions(self, start: int, end: int, kind: SurfaceKind) -> Iterator[Surface]:
        low = self._data[start:end].lower()
        if kind == "script" and not any(needle in low for needle in self._needles):
            return
        text = self._data[start:end].decode("utf-8", "replace")
        if kind == "handler":
            text = decode_attribute(text)
        passed = 0
        for match in _IN_SCRIPT.finditer(text):
            # Lines inside a script count; inside a handler the tag's line says enough.
            if kind == "script":
                passed = len(text[: match.start()].encode("utf-8", "replace"))
            surface = self._surface(kind, start + passed, match.group().replace("\\/", "/"))
            if surface:
                yield surface

    def _value(self, span: tuple[int, int]) -> str:
        return decode_attribute(self._data[slice(*span)].decode("utf-8", "replace"))

    def _at(self, offset: int) -> int:
        """Give the line of an offset; offsets are asked for in almost ascending order."""
        if offset < self._counted:
            return self._data.count(b"\n", 0, offset) + 1
        self._line += self._data.count(b"\n", self._counted, offset)
        self._counted = offset
        return self._line


def _is_vendor(script: bytes) -> bool:
    """Recognise the snippet that docs.tracknow.io gives for pasting."""
    return b"tn_click_id" in script and (b"localStorage" in script or b"document.cookie" in script)


def judge(
    inspection: Inspection,
    file: str,
    *,
    test_links: str = "warn",
    existing_reference: str = "keep",
    skipped: str | None = None,
    carries: bool = True,
) -> list[Finding]:
    """Turn what was found on a page into findings; ``file`` is the page's path in the site.

    ``skipped`` is the reason why the page could not take the script, ``carries`` says whether it
    has it.
    """
    found: list[Finding] = []
    for surface in inspection.surfaces:
        found += _of_surface(surface, file, test_links, existing_reference)
    if inspection.vendor_line is not None and carries:
        found.append(finding("TN201", file, inspection.vendor_line))
    if skipped and inspection.surfaces:
        found.append(finding("TN301", file, inspection.surfaces[0].line, skipped))
    elif skipped == "fragment":
        found.append(finding("TN302", file, 1))
    return found


def _of_surface(
    surface: Surface, file: str, test_links: str, existing_reference: str
) -> Iterator[Finding]:
    line, about = surface.line, surface.url or surface.kind
    if surface.test_mode and test_links != "ignore":
        severity: Severity = "error" if test_links == "error" else "warning"
        yield finding("TN101", file, line, about, severity=severity)
    if surface.plain_http:
        yield finding("TN102", file, line, about)
    if surface.reference is not None:
        if not _KEPT.fullmatch(surface.reference):
            yield finding("TN104", file, line, repr(surface.reference))
        elif existing_reference == "keep":
            yield finding("TN103", file, line, about)
    if surface.kind == "refresh":
        yield finding("TN105", file, line, about)
    if surface.kind == "handler":
        yield finding("TN106", file, line, about)
    if surface.kind == "script":
        yield finding("TN107", file, line, about)
