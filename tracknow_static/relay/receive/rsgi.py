"""The application for granian's own interface, RSGI: what ``tracknow-relay serve`` runs.

It is the same application with the same answers. By WSGI each request holds a thread while it waits
for its commit, and threads that take turns at Python's lock are what limits a relay; here one event
loop holds all that wait. A caller that sends its body slowly holds a little memory instead of a
thread, for a bounded time.

RSGI: github.com/emmett-framework/granian, docs/spec/RSGI.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

# Granian's stubs lack it.
from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]

from tracknow_static.errors import RelayError
from tracknow_static.relay import crash_points, health
from tracknow_static.relay.app import (
    ANSWERING,
    RETRY_AFTER,
    STORED,
    route,
    stated_length,
    too_large,
)
from tracknow_static.relay.receive.response import Rejected, Response
from tracknow_static.relay.store.group_commit import Deadlines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope

    from tracknow_static.relay.app import Relay

log = logging.getLogger(__name__)

# How often connections are counted, and from which number on they are reported.
_WATCH_SECONDS = 60.0
_MANY_FILES = 1000

# Stripe sends a body at once. Whoever needs longer is not Stripe, or comes again.
BODY_SECONDS = 10.0
# Bodies over the size (events have a few kilobytes) are read in a limited number at a time: what is held for
# callers that nobody has verified stays below 64 times the limit of a body.
LARGE = 65_536
LARGE_AT_ONCE = 64
# Pages look into the database; while it hangs each who asks holds one thread.
_PAGE_THREADS = 16


class RsgiRelay:
    """A relay as an RSGI application."""

    def __init__(self, relay: Relay, *, body_seconds: float = BODY_SECONDS) -> None:
        self.relay = relay
        self._body_seconds = body_seconds
        self._large = 0
        self._deadlines: Deadlines | None = None
        self._pages = ThreadPoolExecutor(_PAGE_THREADS, thread_name_prefix="relay-page")

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin on a loop."""
        self._deadlines = Deadlines(loop, self._body_seconds)
        self._watch_connections(loop)

    def _watch_connections(self, loop: asyncio.AbstractEventLoop) -> None:
        """Report in the log when many callers are connected: most of them send nothing."""
        loop.call_later(_WATCH_SECONDS, self._watch_connections, loop)
        number = health.open_files()
        if number is not None and number >= _MANY_FILES:
            log.warning("%d connections are open; a proxy in front keeps idle callers away", number)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        environ = _environ(scope)
        try:
            response = await self._respond(scope, environ, protocol)
        except (Rejected, RelayError) as refusal:
            response = self.relay.refuse(refusal)
        _send(protocol, environ, response)

    async def _respond(
        self, scope: Scope, environ: dict[str, Any], protocol: HTTPProtocol
    ) -> Response:
        page = route(environ, self.relay.parts.pages)
        if page is health.alive:
            # On the loop: it answers while every other page hangs.
            return page(environ)
        if page is not None:
            environ |= _of_pages(scope)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pages, page, environ)
        length = stated_length(environ, self.relay.config.max_body)
        body = await self._read(protocol, length)
        event = self.relay.event(environ, body)
        await self.relay.ingest.accept_async(event)
        crash_points.reach(ANSWERING)
        return STORED

    async def _read(self, protocol: HTTPProtocol, length: int | None) -> bytes:
        assert self._deadlines is not None  # noqa: S101 - the server calls __rsgi_init__ first
        patience = _Patience()
        self._deadlines.add(patience)
        try:
            if length is not None and length <= LARGE:
                return await patience.wait(protocol())
            with self._room():
                return await self._read_large(protocol, length, patience)
        except ProtocolClosed:
            raise _incomplete() from None
        except asyncio.CancelledError:
            if not patience.over:
                raise
            text = f"The body took more than {self._body_seconds:g} seconds."
            raise Rejected(408, "body_timeout", text) from None
        finally:
            self._deadlines.remove(patience)

    async def _read_large(
        self, protocol: HTTPProtocol, length: int | None, patience: _Patience
    ) -> bytes:
        limit = self.relay.config.max_body
        parts: list[bytes] = []
        size = 0
        following = protocol.__aiter__().__anext__
        # An empty part is the end, of a body or of the connection.
        while part := await patience.wait(following()):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise too_large(limit)
        if length is not None and size < length:
            raise _incomplete()
        return b"".join(parts)

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        if self._large >= LARGE_AT_ONCE:
            text = "Too many large bodies at once; send it again later."
            raise Rejected(503, "busy", text, RETRY_AFTER)
        self._large += 1
        try:
            yield
        finally:
            self._large -= 1


class _Patience:
    """A wait for a body that can be ended."""

    __slots__ = ("_waiting", "over")

    def __init__(self) -> None:
        self.over = False
        self._waiting: Any = None

    async def wait(self, awaitable: Any) -> bytes:
        """Wait for granian's future; raises ``CancelledError`` when it was given up."""
        self._waiting = awaitable
        if self.over:
            # The part before came in the very moment; what is cancelled here is the next one.
            awaitable.cancel()
        found: bytes = await awaitable
        return found

    def give_up(self) -> None:
        self.over = True
        # Granian's tasks cannot be cancelled, what they wait for can.
        self._waiting.cancel()


def _incomplete() -> Rejected:
    return Rejected(400, "body_incomplete", "The body ended before it was complete.")


def _environ(scope: Scope) -> dict[str, Any]:
    """Return what the application reads of a request under WSGI's names."""
    get = scope.headers.get
    return {
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path,
        "CONTENT_LENGTH": get("content-length"),
        "CONTENT_TYPE": get("content-type"),
        "HTTP_TRANSFER_ENCODING": get("transfer-encoding", ""),
        "HTTP_STRIPE_SIGNATURE": get("stripe-signature"),
        "HTTP_ACCEPT": get("accept", ""),
    }


def _of_pages(scope: Scope) -> dict[str, Any]:
    """Return what pages read beside that."""
    get = scope.headers.get
    return {
        "QUERY_STRING": scope.query_string,
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "HTTP_AUTHORIZATION": get("authorization", ""),
        "HTTP_X_FORWARDED_FOR": get("x-forwarded-for", ""),
        # WSGI has the path's bytes as Latin-1 (PEP 3333).
        "PATH_INFO": scope.path.encode().decode("latin-1"),
    }


def _send(protocol: HTTPProtocol, environ: dict[str, Any], response: Response) -> None:
    status, headers = _translated(response.status, response.headers)
    if environ["REQUEST_METHOD"] == "HEAD":
        protocol.response_empty(status, headers)
    else:
        protocol.response_bytes(status, headers, response.body)


@lru_cache(64)
def _translated(
    status: str, headers: tuple[tuple[str, str], ...]
) -> tuple[int, list[tuple[str, str]]]:
    """Return status and headers as RSGI has them."""
    return int(status[:3]), [(name.lower(), value) for name, value in headers]
