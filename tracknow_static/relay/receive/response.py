"""What callers are answered: responses, rejections, and the count of refused calls."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from typing import NamedTuple

from tracknow_static.tracknow import counted

_log = logging.getLogger(__name__)

_PHRASES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    429: "Too Many Requests",
    503: "Service Unavailable",
}

# Between two lines of the log about refused calls.
_REPORT_SECONDS = 60.0

# What only calls of Stripe, or of somebody who is slow or cut off, can be refused for; anybody may
# ask for a path that is not there.
HINTS = {
    "signature_mismatch": "not signed with STRIPE_WEBHOOK_SECRET, which has to be the secret of "
    "Stripe's webhook endpoint",
    "signature_stale": "this host's clock is wrong, or somebody repeats old calls",
    "wrong_path": "the URL of Stripe's webhook endpoint has to end with /stripe/webhook",
    "body_timeout": "callers send their bodies too slowly; a proxy in front can buffer them",
    "body_incomplete": "callers hang up",
    "body_too_large": "TRACKNOW_RELAY_MAX_BODY is the limit",
    "busy": "many large bodies arrive at once",
    "schema": "the database has another version: `tracknow-relay check`",
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


class Refusals:
    """Counts refused calls and logs why, at most once a minute; safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._report_at = 0.0

    def add(self, reason: str) -> None:
        """Count one refusal; report it with the others if the last report is a minute old."""
        if reason not in HINTS:
            return
        with self._lock:
            self._counts[reason] += 1
            if time.monotonic() < self._report_at:
                return
            counts, self._counts = self._counts, Counter()
            self._report_at = time.monotonic() + _REPORT_SECONDS
        for name, number in sorted(counts.items()):
            _log.warning("%s refused (%s): %s", counted(number, "call"), name, HINTS[name])
