"""Requests to the deployed site: every hop is kept, every body is bounded, and all ends in time."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
import zlib
from dataclasses import dataclass, field, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin, urlsplit

import brotli  # type: ignore[import-untyped]
import httpx
import zstandard

from tracknow_static import __version__
from tracknow_static.page.links import is_payment_url
from tracknow_static.page.process import looks_like_page
from tracknow_static.tracknow import PAYMENT_HOSTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

USER_AGENT = f"tracknow-static/{__version__} (probe; run by the site's owner)"
# What a browser sends for a page, so that a host answers as it answers a browser.
_ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

MOST_HOPS = 10
BODY_LIMIT = 2_000_000  # bytes after decoding: the script is at the beginning of a page
_REQUEST_SECONDS = 15.0
# The problem of an answer whose redirect leads to one.
PAYMENT_PAGE = "(a payment page; not asked for)"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Hop:
    """One request that was answered by a redirect; ``to`` is the address that follows."""

    url: str
    status: int
    to: str


@dataclass(frozen=True)
class Answer:
    """What a request ended with.

    ``url`` is the address asked last. ``problem`` is set, and ``status`` 0, where no answer came.
    ``body`` is decoded and ends at ``BODY_LIMIT``.
    """

    url: str
    hops: tuple[Hop, ...] = ()
    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes = b""
    problem: str = ""

    @property
    def media_type(self) -> str:
        """The type of the body in lower case, without parameters."""
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    @property
    def is_page(self) -> bool:
        """Whether the answer is an HTML document."""
        if not self.media_type:
            return looks_like_page(self.body)  # a browser looks, too
        return self.media_type in ("text/html", "application/xhtml+xml")


class Client:
    """Sends requests until ``seconds`` are over; safe to use from several threads.

    ``resolve`` maps a host name to the "address:port" that is dialed in its place. Cookies are not
    kept: each request is a first visit.
    """

    def __init__(self, *, seconds: float, resolve: Mapping[str, str] | None = None) -> None:
        self.payment_hosts: Collection[str] = PAYMENT_HOSTS
        self._end = time.monotonic() + seconds
        self._resolve = dict(resolve or {})
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._http = httpx.Client(
            trust_env=False,
            follow_redirects=False,
            headers={"User-Agent": USER_AGENT, "Accept": _ACCEPT},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()
        self._http.close()

    def _cut(self) -> None:
        """End the requests under way: a host that sends a byte now and then keeps the others waiting."""
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Remember each connection (httpx.readthedocs.io, "Extensions: trace")."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._sockets.append(info["return_value"].get_extra_info("socket"))
            if self.is_over:
                self._cut()

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return time.monotonic() >= self._end

    def get(self, url: str, *, encoding: str = "identity", **headers: str) -> Answer:
        """Ask for ``url`` and follow its redirects as a browser does, but to no payment page."""
        hops: list[Hop] = []
        while True:
            answer = self._get(url, {"Accept-Encoding": encoding, **headers})
            location = answer.headers.get("location")
            if answer.problem or answer.status not in _REDIRECTS or not location:
                break
            to = followed(url, location)
            hops.append(Hop(url, answer.status, to))
            if not to:
                answer = Answer(url, problem=f"a redirect to {location!r}, which is no address")
                break
            if urlsplit(to).scheme not in ("http", "https"):
                answer = Answer(to, problem="a redirect to another scheme")
                break
            if is_payment_url(to, self.payment_hosts):
                url, answer = to, Answer(to, problem=PAYMENT_PAGE)
                break
            if len(hops) > MOST_HOPS:
                answer = Answer(to, problem=f"more than {MOST_HOPS} redirects")
                break
            url = to
        return replace(answer, url=url, hops=tuple(hops))

    def _get(self, url: str, headers: dict[str, str]) -> Answer:
        left = self._end - time.monotonic()
        if left <= 0:
            return Answer(url, problem="the time is over")
        try:
            request = self._request(url, headers, min(left, _REQUEST_SECONDS))
            response = self._send(request)
            with contextlib.closing(response):
                body = self._body(response)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError) as error:
            if self.is_over or isinstance(error, httpx.TimeoutException):
                return Answer(url, problem="no answer in time")
            return Answer(url, problem=_reason(error))
        return Answer(url, status=response.status_code, headers=response.headers, body=body)

    def _send(self, request: httpx.Request) -> httpx.Response:
        """Send a request; again on a new connection where the host has closed the kept one."""
        try:
            return self._http.send(request, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if self.is_over:
                raise
            return self._http.send(request, stream=True)

    def _request(self, url: str, headers: dict[str, str], seconds: float) -> httpx.Request:
        target = httpx.URL(url)
        place = self._resolve.get(target.host)
        extensions: dict[str, object] = {
            "timeout": httpx.Timeout(seconds).as_dict(),
            "trace": self._trace,
        }
        if place is None:
            return self._http.build_request("GET", target, headers=headers, extensions=extensions)
        host, _, port = place.rpartition(":")
        # The certificate is still judged by the site's own name.
        extensions["sni_hostname"] = target.raw_host.decode("ascii")
        dialed = target.copy_with(host=host.strip("[]"), port=int(port))
        headers = {**headers, "Host": target.netloc.decode("ascii")}
        return self._http.build_request("GET", dialed, headers=headers, extensions=extensions)

    def _body(self, response: httpx.Response) -> bytes:
        raw = bytearray()
        for chunk in response.iter_raw():
            raw += chunk
            if len(raw) >= BODY_LIMIT or self.is_over:
                break
        if self.is_over:
            raise httpx.ReadTimeout("the time is over")
        return decoded(bytes(raw), response.headers.get("content-encoding", ""))


def followed(url: str, location: str) -> str:
    """Return the address that a browser asks for next (RFC 9110, 10.2.2); "" if there is none.

    A redirect without a fragment keeps the one of the address before.
    """
    try:
        to = urljoin(url, location.strip())
    except ValueError:  # such as a bracket that is never closed
        return ""
    fragment = urlsplit(url).fragment
    return to if urlsplit(to).fragment or not fragment else f"{to.partition('#')[0]}#{fragment}"


def decoded(raw: bytes, encoding: str) -> bytes:
    """Return at most ``BODY_LIMIT`` bytes of a body, whatever it expands to.

    Raises ``ValueError`` for an encoding that is unknown or data that do not fit it.
    """
    name = encoding.strip().lower().removeprefix("x-")
    try:
        if name in ("", "identity"):
            return raw[:BODY_LIMIT]
        if name == "gzip":
            return zlib.decompressobj(wbits=31).decompress(raw, BODY_LIMIT)
        if name == "br":
            out = brotli.Decompressor().process(raw, output_buffer_limit=BODY_LIMIT)
            return bytes(out[:BODY_LIMIT])
        if name == "zstd":
            return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw)).read(BODY_LIMIT)
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise ValueError(f"the body is not {name}") from error
    raise ValueError(f"the encoding {encoding!r} was not asked for")


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return text.rstrip(".") or type(error).__name__
