"""The WSGI application: verify, store durably, answer.

No answer reveals more about a signature than that it was rejected, nothing unverified is stored
or logged, and nothing here talks to another host but the database.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from tracknow_static.errors import RelayError, StorageError
from tracknow_static.relay import crash_points
from tracknow_static.relay.receive.event import THIN_HELP, event_of
from tracknow_static.relay.receive.response import Refusals, Rejected, Response
from tracknow_static.relay.receive.signature import verify
from tracknow_static.tracknow import WEBHOOK_PATH, is_webhook_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.ingest import Ingest
    from tracknow_static.relay.store.model import NewEvent

    Environ = Mapping[str, Any]
    StartResponse = Callable[..., Any]
    Page = Callable[[Environ], Response]

log = logging.getLogger(__name__)

ANSWERING = crash_points.declare(
    "ingest.answering", "the event is durable, Stripe has no answer yet"
)

STORED = Response.json(200, {"code": "stored"})
# Stripe tries again after minutes to hours whatever we say; other senders heed it.
RETRY_AFTER = ("Retry-After", "30")
_UNAVAILABLE = Rejected(
    503, "storage_unavailable", "Not stored; send it again later.", RETRY_AFTER
).response

_CHUNK = 65_536
# How long a fork waits for what is at work.
_FORK_SECONDS = 5.0
# Ten digits are more than any limit; int() of a million digits would be slow.
_LONGEST_LENGTH = 10


class Background(Protocol):
    """A thread that works beside the requests, such as the one that delivers."""

    def start(self) -> object:
        """Begin; called once in a process."""

    def stop(self, timeout: float) -> bool:
        """End; return whether it ended within the seconds."""


class Parts:
    """What one process serves with; ``pages`` maps further paths to what answers GET there.

    A path that ends with a slash, such as ``/status/``, means all paths below it.
    """

    def __init__(
        self,
        ingest: Ingest,
        *,
        pages: Mapping[str, Page] | None = None,
        background: Sequence[Background] = (),
    ) -> None:
        self.ingest = ingest
        self.refusals = Refusals()
        self.pages = dict(pages or {})
        self._background = tuple(background)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._background:
            thread.start()

    def stop(self, timeout: float) -> bool:
        """End the threads and close the database; return whether all ended within the seconds."""
        deadline = time.monotonic() + timeout
        ended = [thread.stop(max(0.0, deadline - time.monotonic())) for thread in self._background]
        self.ingest.close()
        self.ingest.database.close()
        return all(ended)


class Relay:
    """The application; give it to any WSGI server, before or after it forks.

    It holds the configuration only. ``build`` makes everything else at the first request of each
    process. ``clock`` returns Unix seconds, for signatures.
    """

    def __init__(
        self,
        config: RelayConfig,
        build: Callable[[RelayConfig], Parts],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self._build = build
        self._clock = clock
        self._parts: Parts | None = None
        self._lock = threading.Lock()
        # The thread that forks, and whether it has found SQLite at rest.
        self._forking = 0
        self._is_at_rest = False
        self._unusable = False
        _watch_forks(self)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        response = self._respond(environ)
        start_response(response.status, list(response.headers))
        return () if environ["REQUEST_METHOD"] == "HEAD" else (response.body,)

    def _respond(self, environ: Environ) -> Response:
        try:
            page = self._page(environ)
            if page is not None:
                return page(environ)
            body = read_body(environ, self.config.max_body)
            self._store(self.event(environ, body))
        except (Rejected, RelayError) as refusal:
            return self.refuse(refusal)
        crash_points.reach(ANSWERING)
        return STORED

    def _store(self, event: NewEvent) -> None:
        self.ingest.accept(event)

    # -- the steps ----------------------------------------------------------------------------

    def _page(self, environ: Environ) -> Page | None:
        try:
            return route(environ, self.parts.pages)
        except Rejected:
            _discard_body(environ, self.config.max_body)
            raise

    def event(self, environ: Environ, body: bytes) -> NewEvent:
        """Verify a body and return the event that it holds; raise :class:`Rejected`."""
        text = self._verify(environ, body)
        event = event_of(
            text,
            body,
            self.config,
            content_type=_header(environ.get("CONTENT_TYPE")),
            signature=environ["HTTP_STRIPE_SIGNATURE"],
        )
        if event.skipped_because == "thin":
            log.warning("%s (%s). %s", event.id, event.type, THIN_HELP)
        return event

    def _verify(self, environ: Environ, body: bytes) -> str:
        header = environ.get("HTTP_STRIPE_SIGNATURE")
        return verify(body, header, self.config.secrets.current(), clock=self._clock)

    def refuse(self, refusal: Exception) -> Response:
        """Count a rejection, or a failure of the store, and return its response."""
        if isinstance(refusal, Rejected):
            reason, response = refusal.reason, refusal.response
        else:
            reason, response = getattr(refusal, "code", "storage"), _UNAVAILABLE
        parts = self._parts
        if parts is not None:
            parts.ingest.count(f"refused:{reason}")
            parts.refusals.add(reason)
        return response

    # -- one process --------------------------------------------------------------------------

    @property
    def parts(self) -> Parts:
        """What this process serves with, made and started when it is first asked for."""
        parts = self._parts
        if parts is None:
            with self._lock:
                if self._unusable:
                    raise StorageError(
                        "forked", "the process forked while its database was at work"
                    )
                if self._parts is None:
                    self._parts = self._started()
                parts = self._parts
        return parts

    def _started(self) -> Parts:
        made = self._build(self.config)
        try:
            made.start()
        except RuntimeError as error:
            # The system has no thread to give now (memory, a limit): none is kept without the rest.
            log.error("not started: %s", error)  # noqa: TRY400 - its traceback shows nothing
            made.stop(0.0)
            raise StorageError("busy", str(error)) from None
        return made

    def start(self) -> None:
        """Start before the first request: a relay that was restarted has deliveries to make."""
        assert self.parts is not None  # noqa: S101 - asking for them starts them

    @property
    def ingest(self) -> Ingest:
        """What stores events in this process."""
        return self.parts.ingest

    @property
    def database(self) -> Database:
        """This process's database."""
        return self.parts.ingest.database

    def stop(self, timeout: float) -> bool:
        """End this process's threads and close its database.

        Return whether all ended within the seconds. A later request starts anew.
        """
        with self._lock:
            parts, self._parts = self._parts, None
        return parts is None or parts.stop(timeout)

    # SQLite's state cannot be shared by two processes (sqlite.org/howtocorrupt.html, 2.6), and
    # locks and threads do not survive a fork: before it, transactions end and connections are
    # closed, and the child builds everything anew. Only a transaction that takes too long is in the
    # way, as while another process holds the database.

    def _before_fork(self) -> None:
        # Nor does a fork meet threads that are being started.
        if self._lock.acquire(timeout=_FORK_SECONDS):
            self._forking, parts = threading.get_ident(), self._parts
            self._is_at_rest = parts is None or parts.ingest.database.rest(_FORK_SECONDS)

    def _after_fork(self) -> None:
        """Go on, in the parent."""
        if self._forking == threading.get_ident():
            self._forking = 0
            if self._parts is not None:
                self._parts.ingest.database.resume()
            self._lock.release()

    def _begin_child(self) -> None:
        self._lock = threading.Lock()
        parts, self._parts = self._parts, None
        if parts is not None:
            # Never closed here, nor finalised: it belongs to the parent.
            _of_parents.append(parts)
            parts.ingest.database.abandon()
        if not (self._is_at_rest and self._forking == threading.get_ident()):
            self._unusable = True
            log.error("forked while the database was at work: this process stores nothing")
        self._forking = 0


_of_parents: list[Parts] = []


def _watch_forks(relay: Relay) -> None:
    if not hasattr(os, "register_at_fork"):  # pragma: no cover - Windows does not fork
        return
    reference = weakref.ref(relay)

    def before() -> None:
        alive = reference()
        if alive is not None:
            alive._before_fork()  # noqa: SLF001 - of this module

    def after() -> None:
        alive = reference()
        if alive is not None:
            alive._after_fork()  # noqa: SLF001

    def begin() -> None:
        alive = reference()
        if alive is not None:
            alive._begin_child()  # noqa: SLF001

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=begin)


# -- requests -------------------------------------------------------------------------------------


def route(environ: Environ, pages: Mapping[str, Page]) -> Page | None:
    """Return the page that a request asks for, None for the webhook.

    Raises :class:`Rejected` for other paths (404) and methods (405).
    """
    path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
    page = pages.get(path) or pages.get(path[: path.find("/", 1) + 1])
    if page is not None:
        if method not in ("GET", "HEAD"):
            raise Rejected(405, "method_not_allowed", "Use GET.", ("Allow", "GET, HEAD"))
        return page
    if not is_webhook_path(path):
        # Nobody but Stripe signs: its endpoint has another path than this relay.
        reason = "wrong_path" if environ.get("HTTP_STRIPE_SIGNATURE") else None
        raise Rejected(404, "not_found", f"Webhooks go to {WEBHOOK_PATH}.", reason=reason)
    if method != "POST":
        raise Rejected(405, "method_not_allowed", "Use POST.", ("Allow", "POST"))
    return None


def _discard_body(environ: Environ, limit: int) -> None:
    """Read a body that nobody needs, up to the limit.

    A server that closes a connection while a body still arrives can destroy its own answer on the
    way (RFC 9112, 9.6); one that keeps it open would take the rest for the next request.
    """
    with contextlib.suppress(Rejected):
        read_body(environ, limit)


def read_body(environ: Environ, limit: int) -> bytes:
    """Read the whole body, at most ``limit`` bytes.

    Raises :class:`Rejected` for one that is longer (413), ends before its stated length (400), or
    has no length and no end (411).
    """
    length = stated_length(environ, limit)
    # One byte more than may come tells a body that is too long from one that is as long as allowed.
    body = _read(environ["wsgi.input"], limit + 1 if length is None else length)
    if length is not None and len(body) < length:
        raise Rejected(400, "body_incomplete", "The body is shorter than Content-Length.")
    if len(body) > limit:
        raise too_large(limit)
    return body


def stated_length(environ: Environ, limit: int) -> int | None:
    """Return the length that a request states, None when its body ends by itself.

    Raises :class:`Rejected` for one that is over ``limit`` (413), no number (400), or missing
    where nothing else ends the body (411).
    """
    stated = environ.get("CONTENT_LENGTH") or ""
    if stated:
        if not (stated.isascii() and stated.isdigit()):
            raise Rejected(400, "length_invalid", "Content-Length is not a number.")
        if len(stated) > _LONGEST_LENGTH or int(stated) > limit:
            raise too_large(limit)
        return int(stated)
    # PEP 3333 has no way to say that a body without a length ends; servers that decode chunks
    # themselves say it with `wsgi.input_terminated`, and the others give a length.
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if chunked or environ.get("wsgi.input_terminated"):
        return None
    raise Rejected(411, "length_required", "Send a Content-Length.")


def too_large(limit: int) -> Rejected:
    """Return the rejection of a body that is over the limit."""
    return Rejected(413, "body_too_large", f"The body is larger than {limit} bytes.")


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


def _header(value: str | None) -> str | None:
    """Return a content type if it can be sent on as it is."""
    return value if value and len(value) < 256 and value.isascii() and value.isprintable() else None
