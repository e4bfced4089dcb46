"""The servers of a sandbox: shops, and every other host that their pages ask.

One server answers on port 443 and one on port 80, for all host names. It records each request as
it arrived before it answers, and holds a response back for as long as a test wants.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import trustme

from tools.engines.browser import SECONDS
from tracknow_static.walk.web import site_reply

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from tools.engines.sandbox import Sandbox


@dataclass(frozen=True)
class Request:
    """What a browser asked for. ``target`` is path and query, exactly as sent."""

    scheme: str
    host: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the first question mark; empty when there is none."""
        return self.target.partition("?")[2]

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self.scheme}://{self.host}{self.target}"


@dataclass(frozen=True)
class Response:
    """A response of the fake web. ``hold``: not sent before this event is set."""

    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None
    # Cut the connection instead of answering: what a blocked request looks like to a page.
    cut: bool = False


class FakeWeb:
    """Responds by host and path, and records requests in the order they arrive."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.requests: list[Request] = []
        self._news = threading.Condition()
        self._answers: dict[tuple[str, str], Response] = {}
        self._folders: dict[str, Path] = {}
        self._hosts: dict[str, Callable[[Request], Response]] = {}
        self._servers = [sandbox.call(self._serve, 443), sandbox.call(self._serve, 80)]

    def put(self, host: str, path: str, answer: Response) -> None:
        """Response requests for a path of a host, whatever their query."""
        self.sandbox.add_hosts(host)
        self._answers[host, path] = answer

    def remove(self, host: str, path: str) -> None:
        """Undo :meth:`put` for a path."""
        self._answers.pop((host, path), None)

    def put_folder(self, host: str, folder: Path) -> None:
        """Serve a built site as a host, with its 404.html."""
        self.sandbox.add_hosts(host)
        self._folders[host] = folder

    def put_host(self, host: str, answer: Callable[[Request], Response]) -> None:
        """Let a function respond to every request to a host."""
        self.sandbox.add_hosts(host)
        self._hosts[host] = answer

    def wait_for(self, wanted: Callable[[Request], bool], since: int = 0) -> Request:
        """Return the first wanted request after the first ``since`` ones.

        Raises ``AssertionError`` with the requests that arrived instead.
        """
        found: list[Request] = []

        def seen() -> bool:
            found.extend(request for request in self.requests[since:] if wanted(request))
            return bool(found)

        with self._news:
            if self._news.wait_for(seen, SECONDS):
                return found[0]
        arrived = [f"{request.method} {request.url}" for request in self.requests[since:]]
        raise AssertionError(f"no such request within {SECONDS} s; these arrived: {arrived}")

    def close(self) -> None:
        """Stop the servers."""
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _serve(self, port: int) -> _Server:
        server = _Server(("", port), _Handler)
        server.web = self
        if port == 443:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.sslsocket_class = _Connection
            trustme.CA().issue_cert("shop.example", "*.example", "*.stripe.com").configure_cert(
                context
            )
            server.tls = context
        threading.Thread(target=server.serve_forever, name=f"web-{port}", daemon=True).start()
        return server

    def respond(self, request: Request) -> Response:
        """Record a request and return its response."""
        with self._news:
            self.requests.append(request)
            self._news.notify_all()
        if put := self._answers.get((request.host, request.path)):
            return put
        if folder := self._folders.get(request.host):
            reply = site_reply(folder, request.target)
            headers = {"Location": reply.location} if reply.location else {}
            return Response(reply.body, reply.media_type, reply.status, headers)
        if answer := self._hosts.get(request.host):
            return answer(request)
        return Response(b"not here", "text/plain", 404)


class _Connection(ssl.SSLSocket):
    def __del__(self) -> None:
        # wrap_socket() leaves one open that the browser has cut before it began.
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    web: FakeWeb
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        if self.tls:
            # The handshake is done in the connection's thread: a slow client delays no other.
            connection = self.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: browsers close connections whenever they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    # A page left while its connection is idle must not keep a thread for ever.
    timeout = 2 * SECONDS

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            "https" if self.server.tls else "http",
            (self.headers.get("Host") or "").partition(":")[0],
            self.command,
            self.path,
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length),
        )
        answer = self.server.web.respond(request)
        if answer.hold is not None:
            answer.hold.wait(2 * SECONDS)
        if answer.cut:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        headers = {
            "Content-Type": answer.content_type,
            "Cache-Control": "no-cache",
            **answer.headers,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(answer.body if self.command != "HEAD" else b"")

    do_GET = do_POST = do_HEAD = do_OPTIONS = answer  # noqa: N815 - names of the protocol

    def log_message(self, *_: object) -> None:
        """Log nothing: an idle connection that is closed is no news."""
