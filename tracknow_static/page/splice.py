"""The tag put into a page and removed again: bytes to bytes, every other byte untouched."""

from __future__ import annotations

from dataclasses import dataclass

from tracknow_static.page import encoding
from tracknow_static.page.place import find_place
from tracknow_static.page.tokens import attributes, tokens

# The attribute that makes a script element ours, in all versions.
MARK = b"data-tracknow"


@dataclass(frozen=True)
class Spliced:
    """A page after :func:`transform`.

    ``bare`` is the page without the insertion. ``skipped`` is the reason why it has none; ``late``
    means that something runs before it, ``replaced`` that the page carried elements of ours before.
    """

    page: bytes
    bare: bytes
    changed: bool
    skipped: str | None = None
    late: bool = False
    replaced: bool = False


def transform(page: bytes, tag: bytes, *, relative: bool) -> Spliced:
    """Return the page with ``tag`` inserted exactly once, at the right place.

    ``relative``: the tag has a URL that a ``base`` element would redirect. What an earlier run left
    in the page is replaced, wherever it is. A page that cannot take the script comes back without
    any, and ``skipped`` is the reason.
    """
    done = _as_before(page, tag)
    if done:
        return done
    spans = _spans(page)
    bare = _without(page, spans)
    view, start, width = encoding.scannable(bare)
    offset, reason, late = _decide(view, start, tag, relative=relative)
    if offset is None:
        made = bare
    else:
        offset *= width
        form = encoding.wide(bare)
        inserted = tag.decode("ascii").encode(form) if form else tag
        made = b"".join((bare[:offset], inserted, bare[offset:]))
    return Spliced(made, bare, made != page, reason, late, bool(spans))


# Beginnings of pages that end in the declaration of the encoding, nothing that blocks before it: the
# tag goes right behind. The pages of a site have few; what follows cannot change the place.
_beginnings: list[bytes] = []
_REMEMBERED = 8


def _as_before(page: bytes, tag: bytes) -> Spliced | None:
    """Return a page that begins as one before it did, and has our tag in place or none at all."""
    for beginning in _beginnings:
        if page.startswith(beginning):
            break
    else:
        return None
    offset = len(beginning)
    there = page.startswith(tag, offset)
    if page.rfind(MARK, offset + len(tag) if there else 0) >= 0:  # faster than find: mostly absent
        return None
    bare = beginning + page[offset + len(tag) :] if there else page
    if b"\0" in bare or b"charset" in bare[offset : encoding.PRESCAN].lower():
        return None
    made = page if there else b"".join((beginning, tag, page[offset:]))
    return Spliced(made, bare, not there, replaced=there)


def _remember(beginning: bytes) -> None:
    if beginning in _beginnings or encoding.ESCAPE in beginning:
        return
    if b"<base" not in beginning.lower():  # it blocks some URLs and others not
        del _beginnings[: max(0, len(_beginnings) + 1 - _REMEMBERED)]
        _beginnings.append(beginning)


def remove(page: bytes) -> bytes:
    """Return the page without any script of ours: the inverse of :func:`transform`."""
    return _without(page, _spans(page))


def elements_of_ours(page: bytes) -> tuple[bytes, ...]:
    """Return the script elements of ours in a page, in ASCII."""
    view, start, _ = encoding.scannable(page)
    return tuple(view[first:last] for first, last in _ours(view, start))


def _decide(
    view: bytes, start: int, tag: bytes, *, relative: bool
) -> tuple[int | None, str | None, bool]:
    """Return the offset, or None and the reason; and whether the tag comes late.

    ``view`` is what can be scanned of a page, from ``start`` on; 0 without a byte order mark.
    """
    if b"\0" in view:
        return None, "NUL bytes", False
    marked = start > 0
    place = find_place(view, start, len(tag), relative=relative, marked=marked)
    offset = place.offset
    if offset is None or marked:
        return offset, place.skipped, place.late
    if place.settled:
        _remember(view[:offset])
    if b"charset" in view[offset : encoding.PRESCAN].lower():
        after = encoding.declared(view[:offset] + tag + view[offset : encoding.PRESCAN])
        if after != encoding.declared(view):
            return None, "encoding declared too late", False
    # A parser heeds a declaration beyond the prescan too; without any, a browser guesses from the
    # bytes, and an added ASCII tag can change its guess.
    if not (place.declared or encoding.is_utf8(view) or encoding.declared(view)):
        return None, "undeclared encoding", False
    return offset, None, place.late


def _spans(page: bytes) -> list[tuple[int, int]]:
    """Find our script elements: real start tags that carry our attribute, to their end tags."""
    form = encoding.wide(page)
    mark = MARK.decode().encode(form) if form else MARK
    if mark not in page:
        return []
    view, start, width = encoding.scannable(page)
    return [(width * first, width * last) for first, last in _ours(view, start)]


def _ours(data: bytes, start: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    opened: int | None = None
    next_mark = data.find(MARK, start)
    for token in tokens(data, start):
        if opened is not None:
            if token.kind == "end" and token.name == b"script":
                spans.append((opened, token.end))
                opened = None
                next_mark = data.find(MARK, token.end)
                if next_mark < 0:
                    break
            continue
        if token.end <= next_mark:
            continue
        if (
            token.kind == "start"
            and token.name == b"script"
            and not token.foreign
            and MARK in attributes(data, token)
        ):
            opened = token.start
            continue
        next_mark = data.find(MARK, token.end)
        if next_mark < 0:
            break
    return spans


def _without(page: bytes, spans: list[tuple[int, int]]) -> bytes:
    if not spans:
        return page
    kept: list[bytes] = []
    position = 0
    for start, end in spans:
        kept.append(page[position:start])
        position = end
    kept.append(page[position:])
    return b"".join(kept)
