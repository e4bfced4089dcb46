"""Which encoding a browser takes a page for, and pages as single bytes.

The rules are those of https://html.spec.whatwg.org/#prescan-a-byte-stream-to-determine-its-encoding
"""

from __future__ import annotations

import codecs
import re
from functools import cache
from typing import Literal

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

# The names under which a page may declare its encoding, as in
# https://encoding.spec.whatwg.org/#names-and-labels; Python's own table lacks a third of it and
# knows names that no browser does. An entry has the name of the encoding, Python's codec that comes
# nearest, and the other labels, and goes on in the lines that begin with a space. What a
# declaration of UTF-16 or x-user-defined means inside a page is what the prescan makes of it.
_LABELS = """
utf-8 utf-8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf8 x-unicode20utf8
ibm866 cp866 866 cp866 csibm866
iso-8859-2 iso-8859-2 csisolatin2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2
  latin2
iso-8859-3 iso-8859-3 csisolatin3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3
  latin3
iso-8859-4 iso-8859-4 csisolatin4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4
  latin4
iso-8859-5 iso-8859-5 csisolatincyrillic cyrillic iso-ir-144 iso8859-5 iso88595 iso_8859-5
  iso_8859-5:1988
iso-8859-6 iso-8859-6 arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114
  iso-8859-6-e iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987
iso-8859-7 iso-8859-7 csisolatingreek ecma-118 elot_928 greek greek8 iso-ir-126 iso8859-7
  iso88597 iso_8859-7 iso_8859-7:1987 sun_eu_greek
iso-8859-8 iso-8859-8 csiso88598e csisolatinhebrew hebrew iso-8859-8-e iso-ir-138 iso8859-8
  iso88598 iso_8859-8 iso_8859-8:1988 visual
iso-8859-8-i iso8859-8 csiso88598i logical
iso-8859-10 iso-8859-10 csisolatin6 iso-ir-157 iso8859-10 iso885910 l6 latin6
iso-8859-13 iso-8859-13 iso8859-13 iso885913
iso-8859-14 iso-8859-14 iso8859-14 iso885914
iso-8859-15 iso-8859-15 csisolatin9 iso8859-15 iso885915 iso_8859-15 l9
iso-8859-16 iso-8859-16
koi8-r koi8-r cskoi8r koi koi8 koi8_r
koi8-u koi8-u koi8-ru
macintosh mac-roman csmacintosh mac x-mac-roman
windows-874 cp874 dos-874 iso-8859-11 iso8859-11 iso885911 tis-620
windows-1250 cp1250 cp1250 x-cp1250
windows-1251 cp1251 cp1251 x-cp1251
windows-1252 cp1252 ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100
  iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii x-cp1252
windows-1253 cp1253 cp1253 x-cp1253
windows-1254 cp1254 cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9
  iso_8859-9:1989 l5 latin5 x-cp1254
windows-1255 cp1255 cp1255 x-cp1255
windows-1256 cp1256 cp1256 x-cp1256
windows-1257 cp1257 cp1257 x-cp1257
windows-1258 cp1258 cp1258 x-cp1258
x-mac-cyrillic mac-cyrillic x-mac-ukrainian
gbk gb18030 chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 iso-ir-58 x-gbk
gb18030 gb18030
big5 big5hkscs big5-hkscs cn-big5 csbig5 x-x-big5
euc-jp euc-jp cseucpkdfmtjapanese x-euc-jp
iso-2022-jp iso-2022-jp csiso2022jp
shift_jis cp932 csshiftjis ms932 ms_kanji shift-jis sjis windows-31j x-sjis
euc-kr cp949 cseuckr csksc56011987 iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601
  ksc_5601 windows-949
replacement ascii csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr
utf-16be utf-8 unicodefffe
utf-16le utf-8 csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16
x-user-defined cp1252
"""


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
    codec = _labels()[name or "windows-1252"][1]
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


@cache
def _labels() -> dict[str, tuple[str, str]]:
    """Return name and Python's codec by label in lower case."""
    known = {}
    for entry in _LABELS.replace("\n  ", " ").split("\n"):
        name, codec, *others = entry.split() or ("", "")
        known.update(dict.fromkeys((name, *others), (name, codec)))
    del known[""]
    return known


def _named(label: bytes) -> str | None:
    known = _labels().get(label.strip(SPACE).decode("latin-1").lower())
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
