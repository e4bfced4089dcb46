"""What matters in a page: payment surfaces, redirects, policies, base and scripts.

The one reader of pages, for the build and for ``check``. The tokens of ``candidates`` decide where
an element is, and so on which line; lxml reads its attributes.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import parse_qsl

import ada_url

from tracknow_static.page import encoding, links
from tracknow_static.page.candidates import all_elements, elements, words
from tracknow_static.tracknow import PAYMENT_HOSTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tracknow_static.page.candidates import Element
    from tracknow_static.page.links import PaymentUrl

SurfaceKind = Literal["link", "form", "buy-button", "pricing-table", "handler", "script", "refresh"]

# What marks the elements that only an audit looks for.
MARKUP = (b"<base", b"http-equiv", b"data-tracknow")

_URL_ATTRIBUTES: dict[bytes, tuple[SurfaceKind, tuple[str, ...]]] = {
    b"a": ("link", ("href", "xlink:href")),
    b"area": ("link", ("href",)),
    b"form": ("form", ("action",)),
    b"button": ("form", ("formaction",)),
    b"input": ("form", ("formaction",)),
}
_STRIPE_ELEMENTS: dict[bytes, SurfaceKind] = {
    b"stripe-buy-button": "buy-button",
    b"stripe-pricing-table": "pricing-table",
}
# https://html.spec.whatwg.org/#shared-declarative-refresh-steps
_REFRESH = re.compile(
    r"[\t\n\f\r ]*[0-9.]+[\t\n\f\r ]*(?:[;,][\t\n\f\r ]*|[\t\n\f\r ])"
    r"""(?:url[\t\n\f\r ]*=[\t\n\f\r ]*)?(?:"([^"]*)|'([^']*)|(.*))""",
    re.IGNORECASE | re.DOTALL,
)
# An address inside a script or an inline handler: what follows a quote up to the next.
_IN_SCRIPT = re.compile(r"""(?:https?:)?\\?/\\?/[^\s"'`<>()]+""", re.IGNORECASE)
# What stubs do: location = "…", location.href = "…", location.replace("…"), .assign("…").
_MOVES = re.compile(
    r"""\blocation(?:\.href)?\s*=\s*["'`]([^"'`]*)|\blocation\.(?:replace|assign)\(\s*["'`]([^"'`]*)"""
)
# A script of another type is data. (https://html.spec.whatwg.org/#prepare-the-script-element)
_RUNS = re.compile(
    r"\s*(?:module|(?:(?:text|application)/(?:x-)?(?:java|ecma)script|text/(?:jscript|livescript"
    r"|javascript1\.[0-5]))\s*)?",
    re.IGNORECASE,
)


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


class Redirect(NamedTuple):
    """A page that sends its visitor on; ``target`` as written, "" for one computed by a script."""

    line: int
    target: str
    by_script: bool


class Positioned(NamedTuple):
    """A policy's text or a base's address, its line and its offset among the elements."""

    line: int
    offset: int
    text: str


@dataclass
class PageContents:
    """What :func:`read` found on a page, in the order of the source.

    ``vendor_line`` is that of Tracknow's own snippet, ``script_offset`` where the first script of
    ours begins.
    """

    surfaces: list[Surface] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    policies: list[Positioned] = field(default_factory=list)
    base: Positioned | None = None
    vendor_line: int | None = None
    script_offset: int | None = None


def read(
    page: bytes,
    hosts: Collection[str] = PAYMENT_HOSTS,
    *,
    where: str = links.ANYWHERE,
    markup: Collection[bytes] = (),
) -> PageContents:
    """Read a page at the URL ``where``; ``hosts`` are those of payment pages.

    What leads to a payment page is found in any case, redirects, policies, base and scripts of
    ours where ``markup`` names words of theirs.
    """
    data = encoding.to_utf8(page)
    reading = _Reading(data, hosts, where)
    for element in elements(data, {*words(hosts), b"tn_click_id", b"<base", *markup}):
        reading.element(element)
        if reading.leads_to_payment:
            break
    else:
        return reading.contents
    # The base counts for what comes before it, too.
    reading = _Reading(data, hosts, reading.base_url)
    for element in all_elements(data):
        reading.element(element)
    return reading.contents


class _Reading:
    """Takes the elements of one page in their order."""

    def __init__(self, data: bytes, hosts: Collection[str], where: str) -> None:
        self.contents = PageContents()
        self.leads_to_payment = False  # a base element makes payment links of relative ones
        self._data = data
        self._hosts = hosts
        self._words = [word.decode() for word in words(hosts)]
        self.base_url = where
        self._own: Surface | None = None  # the last link or form
        self._line_at = (1, 0)

    def element(self, element: Element) -> None:
        """Note what the element is, if it is anything."""
        attributes = _attributes(self._data, element)
        if element.name in _STRIPE_ELEMENTS:
            self._stripe_element(element, attributes)
        elif element.name == b"script":
            self._script(element, attributes)
        elif element.name == b"meta":
            self._meta(element, attributes)
        elif element.name == b"base" and self.contents.base is None:
            self._set_base(element, attributes)
        elif element.name in _URL_ATTRIBUTES:
            kind, names = _URL_ATTRIBUTES[element.name]
            values = [attributes[name] for name in names if name in attributes]
            for url in filter(None, map(self._payment_url, values[:1])):
                self._own = self._add(kind, self._line(element.start), url)
        self._handlers(element, attributes)

    def _stripe_element(self, element: Element, attributes: Mapping[str, str]) -> None:
        test_mode = attributes.get("publishable-key", "").startswith("pk_test_")
        kind, line = _STRIPE_ELEMENTS[element.name], self._line(element.start)
        reference = attributes.get("client-reference-id")
        self.contents.surfaces.append(Surface(kind, line, "", test_mode, reference=reference))

    def _script(self, element: Element, attributes: Mapping[str, str]) -> None:
        if "data-tracknow" in attributes:
            if self.contents.script_offset is None:
                self.contents.script_offset = element.start
            return
        if not _RUNS.fullmatch(attributes.get("type") or ""):
            return
        text = self._data[element.opened : element.end].decode("utf-8", "replace")
        line = self._line(element.start)
        if self.contents.vendor_line is None and _is_vendor(text):
            self.contents.vendor_line = line
        if match := _MOVES.search(text):
            target = match[1] if match[1] is not None else match[2]
            self.contents.redirects.append(Redirect(line, target, by_script=True))
        if any(word in text.lower() for word in self._words):
            line = self._line(element.opened)
            for match in _IN_SCRIPT.finditer(text):
                if url := self._payment_url(_unescaped(match[0])):
                    self._add("script", line + text.count("\n", 0, match.start()), url)

    def _meta(self, element: Element, attributes: Mapping[str, str]) -> None:
        pragma, content = attributes.get("http-equiv", "").lower(), attributes.get("content", "")
        if pragma == "content-security-policy":
            policy = Positioned(self._line(element.start), element.start, content)
            self.contents.policies.append(policy)
        match = _REFRESH.match(content) if pragma == "refresh" else None
        if match and (target := match[match.lastindex or 0].strip()):
            line = self._line(element.start)
            if url := self._payment_url(target):
                self._add("refresh", line, url)
            self.contents.redirects.append(Redirect(line, target, by_script=False))

    def _set_base(self, element: Element, attributes: Mapping[str, str]) -> None:
        href = attributes.get("href")
        if href is None:
            return
        self.contents.base = Positioned(self._line(element.start), element.start, href)
        with contextlib.suppress(ValueError):
            url = ada_url.URL(href, self.base_url)
            self.base_url = url.href
            self.leads_to_payment = url.hostname in self._hosts

    def _handlers(self, element: Element, attributes: Mapping[str, str]) -> None:
        for name, value in attributes.items():
            if not name.startswith("on"):
                continue
            for match in _IN_SCRIPT.finditer(value):
                url = self._payment_url(_unescaped(match[0]))
                line = self._line(element.start)
                # A handler that counts clicks names its own link.
                own = self._own and (self._own.line, self._own.url)
                if url and own != (line, url.href):
                    self._add("handler", line, url)

    def _payment_url(self, url: str) -> PaymentUrl | None:
        return links.payment_url(url, self.base_url, self._hosts)

    def _add(self, kind: SurfaceKind, line: int, url: PaymentUrl) -> Surface:
        pairs = parse_qsl(url.query, keep_blank_values=True)
        reference = next((value for key, value in pairs if key == "client_reference_id"), None)
        plain_http = url.scheme == "http"
        surface = Surface(kind, line, url.href, url.test_mode, plain_http, reference)
        self.contents.surfaces.append(surface)
        return surface

    def _line(self, offset: int) -> int:
        line, counted = self._line_at
        if offset < counted:
            line, counted = 1, 0
        line += self._data.count(b"\n", counted, offset)
        self._line_at = (line, offset)
        return line


def _attributes(data: bytes, element: Element) -> Mapping[str, str]:
    """Return the attributes of an element as lxml reads them, whatever the element is called."""
    tag = b"<x" + data[element.start + 1 + len(element.name) : element.opened]
    etree, parser = _lxml()
    # html, body, x
    return dict(etree.fromstring(tag, parser)[0][0].items())


@cache
def _lxml() -> tuple[Any, Any]:
    # Late: a site without payment links on most of its pages may never need lxml.
    from lxml import etree

    return etree, etree.HTMLParser(encoding="utf-8", recover=True, huge_tree=True)


def _unescaped(url: str) -> str:
    return url.replace("\\/", "/")


def _is_vendor(script: str) -> bool:
    """Recognise the snippet that docs.tracknow.io gives for pasting."""
    return "tn_click_id" in script and ("localStorage" in script or "document.cookie" in script)
