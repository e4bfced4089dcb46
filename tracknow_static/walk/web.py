"""The web that the browser sees: the built site, stand-ins for Stripe, and nothing else.

One loopback server answers every host name, with TLS and without. It records what was asked
before it answers, so that a request counts although the page may be gone by then.
"""

from __future__ import annotations

import contextlib
import mimetypes
import os
import socket
import ssl
import threading
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import unquote_to_bytes

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_TLS_HANDSHAKE = b"\x16"  # the first byte of a connection with TLS (RFC 8446, 5.1)
_SECONDS = 30
_MOST_BODY = 1 << 20

BLANK = "/tracknow-walk-blank"
"""Path of an empty answer on the site's host."""

_PAYMENT_PAGE = b"""<!doctype html><meta charset=utf-8><link rel=icon href="data:,">
<title>Payment page (stand-in)</title><p>Nothing is sold here."""

# What a page can see of Stripe's elements: they pass the attribute into a frame of their own.
_ELEMENT = """
customElements.define("%s", class extends HTMLElement {
  static observedAttributes = ["client-reference-id"];
  connectedCallback() { this.show(); }
  attributeChangedCallback() { if (this.isConnected) this.show(); }
  show() {
    const ask = new URLSearchParams({
      product: this.getAttribute("buy-button-id") || this.getAttribute("pricing-table-id") || "",
      client_reference_id: this.getAttribute("client-reference-id") || "",
    });
    fetch("https://js.stripe.com/element?" + ask, {mode: "no-cors"});
  }
});
"""


class Asked(NamedTuple):
    """A request to a payment page: ``target`` is path and query exactly as sent."""

    method: str
    host: str
    target: str
    body: str = ""

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"https://{self.host}{self.target}"


@dataclass
class Reply:
    """What a request is answered with."""

    status: int = 204
    media_type: str = ""
    body: bytes = b""
    location: str = ""


class StandInWeb:
    """Serves the site in ``folder`` as ``host`` under ``prefix`` ("/" or "/shop/").

    ``port`` is the loopback port, 0 for a free one; raises ``OSError`` if it is taken. ``asked`` are
    the requests to ``payment_hosts`` and of Stripe's elements, in their order;
    ``others`` counts the requests to every other host, which are answered with nothing.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        prefix: str = "/",
        payment_hosts: Collection[str] = (),
        *,
        port: int = 0,
    ) -> None:
        self.folder = folder.resolve()
        self.host = host
        self.prefix = prefix
        self.payment_hosts = frozenset(payment_hosts)
        self.asked: list[Asked] = []
        self.others: Counter[str] = Counter()
        self._news = threading.Condition()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.web = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """The loopback port that every host name leads to."""
        return int(self._server.server_address[1])

    def wait_for(self, wanted: Callable[[Asked], bool], number: int, seconds: float) -> list[Asked]:
        """Return the wanted requests after the first ``number`` ones, once there is one."""

        def found() -> list[Asked]:
            return [asked for asked in self.asked[number:] if wanted(asked)]

        with self._news:
            return self._news.wait_for(found, seconds)

    def reply(self, method: str, host: str, target: str, body: str, *, by_page: bool) -> Reply:
        """Record a request and return what it is answered with.

        ``by_page`` is false for what the browser asks on its own account.
        """
        path = target.partition("?")[0]
        if host == self.host and path == BLANK:
            return Reply(200, "text/plain")
        if host == self.host:
            return site_reply(self.folder, target, self.prefix)
        if host in self.payment_hosts and path != "/favicon.ico":
            self._note(Asked(method, host, target, body))
            return Reply(200, "text/html; charset=utf-8", _PAYMENT_PAGE)
        if host == "js.stripe.com":
            return self._of_elements(path, target)
        with self._news:
            self.others[host] += by_page
        return Reply()

    def _note(self, asked: Asked) -> None:
        with self._news:
            self.asked.append(asked)
            self._news.notify_all()

    def _of_elements(self, path: str, target: str) -> Reply:
        if path == "/element":
            self._note(Asked("GET", "js.stripe.com", target))
            return Reply()
        name = path.removeprefix("/v3/").removesuffix(".js")
        if name in ("buy-button", "pricing-table"):
            return Reply(200, "text/javascript", (_ELEMENT % f"stripe-{name}").encode())
        return Reply(200, "text/javascript")


def site_reply(folder: Path, target: str, prefix: str = "/") -> Reply:
    """Return what a static host answers for a path with its query, of a site under ``prefix``."""
    path, mark, query = target.partition("?")
    raw = unquote_to_bytes(path.removeprefix(prefix))
    inner = os.fsdecode(raw) if path.startswith(prefix) else None
    if inner is not None and ".." not in PurePosixPath(inner).parts:
        found = folder / inner.lstrip("/")
        if found.is_dir() and not path.endswith("/"):
            return Reply(301, location=f"{path}/{mark}{query}")
        if found.is_dir():
            found /= "index.html"
        elif not found.is_file():
            found = found.with_name(f"{found.name}.html")  # addresses without .html
        if found.is_file():
            return Reply(200, _type(found), found.read_bytes())
    missing = folder / "404.html"
    body = missing.read_bytes() if missing.is_file() else b"<title>404</title>Not found."
    return Reply(404, "text/html; charset=utf-8", body)


def _type(file: Path) -> str:
    kind = mimetypes.guess_type(file.name)[0]
    # A page whose name has no suffix is served as what it looks like.
    return kind or ("text/html" if file.read_bytes()[:200].lstrip()[:1] == b"<" else "text/plain")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    web: StandInWeb

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # The browser is started so that it accepts it for every name.
        trustme.CA().issue_cert("stand-in.invalid").configure_cert(context)
        return context

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(_SECONDS)
        with contextlib.suppress(OSError):  # a browser that leaves in the middle
            if request.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
                request = self._tls.wrap_socket(request, server_side=True)
            with request:
                super().finish_request(request, client_address)

    def handle_error(self, *_arguments: object) -> None:
        """Leave the terminal to the report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _respond(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), _MOST_BODY)
        body = self.rfile.read(length).decode("utf-8", "replace") if length else ""
        host = self.headers.get("Host", "").partition(":")[0].lower()
        # https://www.w3.org/TR/fetch-metadata/: "none" is what no page has caused.
        by_page = self.headers.get("Sec-Fetch-Site", "none") != "none"
        reply = self.server.web.reply(self.command, host, self.path, body, by_page=by_page)
        self.send_response(reply.status)
        if reply.media_type:
            self.send_header("Content-Type", reply.media_type)
        if reply.location:
            self.send_header("Location", reply.location)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_POST = do_HEAD = do_OPTIONS = do_PUT = _respond  # noqa: N815

    def log_message(self, *_arguments: object) -> None:
        """Leave the terminal to the report."""
