"""What matters in a page: payment surfaces, redirects, policies, base and scripts.

The one reader of pages, for the build and for ``check``. The tokens of ``candidates`` decide where
an element is, and so on which line; lxml reads its attributes.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import ada_url

from tracknow_static.page import encoding, links
from tracknow_static.page.candidates import all_elements, elements, words
from tracknow_static.page.contents import (
    VENDORS,
    How,
    PageContents,
    Positioned,
    Redirect,
    Surface,
    SurfaceKind,
)
from tracknow_static.tracknow import PAYMENT_HOSTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tracknow_static.page.candidates import Element

_URL_ATTRIBUTES: dict[bytes, tuple[SurfaceKind, tuple[str, ...]]] = {
    b"a": ("link", ("href", "xlink:href")),
    b"area": ("link", ("href",)),
    b"form": ("form", ("action",)),
    b"button": ("form", ("formaction",)),
    b"input": ("form", ("formaction",)),
}
_FRAMES = {b"iframe": "src", b"frame": "src", b"embed": "src", b"object": "data"}
# What leads nowhere, whatever addresses its attributes contain.
_NO_ROUTES = frozenset(
    (b"base", b"link", b"meta", b"img", b"source", b"video", b"audio", b"track", b"script")
)
_TEXTS = frozenset(("title", "alt", "placeholder", "content", "class", "id", "style", "label"))
# Handlers of Alpine, Vue, htmx and Angular.
_HANDLER = re.compile(r"on|@|x-on:|v-on:|hx-on|ng-(?:click|submit)|\(")
# Attributes that a framework makes href or action of.
_BOUND = re.compile(r"(?::|v-bind:|x-bind:|\[)(?:attr\.)?(href|action)\]?")
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
# What makes a script's redirect one for later: a handler, a timer, a function with a name.
_LATER = re.compile(
    r"addEventListener|\bon[a-z]+\s*=|setTimeout|setInterval|\.then\(|=>|\.on\("
    r"|\bfunction\s+[\w$]|[\w$]\s*[:=]\s*(?:async\s+)?function\b"
)
_OPENS = re.compile(r"\bopen\(\s*[\"'`]?\Z")
_OPENS_WINDOW = re.compile(r"\bwindow\.open\(|(?<![.\w$])open\(")
_MAKES_LINK = re.compile(r"createElement\(\s*[\"']a[\"']\s*\)")
_MOVE_CALL = re.compile(r"\blocation(?:\.href)?\s*=[^=]|\blocation\.(?:replace|assign)\(")
# A script of another type is data. (https://html.spec.whatwg.org/#prepare-the-script-element)
_RUNS = re.compile(
    r"\s*(?:module|(?:(?:text|application)/(?:x-)?(?:java|ecma)script|text/(?:jscript|livescript"
    r"|javascript1\.[0-5]))\s*)?",
    re.IGNORECASE,
)


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


def read_script(script: bytes, hosts: Collection[str]) -> list[Surface]:
    """Return the payment surfaces of a script file."""
    low = script.lower()
    if not any(word in low for word in words(hosts)):
        return []
    reading = _Reading(script, hosts, links.ANYWHERE)
    reading.script_text(script.decode("utf-8", "replace"), 1, inline=False)
    return reading.contents.surfaces


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
        if element.name == b"noscript" and element.end > element.opened:
            self._inside(self._data[element.opened : element.end], element.opened, "noscript")
        attributes = _attributes(self._data, element)
        if element.name in _STRIPE_ELEMENTS:
            self._stripe_element(element, attributes)
        elif element.name == b"script":
            self._script(element, attributes)
        elif element.name == b"meta":
            self._meta(element, attributes)
        elif element.name == b"base" and self.contents.base is None:
            self._set_base(element, attributes)
        own = _URL_ATTRIBUTES.get(element.name)
        if own:
            kind, names = own
            values = [attributes[name] for name in names if name in attributes]
            if values and (url := self._payment_url(values[0])):
                self._own = self._add(kind, self._line(element.start), url)
        for name, value in attributes.items():
            if self._may_lead(value):
                self._attribute(element, name, value)

    def _attribute(self, element: Element, name: str, value: str) -> None:
        """Note the payment addresses in an attribute that is no payment address itself."""
        line = self._line(element.start)
        kind, urls = _URL_ATTRIBUTES.get(element.name, ("link", ()))
        bound = _BOUND.fullmatch(name)
        if name == "srcdoc" and element.name == b"iframe":
            self._inside(value.encode(), element.start, "")
        elif _HANDLER.match(name):
            self._code(value, line)
        elif name in urls:
            if value.strip().lower().startswith("javascript:"):
                self._code(value, line)
            elif not self._payment_url(value):
                self._parameter(value, line)
        elif bound and element.name in _URL_ATTRIBUTES:
            for url in self._addresses(value):
                self._add(kind, line, url)
        elif name == _FRAMES.get(element.name):
            if framed := self._payment_url(value):
                self._add("frame", line, framed)
        elif element.name not in (*_NO_ROUTES, *_STRIPE_ELEMENTS) and _is_data(name):
            self._data_value(value, line)

    def _data_value(self, value: str, line: int) -> None:
        for url in self._addresses(value):
            if not self._is_own(line, url):
                self._add("data", line, url)

    def _code(self, text: str, line: int) -> None:
        """Note what an inline handler leads to."""
        for match in _IN_SCRIPT.finditer(text):
            url = self._payment_url(_unescaped(match[0]))
            if url and not self._is_own(line, url):
                opens = _opens_window(text) or _OPENS.search(text[: match.start()])
                self._add("handler", line, url, "open" if opens else "")

    def _is_own(self, line: int, url: ada_url.URL) -> bool:
        """Whether it is the link that an attribute is on, such as a handler that counts clicks."""
        return self._own is not None and (self._own.line, self._own.url) == (line, url.href)

    def _parameter(self, value: str, line: int) -> None:
        """Note a payment address inside another URL: a page or a service that redirects."""
        try:
            through = ada_url.URL(value, self.base_url)
        except ValueError:
            return
        away = through.hostname != ada_url.URL(self.base_url).hostname
        for url in self._addresses(unquote(through.search + through.hash)):
            self._add("parameter", line, url, "away" if away else "")

    def _inside(self, data: bytes, offset: int, how: How) -> None:
        """Note the surfaces of a document or a part of one that is inside this page."""
        inner = read(data, self._hosts, where=self.base_url)
        first = self._line(offset)
        for surface in inner.surfaces:
            line = first + (surface.line - 1 if how else 0)
            self.contents.surfaces.append(replace(surface, line=line, how=how or surface.how))

    def _may_lead(self, value: str) -> bool:
        low = value.lower()
        return any(word in low for word in self._words) or "%" in low or not value.isascii()

    def _addresses(self, text: str) -> Iterator[ada_url.URL]:
        for match in _IN_SCRIPT.finditer(text):
            if url := self._payment_url(_unescaped(match[0])):
                yield url

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
        text = self._data[element.opened : element.end].decode("utf-8", "replace")
        line = self._line(element.start)
        self._vendor(attributes.get("src", "") + text, text, line)
        if not _RUNS.fullmatch(attributes.get("type") or ""):
            if "ld+json" not in attributes.get("type", ""):  # that is for search engines
                for url in self._addresses(text):
                    self._add("data", line, url)
            return
        if match := _MOVES.search(text):
            target = match[1] if match[1] is not None else match[2]
            keeps = "location.search" in text
            self.contents.redirects.append(
                Redirect(line, target, by_script=True, keeps_query=keeps)
            )
        self.script_text(text, self._line(element.opened), inline=True)

    def script_text(self, text: str, line: int, *, inline: bool) -> None:
        """Note what a script leads to, whose first line is ``line``."""
        if not any(word in text.lower() for word in self._words):
            return
        # Of a file, more of it is about other things.
        at_once = inline and _MOVE_CALL.search(text) is not None and not _LATER.search(text)
        in_window = _clicks_detached_link(text) or (inline and _opens_window(text))
        for match in _IN_SCRIPT.finditer(text):
            if url := self._payment_url(_unescaped(match[0])):
                how: How = "at-once" if at_once else ""
                if in_window or _OPENS.search(text[max(0, match.start() - 40) : match.start()]):
                    how = "open"
                self._add("script", line + text.count("\n", 0, match.start()), url, how)

    def _vendor(self, where: str, text: str, line: int) -> None:
        if self.contents.vendor_line is None and _is_vendor(text):
            self.contents.vendor_line = line
        for host, name in VENDORS.items():
            if host in where:
                self.contents.vendors.append((line, name))
        if "client_reference_id" in text:
            self.contents.writers.append(line)

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

    def _payment_url(self, url: str) -> ada_url.URL | None:
        return links.payment_url(url, self.base_url, self._hosts)

    def _add(self, kind: SurfaceKind, line: int, url: ada_url.URL, how: How = "") -> Surface:
        pairs = parse_qsl(url.search.removeprefix("?"), keep_blank_values=True)
        reference = next((value for key, value in pairs if key == "client_reference_id"), None)
        test_mode, plain_http = url.pathname.startswith("/test_"), url.protocol == "http:"
        surface = Surface(kind, line, url.href, test_mode, plain_http, reference, how)
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


def _opens_window(code: str) -> bool:
    """Whether a piece of code opens windows, and has no other way to leave the page."""
    return bool(_OPENS_WINDOW.search(code)) and not _MOVE_CALL.search(code)


def _clicks_detached_link(code: str) -> bool:
    """Whether a script clicks a link to a new window that it has not put into the page."""
    makes = _MAKES_LINK.search(code) and "_blank" in code and ".click(" in code
    return bool(makes) and not re.search(r"append|insert|prepend", code)


def _is_data(name: str) -> bool:
    return name not in _TEXTS and not name.startswith(("aria-", "xmlns"))


def _unescaped(url: str) -> str:
    return url.replace("\\/", "/")


def _is_vendor(script: str) -> bool:
    """Recognise the snippet that docs.tracknow.io gives for pasting."""
    return "tn_click_id" in script and ("localStorage" in script or "document.cookie" in script)
