"""What Stripe was asked for with a click id, held against what it was asked for without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import parse_qsl

from tracknow_static.tracknow import is_placeholder, is_reference

if TYPE_CHECKING:
    from tracknow_static.walk.web import Asked

Result = Literal["exact", "own-reference", "missing", "changed", "unexpected"]

_REFERENCE = "client_reference_id"


class Comparison(NamedTuple):
    """The result, and the address that was expected."""

    result: Result
    expected: str


def compare(before: Asked, after: Asked, click_id: str, *, overwrite: bool) -> Comparison:
    """Compare a route's requests without and with a stored click id.

    The second has to be the first with the reference behind it, byte for byte; the fields of a
    form may come in another order. A reference of the merchant's own stays unless ``overwrite``.
    """
    expected, own = _expected(before, click_id, overwrite=overwrite)
    if (after.method, after.url, after.body) == (before.method, expected, before.body):
        return Comparison("own-reference" if own else "exact", expected)
    path, _, query = after.url.partition("?")
    if _same_fields(path, query, expected) and after.body == before.body:
        return Comparison("own-reference" if own else "exact", expected)
    carried = [value for name, value in _fields(query) if name == _REFERENCE]
    return Comparison("changed" if click_id in carried or own else "missing", expected)


def compare_without(before: Asked, after: Asked) -> Comparison:
    """Compare a request with what it has to be where no id may be sent (no consent)."""
    same = (after.method, after.url, after.body) == (before.method, before.url, before.body)
    return Comparison("exact" if same else "unexpected", before.url)


def _expected(before: Asked, click_id: str, *, overwrite: bool) -> tuple[str, bool]:
    path, mark, query = before.url.partition("?")
    pairs = query.split("&") if mark else []
    named = [pair for pair in pairs if pair.partition("=")[0] == _REFERENCE]
    values = [pair.partition("=")[2] for pair in named]
    if not overwrite and any(is_reference(text) and not is_placeholder(text) for text in values):
        return before.url, True
    kept = [pair for pair in pairs if pair not in named]
    if kept and not kept[-1]:
        kept.pop()
    return f"{path}?{'&'.join([*kept, f'{_REFERENCE}={click_id}'])}", False


def _fields(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


def _same_fields(path: str, query: str, expected: str) -> bool:
    wanted, _, fields = expected.partition("?")
    return path == wanted and sorted(_fields(query)) == sorted(_fields(fields))
