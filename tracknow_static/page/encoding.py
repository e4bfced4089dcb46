"""Which encoding a browser takes a page for, and pages as single bytes.

The rules are those of https://html.spec.whatwg.org/#prescan-a-byte-stream-to-determine-its-encoding
"""

from __future__ import annotations

import codecs
import re
import sys
from array import array
from typing import Literal

from tracknow_static.page.tokens import SPACE, Token, attributes, tokens

PRESCAN = 1024  # a declaration counts when it lies within so many bytes

Wide = Literal["utf-16-le", "utf-16-be"]

_CONTENT_CHARSET = re.compile(
    rb"""charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:"([^"]*)"|'([^']*)'|([^\t\n\f\r ;"'][^\t\n\f\r ;]*))""",
    re.IGNORECASE,
)
_XML_ENCODING = re.compile(rb"""<\?xml[^>]*?encoding[ \t\n\r]*=[ \t\n\r]*["']([^"'>]+)["'][^>]*>""")
_JIS = re.compile(rb"\x1b\$.*?(?=\x1b\(|\Z)", re.DOTALL)


def wide(page: bytes) -> Wide | None:
    """Name the UTF-16 form that a byte order mark announces, if one does."""
    if page.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    return "utf-16-be" if page.startswith(codecs.BOM_UTF16_BE) else None


def narrow(page: bytes, form: Wide) -> bytes:
    """Give one byte for each UTF-16 unit of ``page``, mark included; 0xFF for what is not Latin.

    Offset ``i`` of the result is offset ``2 * i`` of the page.
    """
    units = array("H", page[: len(page) & ~1])
    if (form == "utf-16-le") != (sys.byteorder == "little"):
        units.byteswap()
    return bytes([unit if unit < 0x100 else 0xFF for unit in units])


def hide_jis(page: bytes) -> bytes:
    """Blank what ISO-2022-JP shifts out of ASCII, where the bytes of "<" are parts of letters."""
    return _JIS.sub(lambda match: b"x" * len(match.group()), page)


def declared(head: bytes) -> tuple[str, ...]:
    """Run the standard's prescan over the first bytes of a page.

    Gives the labels met up to the first one that names an encoding; empty if there is none.
    """
    head = head[:PRESCAN]
    labels: list[str] = []
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
        # "<meta>" has no attribute to look at, and the prescan wants a delimiter other than ">".
        if token.kind == "start" and token.name == b"meta" and head[token.rest] != 0x3E:
            label = charset_of(head, token)
            if label:
                labels.append(label)
                if known(label):
                    return tuple(labels)
        position = token.end
    # Only now does the encoding of an XML declaration count (§ 13.2.3.2).
    xml = _XML_ENCODING.match(head)
    return (*labels, xml.group(1).decode("latin-1").lower()) if xml else tuple(labels)


def charset_of(data: bytes, token: Token) -> str | None:
    """Give the encoding label that a ``meta`` tag declares, lower case; None if it declares none."""
    found = attributes(data, token)
    if span := found.get(b"charset"):
        return _label(data[slice(*span)])
    content, pragma = found.get(b"content"), found.get(b"http-equiv")
    if content and pragma and data[slice(*pragma)].lower() == b"content-type":
        match = _CONTENT_CHARSET.search(data, *content)
        if match:
            return _label(match.group(match.lastindex or 0))
    return None


def _label(raw: bytes) -> str | None:
    return raw.strip(SPACE).decode("latin-1").lower() or None


def known(label: str) -> bool:
    """Say whether a label names an encoding. Python's list stands in for the standard's."""
    try:
        codecs.lookup(label)
    except (LookupError, ValueError):
        return False
    return True


def is_utf8(page: bytes) -> bool:
    """Say whether the bytes are UTF-8; ASCII is."""
    if page.isascii():
        return True
    try:
        page.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
