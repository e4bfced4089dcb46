"""Where in a page the tag goes: decided as a browser's tree builder would, from the page's head.

The tag must be inside ``head``, run before everything else, and leave the page's declared encoding
within the 1,024 bytes in which a browser looks for it. Following
https://html.spec.whatwg.org/#parsing-main-inhtml (from "initial" to "in head").
"""

from __future__ import annotations

from dataclasses import dataclass

from tracknow_static.page import encoding
from tracknow_static.page.tokens import SPACE, Token, attributes, tokens

# End tags that open or close an element when they come too early; all others are ignored.
_ACTING_ENDS = frozenset((b"head", b"body", b"html", b"br"))
# What runs, or changes what runs after it.
_BLOCKERS = frozenset((b"script", b"style", b"noscript"))
_HARMLESS = frozenset((b"basefont", b"bgsound", b"noframes"))
_DOCUMENT = frozenset((b"html", b"head", b"body", b"frameset", b"title"))
_PRAGMAS = frozenset((b"content-security-policy", b"refresh"))
_AMP = frozenset(
    sign + kind for sign in ("amp", "\N{HIGH VOLTAGE SIGN}") for kind in ("", "4ads", "4email")
)
# How far behind a start that is no document's the first sign of a document may be.
_LOOK_FURTHER = 4096


@dataclass(frozen=True)
class Place:
    """Where the tag goes: ``offset``, or None and the reason in ``skipped``.

    ``late``: something runs before the tag, because the page declares its encoding only after it.
    ``declared``: the head declares an encoding, at whatever distance. ``settled``: nothing behind
    ``offset`` matters, nor does the tag's length.
    """

    offset: int | None
    skipped: str | None = None
    late: bool = False
    declared: bool = False
    settled: bool = False


@dataclass
class _Head:
    """What a scan of the head has met so far; offsets, None while not met."""

    opened: int | None = None
    blocker: int | None = None
    charset_end: int | None = None
    document: bool = False
    amp: bool = False


def find_place(data: bytes, start: int, length: int, *, relative: bool, marked: bool) -> Place:
    """Decide where a tag of ``length`` bytes goes in ``data``, whose markup begins at ``start``.

    ``relative``: the tag has a URL that a ``base`` element would redirect. ``marked``: a byte
    order mark has settled the encoding already.
    """
    head = _scan(data, start, relative=relative)
    if not head.document:
        return Place(None, "fragment")
    if head.amp:
        return Place(None, "AMP")
    opened = len(data) if head.opened is None else head.opened
    blocker, charset_end = head.blocker, head.charset_end
    if charset_end is None:
        return Place(opened)
    if blocker is None:
        return Place(charset_end, declared=True, settled=True)
    limit = encoding.PRESCAN
    if marked or charset_end > limit or charset_end + length <= limit:
        return Place(blocker, declared=True)
    return Place(charset_end, late=True, declared=True)


def _scan(data: bytes, start: int, *, relative: bool) -> _Head:
    head = _Head()
    for token in tokens(data, start):
        if head.opened is None:
            if _before_head(data, token, head):
                continue
            if head.opened is None:
                head.opened = token.start + _blank(data, token)
        if not _in_head(data, token, head, relative=relative):
            if not head.document:
                head.document = _document_follows(data, token)
            break
        if head.charset_end is not None and head.document:
            break
    return head


def _before_head(data: bytes, token: Token, head: _Head) -> bool:
    """Take a token that opens no head, or ``<head>`` itself; False for the first other token."""
    kind = token.kind
    if kind == "text":
        return _blank(data, token) == token.end - token.start
    if kind == "comment":
        return True
    if kind == "doctype":
        head.document = True
        return True
    if kind == "end":
        return token.name not in _ACTING_ENDS
    if kind == "start" and token.name == b"html":
        _html(data, token, head)
        return True
    if kind == "start" and token.name == b"head":
        head.document = True
        head.opened = token.end
        return True
    return False


def _in_head(data: bytes, token: Token, head: _Head, *, relative: bool) -> bool:
    """Take a token that belongs into the head; False for the one that ends it."""
    kind, name = token.kind, token.name
    if kind == "start":
        return _start_in_head(data, token, head, relative=relative)
    if kind == "text":
        return _blank(data, token) == token.end - token.start
    if kind == "end":
        head.document = head.document or name in (b"head", b"body", b"html")
        return name not in _ACTING_ENDS
    head.document = head.document or kind == "doctype"
    return kind != "cut"


def _start_in_head(data: bytes, token: Token, head: _Head, *, relative: bool) -> bool:
    name = token.name
    if name in _DOCUMENT:
        head.document = True
        if name == b"html":
            _html(data, token, head)
        return name not in (b"body", b"frameset")
    if head.charset_end is None:
        if name == b"meta" and encoding.charset_of(data, token):
            head.charset_end = token.end
        elif head.blocker is None and _blocks(data, token, relative=relative):
            head.blocker = token.start
    return name in _BLOCKERS or name in _HARMLESS or name in (b"meta", b"link", b"base")


def _blocks(data: bytes, token: Token, *, relative: bool) -> bool:
    name = token.name
    if name in _BLOCKERS:
        return True
    if name not in (b"meta", b"link", b"base"):
        return False
    found = attributes(data, token)
    if name == b"meta":
        span = found.get(b"http-equiv")
        return span is not None and data[slice(*span)].lower() in _PRAGMAS
    if name == b"link":
        span = found.get(b"rel")
        return span is not None and b"stylesheet" in data[slice(*span)].lower().split()
    return relative and b"href" in found


def _html(data: bytes, token: Token, head: _Head) -> None:
    head.document = True
    names = attributes(data, token)
    head.amp = head.amp or any(name.decode("utf-8", "replace") in _AMP for name in names)


def _blank(data: bytes, token: Token) -> int:
    """Count the white space that a text begins with."""
    text = data[token.start : token.end] if token.kind == "text" else b""
    return len(text) - len(text.lstrip(SPACE))


def _document_follows(data: bytes, token: Token) -> bool:
    # Text or an element before <html>, as a failing preprocessor leaves it: still a document.
    for later in tokens(data[: token.end + _LOOK_FURTHER], token.start):
        if later.kind == "doctype" or (
            later.kind == "start" and later.name in _DOCUMENT - {b"title"} and not later.foreign
        ):
            return True
    return False
