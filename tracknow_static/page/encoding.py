"""Which encoding a browser takes a page for, and pages as single bytes.

The rules are those of https://html.spec.whatwg.org/#prescan-a-byte-stream-to-determine-its-encoding
"""

from __future__ import annotations

import codecs
import re
from typing import Literal

from tracknow_static.page.labels import LABELS
from tracknow_static.page.tokens import SPACE, Token, attributes, tokens

PRESCAN = 1024  # a declaration counts when it is within that number of bytes

Wide = Literal["utf-16-le", "utf-16-be"]

_CONTENT_CHARSET = re.compile(
    rb"""charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:"([^"]*)"|'([^']*)'|([^\t\n\f\r ;"'][^\t\n\f\r ;]*))""",
    re.IGNORECASE,
)
_XML_ENCODING = re.compile(rb"""<\?xml[^>]*?encoding[ \t\n\r]*=[ \t\n\r]*["']([^"'>]+)["'][^>]*>""")
ESCAPE = b"\x1b"
# Two bytes a letter, or the katakana of one byte, until ASCII or JIS X 0201 Roman comes back.
_SHIFTED = re.compile(rb"\x1b(?:\$|\(I).*?(?=\x1b\([BJ]|\Z)", re.DOTALL)
_NOT_LATIN = b"\0" + b"\xff" * 255


def wide(page: bytes) -> Wide | None:
    """Name the UTF-16 form that a byte order mark announces, if one does."""
    if page.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    return "utf-16-be" if page.startswith(codecs.BOM_UTF16_BE) else None


def narrow(page: bytes, form: Wide) -> bytes:
    """Return one byte for each UTF-16 unit of ``page``, mark included; 0xFF for what is not Latin.

    Offset ``i`` of the result is offset ``2 * i`` of the page.
    """
    units = len(page) // 2
    low, high = page[: 2 * units : 2], page[1 : 2 * units : 2]
    if form == "utf-16-be":
        low, high = high, low
    mask = high.translate(_NOT_LATIN)
    both = int.from_bytes(low, "little") | int.from_bytes(mask, "little")
    return both.to_bytes(units, "little")


def scannable(page: bytes) -> tuple[bytes, int, int]:
    """Return bytes in which markup can be found as in ASCII, whatever the page's encoding.

    With them come the offset where they begin to count, and how many bytes of the page one of
    theirs means.
    """
    form = wide(page)
    if form:
        return narrow(page, form), 1, 2
    if page.startswith(codecs.BOM_UTF8):
        return page, len(codecs.BOM_UTF8), 1
    if ESCAPE in page and declared(page) == "iso-2022-jp":
        # What it shifts out of ASCII: the byte of "<" is half a letter there.
        page = _SHIFTED.sub(lambda match: b"x" * len(match.group()), page)
    return page, 0, 1


def to_utf8(page: bytes) -> bytes:
    """Return a page's text in UTF-8 without mark, decoded as a browser would."""
    form = wide(page)
    if form:
        return page[2:].decode(form, "replace").encode("utf-8", "replace")
    if page.startswith(codecs.BOM_UTF8):
        return page[3:]
    name = declared(page)
    if name == "utf-8" or (page.isascii() and name != "iso-2022-jp"):
        return page
    if name is None and is_utf8(page):
        return page
    codec = LABELS[name or "windows-1252"][1]
    return page.decode(codec, "replace").encode("utf-8")


def declared(head: bytes) -> str | None:
    """Run the standard's prescan over the first bytes of a page; return the encoding's name."""
    head = head[:PRESCAN]
    position = 0
    while (position := head.find(b"<", position)) >= 0:
        if head.startswith(b"<!--", position):
            end = head.find(b"-->", position + 2)
            if end < 0:
                break
            position = end + 3
            continue
        token = next(tokens(head, position))
        if token.kind == "cut":
            break
        if token.kind == "start" and token.name == b"meta":
            name = charset_of(head, token)
            if name:
                return name
        position = token.end
    # Only now does the encoding of an XML declaration count (§ 13.2.3.2).
    xml = _XML_ENCODING.match(head)
    return _named(xml.group(1)) if xml else None


def charset_of(data: bytes, token: Token) -> str | None:
    """Return the name of the encoding that a ``meta`` tag declares; None if it declares none."""
    found = attributes(data, token)
    if span := found.get(b"charset"):
        return _named(data[slice(*span)])
    content, pragma = found.get(b"content"), found.get(b"http-equiv")
    if content and pragma and data[slice(*pragma)].lower() == b"content-type":
        match = _CONTENT_CHARSET.search(data, *content)
        if match:
            return _named(match.group(match.lastindex or 0))
    return None


def _named(label: bytes) -> str | None:
    known = LABELS.get(label.strip(SPACE).decode("latin-1").lower())
    return known[0] if known else None


def is_utf8(page: bytes) -> bool:
    """Whether the bytes are UTF-8; ASCII is."""
    if page.isascii():
        return True
    try:
        page.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
