"""What callers are answered: responses, and the one exception that ends a request."""

from __future__ import annotations

import json
from typing import NamedTuple

_PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    503: "Service Unavailable",
}

Header = tuple[str, str]


class Response(NamedTuple):
    """One answer: ``status`` with its phrase, such as ``200 OK``."""

    status: str
    headers: tuple[Header, ...]
    body: bytes

    @classmethod
    def make(cls, status: int, content_type: str, body: bytes, *headers: Header) -> Response:
        """Return a response that no cache keeps."""
        fixed = (
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        )
        return cls(f"{status} {_PHRASES[status]}", fixed + headers, body)

    @classmethod
    def json(cls, status: int, data: object, *headers: Header) -> Response:
        """Return a response in JSON."""
        return cls.make(status, "application/json", json.dumps(data).encode(), *headers)


class Rejected(Exception):  # noqa: N818 - an answer, not a failure
    """The request ends here, with a status, a stable code, and a text for people.

    ``reason`` is what the counters call it, where the sender may not know the whole reason.
    """

    def __init__(
        self, status: int, code: str, text: str, *headers: Header, reason: str | None = None
    ) -> None:
        self.status = status
        self.code = code
        self.reason = reason or code
        self._text = text
        self._headers = headers
        super().__init__(text)

    @property
    def response(self) -> Response:
        """The answer to send."""
        return Response.json(
            self.status, {"code": self.code, "message": self._text}, *self._headers
        )
