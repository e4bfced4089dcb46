"""The WSGI application: verify, store durably, answer.

No answer tells more about a signature than that it was not accepted, nothing unverified is stored
or logged, and nothing here talks to another host but the database.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from tracknow_static.relay import crash_points
from tracknow_static.relay.forks import renew_after_fork
from tracknow_static.relay.receive.event import THIN_HELP, NotAnEventError, classify
from tracknow_static.relay.receive.intake import RefusedBodyError, read_body
from tracknow_static.relay.receive.signature import RefusedSignatureError, verify
from tracknow_static.relay.store.database import StorageError
from tracknow_static.relay.store.migrations import SchemaError
from tracknow_static.tracknow import WEBHOOK_PATH, is_webhook_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.ingest import Ingest
    from tracknow_static.relay.store.model import NewEvent

    Environ = Mapping[str, Any]
    StartResponse = Callable[..., Any]
    Page = Callable[[Environ], "Answer"]

log = logging.getLogger(__name__)

ANSWERING = crash_points.declare("ingest.answering", "the event is durable, Stripe is not told")

# Stripe tries again after minutes to hours whatever we say; other senders heed it.
_RETRY_AFTER = ("Retry-After", "30")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    503: "Service Unavailable",
}


class Answer(NamedTuple):
    """What goes back: ``status`` with its phrase, such as ``200 OK``."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def answer(status: int, code: str, message: str = "", *headers: tuple[str, str]) -> Answer:
    """Make an answer in JSON; ``code`` is stable, ``message`` is for people."""
    body = json.dumps({"code": code, "message": message} if message else {"code": code}).encode()
    fixed = (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    )
    return Answer(f"{status} {_REASONS[status]}", fixed + headers, body)


STORED = answer(200, "stored")
_NOT_FOUND = answer(404, "not_found", f"Webhooks go to {WEBHOOK_PATH}.")
_POST_ONLY = answer(405, "method_not_allowed", "Use POST.", ("Allow", "POST"))
_GET_ONLY = answer(405, "method_not_allowed", "Use GET.", ("Allow", "GET, HEAD"))
_BAD_SIGNATURE = answer(400, "signature_invalid", "The signature is not valid.")


def unavailable(code: str, message: str) -> Answer:
    """Make the answer that has an event sent again."""
    return answer(503, code, message, _RETRY_AFTER)


_UNAVAILABLE = unavailable("storage_unavailable", "Not stored; send it again later.")


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The request ends here; ``reason`` is what the counters call it."""

    def __init__(self, reason: str, reply: Answer) -> None:
        self.reason = reason
        self.reply = reply
        super().__init__(reason)


# What ends a request: an answer, a body that cannot be read, storage that fails.
REFUSALS = (Refused, RefusedBodyError, StorageError, SchemaError)


def _explain(refusal: Exception) -> tuple[str, Answer]:
    if isinstance(refusal, Refused):
        return refusal.reason, refusal.reply
    if isinstance(refusal, RefusedBodyError):
        return refusal.code, answer(refusal.status, refusal.code, str(refusal))
    return getattr(refusal, "code", "schema"), _UNAVAILABLE


class Relay:
    """The application; give it to any WSGI server, before or after it forks.

    ``pages`` maps further paths to what answers GET there. ``begin`` holds what starts with the
    first request of each process, such as the thread that delivers; ``end`` what :meth:`stop`
    calls with the seconds left, each giving whether it ended in time. ``clock`` gives Unix
    seconds, for signatures.
    """

    def __init__(
        self,
        config: RelayConfig,
        ingest: Ingest,
        *,
        pages: Mapping[str, Page] | None = None,
        begin: Sequence[Callable[[], object]] = (),
        end: Sequence[Callable[[float], bool]] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.ingest = ingest
        self.database = ingest.database
        self._pages = dict(pages or {})
        self._begin = tuple(begin)
        self._end = tuple(end)
        self._clock = clock
        self._starting = threading.Lock()
        self._started = False
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Start anew in the child: threads stay behind."""
        self._starting = threading.Lock()
        self._started = False

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if not self._started:
            self.start()
        try:
            page = self.page(environ)
            reply = page(environ) if page is not None else self._take_in(environ)
        except REFUSALS as refusal:
            reply = self.refuse(refusal)
        start_response(reply.status, list(reply.headers))
        return () if environ["REQUEST_METHOD"] == "HEAD" else (reply.body,)

    def refuse(self, refusal: Exception) -> Answer:
        """Count one of ``REFUSALS`` and give its answer."""
        reason, reply = _explain(refusal)
        self.ingest.count(f"refused:{reason}")
        return reply

    def start(self) -> None:
        """Start this process's threads; a first request does it otherwise."""
        with self._starting:
            if not self._started:
                for begin in self._begin:
                    begin()
                self._started = True

    def stop(self, timeout: float) -> bool:
        """End the threads and close the database; gives whether all ended within the seconds."""
        deadline = time.monotonic() + timeout
        ended = [end(max(0.0, deadline - time.monotonic())) for end in self._end]
        self.ingest.close()
        self.database.close()
        return all(ended)

    def _take_in(self, environ: Environ) -> Answer:
        self.check_call(environ)
        body = read_body(environ, self.config.max_body)
        self._store(self.judge(environ, body))
        crash_points.reach(ANSWERING)
        return STORED

    def page(self, environ: Environ) -> Page | None:
        """Give the page that a request asks for, None for the webhook and what is not there."""
        page = self._pages.get(environ.get("PATH_INFO", ""))
        if page is None or environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return page
        return lambda _environ: _GET_ONLY

    def check_call(self, environ: Environ) -> None:
        """Refuse what is no call of the webhook."""
        if not is_webhook_path(environ.get("PATH_INFO", "")):
            raise Refused("not_found", _NOT_FOUND)
        if environ["REQUEST_METHOD"] != "POST":
            raise Refused("method_not_allowed", _POST_ONLY)

    def judge(self, environ: Environ, body: bytes) -> NewEvent:
        """Verify a body and make the event out of it."""
        return self._classify(environ, self._verify(environ, body), body)

    def _store(self, event: NewEvent) -> None:
        self.ingest.accept(event)

    def _verify(self, environ: Environ, body: bytes) -> str:
        header = environ.get("HTTP_STRIPE_SIGNATURE")
        try:
            return verify(body, header, self.config.secrets.current(), clock=self._clock)
        except RefusedSignatureError as error:
            raise Refused(error.reason, _BAD_SIGNATURE) from None

    def _classify(self, environ: Environ, text: str, body: bytes) -> NewEvent:
        try:
            event = classify(
                text,
                body,
                self.config,
                content_type=_header(environ.get("CONTENT_TYPE")),
                signature=environ["HTTP_STRIPE_SIGNATURE"],
            )
        except NotAnEventError as error:
            raise Refused(error.code, answer(400, error.code, str(error))) from None
        if event.kept_because == "thin":
            log.warning("%s (%s). %s", event.id, event.type, THIN_HELP)
        return event


def _header(value: str | None) -> str | None:
    """Keep a content type that can be sent on as it is."""
    return value if value and len(value) < 256 and value.isascii() and value.isprintable() else None
