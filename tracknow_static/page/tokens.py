"""HTML tokens of a byte string, lazily, with exact offsets.

The rules are those of the HTML standard's tokenizer (https://html.spec.whatwg.org/#tokenization)
with scripting enabled, as in a visitor's browser. Every byte that means something to the tokenizer
is ASCII, and in UTF-8, the Latin, Shift_JIS, GBK, Big5 and EUC encodings no other character
contains those bytes: so the bytes can be read as they are. Other encodings: see ``encoding.py``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["start", "end", "comment", "doctype", "text", "raw", "cut"]

SPACE = b"\t\n\f\r "

# Each alternative is followed by a delimiter it cannot contain, so a tag that never ends fails in
# linear time. An "=" opens a value only right after a name; elsewhere it belongs to a name.
_SPACES = rb"[\t\n\f\r /]+(?![\t\n\f\r /])"
_NAME = rb"[^\t\n\f\r />][^\t\n\f\r />=]*(?=[\t\n\f\r />=])"
_VALUE = rb"""(?:"[^"]*"|'[^']*'|[^\t\n\f\r >"'][^\t\n\f\r >]*(?=[\t\n\f\r >])|(?=>))"""
_ATTRIBUTE = rb"%s(?:[\t\n\f\r ]*=[\t\n\f\r ]*%s|(?![\t\n\f\r ]*=))" % (_NAME, _VALUE)
TAG = re.compile(
    rb"<(/?)([A-Za-z][^\t\n\f\r />]*)(?=[\t\n\f\r />])(?:%s|%s)*>" % (_SPACES, _ATTRIBUTE)
)
_NAME_AND_VALUE = re.compile(
    rb"(%s)(?:[\t\n\f\r ]*=[\t\n\f\r ]*(%s))?" % (_NAME, _VALUE),
)
_COMMENT_END = re.compile(rb"--!?>")
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def _closing(name: str) -> re.Pattern[bytes]:
    letters = "".join(f"[{letter}{letter.upper()}]" for letter in name)
    return re.compile(rf"</{letters}(?=[\t\n\f\r />])".encode())


# RCDATA and RAWTEXT elements: their text ends at their own end tag only.
_RAW = {
    name.encode(): _closing(name)
    for name in (
        *("title", "textarea"),
        *("style", "xmp", "iframe", "noembed", "noframes", "noscript"),
    )
}
# All whose content is no markup.
RAW_NAMES = frozenset((*_RAW, b"script", b"plaintext"))
_SCRIPT_END = _closing("script")
_SCRIPT_EVENT = re.compile(rb"<!--|-->|<(/?)[sS][cC][rR][iI][pP][tT](?=[\t\n\f\r />])")

# Inside svg and math nothing is raw text; these bring HTML back. (§ 13.2.6.5)
_FOREIGN = frozenset((b"svg", b"math"))
_INTEGRATION = frozenset(
    (b"foreignobject", b"desc", b"title", b"mi", b"mo", b"mn", b"ms", b"mtext", b"annotation-xml")
)
_BREAKOUT = frozenset(
    b"b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img "
    b"li listing menu meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul "
    b"var".split()
)


class Token(NamedTuple):
    """One token: ``data[start:end]``.

    ``name`` is the lower-case tag name of a ``start`` or ``end`` tag, and of the element whose
    text a ``raw`` token is; ``rest`` is where a tag's attributes begin. A ``cut`` token is markup
    that the data end in the middle of.
    """

    kind: Kind
    start: int
    end: int
    name: bytes = b""
    rest: int = 0
    foreign: bool = False


def tokens(data: bytes, start: int = 0) -> Iterator[Token]:
    """Yield the tokens of ``data`` from offset ``start`` on, in order and without gaps."""
    size = len(data)
    position = start
    foreign: list[bytes] = []
    while position < size:
        here = data.find(b"<", position)
        if here < 0:
            yield Token("text", position, size)
            return
        if here > position:
            yield Token("text", position, here)
        following = data[here + 1] if here + 1 < size else 0
        if following in _LETTERS or (
            following == 0x2F and here + 2 < size and data[here + 2] in _LETTERS
        ):
            tag = TAG.match(data, here)
            if tag is None:
                yield Token("cut", here, size)
                return
            slash, name = tag.groups()
            name = name.lower()
            position = tag.end()
            outside = _step(foreign, name, bool(slash), data[position - 2] == 0x2F)
            kind: Kind = "end" if slash else "start"
            yield Token(kind, here, position, name, tag.end(2), outside)
            if slash or outside:
                continue
            stop = raw_end(data, position, name)
            if stop is not None and stop > position:
                yield Token("raw", position, stop, name)
                position = stop
        else:
            token = other(data, here, following, bool(foreign) and foreign[-1] in _FOREIGN)
            yield token
            if token.kind == "cut":
                return
            position = token.end


def _step(foreign: list[bytes], name: bytes, closing: bool, empty: bool) -> bool:
    """Keep the stack of foreign elements; return whether this tag is one of theirs."""
    if not foreign:
        if name in _FOREIGN and not closing:
            if not empty:
                foreign.append(name)
            return True
        return False
    inside = foreign[-1] in _FOREIGN
    if closing:
        if name in foreign:
            del foreign[len(foreign) - 1 - foreign[::-1].index(name) :]
        elif inside and name in _BREAKOUT:  # the end of what the svg is in
            foreign.clear()
            return False
        return inside
    if inside and name in _BREAKOUT:
        foreign.clear()
        return False
    if not empty and (name in _FOREIGN or (inside and name in _INTEGRATION)):
        foreign.append(name)
    return inside or name in _FOREIGN


def raw_end(data: bytes, position: int, name: bytes) -> int | None:
    """Return the offset where the raw text of an element ends; None if it has no raw text."""
    if name == b"script":
        return _script_end(data, position)
    if name == b"plaintext":
        return len(data)
    closing = _RAW.get(name)
    if closing is None:
        return None
    found = closing.search(data, position)
    return found.start() if found else len(data)


def _script_end(data: bytes, position: int) -> int:
    # Script data, escaped and double escaped (§ 13.2.5.20 to 31): "<!--" opens the first, a
    # "<script" in it the second, where an end tag leads back to the first; "-->" ends both.
    found = _SCRIPT_END.search(data, position)
    if found and data.find(b"<!--", position, found.start()) < 0:
        return found.start()
    level = 0
    while event := _SCRIPT_EVENT.search(data, position):
        text = event.group()
        position = event.end()
        if text == b"<!--":
            level = level or 1
            position -= 2  # the dashes of "<!-->" close as well
        elif text == b"-->":
            level = 0
        elif event.group(1):
            if level < 2:
                return event.start()
            level = 1
        elif level == 1:
            level = 2
    return len(data)


def other(data: bytes, here: int, following: int, in_foreign: bool) -> Token:
    """Read a comment, a doctype, a CDATA section or a lone "<" at ``here``."""
    if following == 0x21:  # "!"
        if data.startswith(b"--", here + 2):
            for short in (b">", b"->"):
                if data.startswith(short, here + 4):
                    return Token("comment", here, here + 4 + len(short))
            found = _COMMENT_END.search(data, here + 4)
            if found:
                return Token("comment", here, found.end())
            return Token("cut", here, len(data))
        if in_foreign and data.startswith(b"[CDATA[", here + 2):
            end = data.find(b"]]>", here)
            return Token("text", here, end + 3) if end >= 0 else Token("cut", here, len(data))
        end = data.find(b">", here)
        if end < 0:
            return Token("cut", here, len(data))
        doctype = data[here + 2 : here + 9].lower() == b"doctype"
        return Token("doctype" if doctype else "comment", here, end + 1)
    if following == 0x3F or (following == 0x2F and here + 2 < len(data)):  # "?", "/"
        end = data.find(b">", here)
        if end < 0:
            return Token("cut", here, len(data))
        return Token("comment", here, end + 1)
    return Token("text", here, here + 1)


def attributes(data: bytes, token: Token) -> dict[bytes, tuple[int, int]]:
    """Return the attributes of a tag: lower-case name to the (start, end) offsets of its value.

    Quotes are left out; an attribute without value has an empty span. The first of two attributes
    with one name counts.
    """
    found: dict[bytes, tuple[int, int]] = {}
    position = token.rest
    last = token.end - 1
    while position < last:
        if data[position] in b"\t\n\f\r /":
            position += 1
            continue
        match = _NAME_AND_VALUE.match(data, position, token.end)
        if match is None:  # cannot be: the tag has matched as a whole
            break
        position = match.end()
        start, end = match.span(2)
        if start < 0:
            start = end = position
        elif data[start : start + 1] in (b'"', b"'"):
            start, end = start + 1, end - 1
        found.setdefault(match.group(1).lower(), (start, end))
    return found
