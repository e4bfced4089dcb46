"""Reading a request's body: never more than the limit, whatever the request says of its length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHUNK = 65_536
# Ten digits are more than any limit; int() of a million digits would be slow.
_LONGEST_LENGTH = 10


class RefusedBodyError(Exception):
    """The body cannot be taken; ``status`` and ``code`` are for the sender."""

    def __init__(self, status: int, code: str, text: str) -> None:
        self.status = status
        self.code = code
        super().__init__(text)


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """Read the whole body, at most ``limit`` bytes.

    Raises :class:`RefusedBodyError` for one that is longer (413), ends before its stated length
    (400), or has no length and no end (411).
    """
    length = stated_length(environ, limit)
    # One byte more than may come tells a body that is too long from one that is as long as allowed.
    body = _read(environ["wsgi.input"], limit + 1 if length is None else length)
    if length is not None and len(body) < length:
        raise RefusedBodyError(400, "body_incomplete", "The body is shorter than Content-Length.")
    if len(body) > limit:
        raise too_large(limit)
    return body


def stated_length(environ: Mapping[str, Any], limit: int) -> int | None:
    """Give the length that a request states, None when its body ends by itself.

    Raises :class:`RefusedBodyError` for one that is over ``limit`` (413), no number (400), or
    missing where nothing else ends the body (411).
    """
    stated = environ.get("CONTENT_LENGTH") or ""
    if stated:
        if not (stated.isascii() and stated.isdigit()):
            raise RefusedBodyError(400, "length_invalid", "Content-Length is not a number.")
        if len(stated) > _LONGEST_LENGTH or int(stated) > limit:
            raise too_large(limit)
        return int(stated)
    # PEP 3333 has no way to say that a body without a length ends; servers that decode chunks
    # themselves say it with `wsgi.input_terminated`, and the others give a length.
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if chunked or environ.get("wsgi.input_terminated"):
        return None
    raise RefusedBodyError(411, "length_required", "Give a Content-Length.")


def _read(stream: Any, number: int) -> bytes:
    """Read up to a number of bytes; a stream may give fewer at a time than it was asked for."""
    parts = []
    left = number
    while left:
        try:
            part = stream.read(min(left, _CHUNK))
        except Exception:  # noqa: BLE001 - each server has its own errors for a caller that hung up
            part = b""
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def too_large(limit: int) -> RefusedBodyError:
    """Make the refusal of a body that is over the limit."""
    return RefusedBodyError(413, "body_too_large", f"The body is larger than {limit} bytes.")
