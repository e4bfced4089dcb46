"""One attempt: the stored bytes go to a destination, and what comes back is told.

The request is ``POST`` with the event's own bytes, ``Content-Type`` and ``Stripe-Signature``;
``Tracknow-Event-Id`` carries the id of the event, which stays the same for every attempt and every
replay, so that a destination can recognise what it has seen. No redirect is followed, no cookie
kept.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpcore

from tracknow_static import __version__
from tracknow_static.relay.deliver.network import (
    GuardedBackend,
    NetworkFaultError,
    Resolver,
    tls_context,
)

if TYPE_CHECKING:
    import ssl

    from tracknow_static.relay.store.model import Claimed

USER_AGENT = f"tracknow-static/{__version__} (relay)"
EVENT_ID_HEADER = "Tracknow-Event-Id"

# Nothing in an answer's body is of use; reading it keeps the connection usable.
LONGEST_BODY = 64 * 1024
# The status is the verdict. For a body that trickles in no thread is held up longer than this.
BODY_SECONDS = 2.0

# Servers close idle connections after 5 seconds (Node, Apache, uvicorn) and more (nginx): leave
# before them, as a request that meets the closing is lost.
_KEEPALIVE_SECONDS = 4.0


@dataclass(frozen=True)
class Answer:
    """What one attempt brought: an HTTP status with two of its headers, or the code of a fault.

    ``detail`` is for the log; it holds nothing of the request or of the answer's body.
    """

    status: int | None = None
    error: str | None = None
    detail: str = ""
    retry_after: str | None = None
    date: str | None = None
    took_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class Network:
    """How connections are made; shared by all senders of a process."""

    private: bool = False
    connect_timeout: float = 5.0
    timeout: float = 30.0
    resolver: Resolver
    tls: ssl.SSLContext

    @classmethod
    def make(cls, *, private: bool, connect_timeout: float, timeout: float) -> Network:
        """Make one from plain numbers; ``private`` permits addresses that are not public."""
        return cls(
            private=private,
            connect_timeout=connect_timeout,
            timeout=timeout,
            resolver=Resolver(),
            tls=tls_context(),
        )


class Sender:
    """Sends to one destination over one connection, kept open between events; for one thread."""

    def __init__(self, destination: str, network: Network) -> None:
        self._url = httpcore.URL(destination)
        self._network = network
        self._backend = GuardedBackend(
            network.resolver, private=network.private, connect_timeout=network.connect_timeout
        )
        self._host = _host_header(self._url)
        self._connection: httpcore.HTTPConnection | None = None

    def send(self, claimed: Claimed) -> Answer:
        """Make one attempt, which ends within the network's time-out whatever the other end does."""
        started = time.monotonic()
        self._backend.deadline = started + self._network.timeout
        try:
            answer = self._exchange(self._request(claimed))
        except NetworkFaultError as fault:
            answer = Answer(error=fault.code, detail=str(fault))
        except httpcore.WriteError as error:
            answer = Answer(error="reset", detail=f"sending the event: {error}")
        except httpcore.ProtocolError as error:
            answer = Answer(error="protocol", detail=str(error))
        if answer.error:
            self.close()
        took = round((time.monotonic() - started) * 1000)
        return replace(answer, took_ms=took)

    def reach(self) -> Answer:
        """Look whether the destination can be reached, and send nothing: no event, no request.

        The name is looked up, the address judged, a connection and TLS are made as for an event.
        """
        started = time.monotonic()
        self._backend.deadline = started + self._network.timeout
        origin = self._url.origin
        host = origin.host.decode("ascii")
        error, detail = None, ""
        try:
            stream = self._backend.connect_tcp(host, origin.port)
            if origin.scheme == b"https":
                stream = stream.start_tls(self._network.tls, server_hostname=host)
            stream.close()
        except NetworkFaultError as fault:
            error, detail = fault.code, str(fault)
        took = round((time.monotonic() - started) * 1000)
        return Answer(error=error, detail=detail, took_ms=took)

    def close(self) -> None:
        """Close the connection; the next attempt opens one."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None

    def _request(self, claimed: Claimed) -> httpcore.Request:
        headers = [
            ("Host", self._host),
            ("User-Agent", USER_AGENT),
            ("Accept", "*/*"),
            ("Content-Length", str(len(claimed.payload))),
            (EVENT_ID_HEADER, quote(claimed.event_id, safe="")),
        ]
        if claimed.content_type is not None:
            headers.append(("Content-Type", claimed.content_type))
        if claimed.signature is not None:
            headers.append(("Stripe-Signature", claimed.signature))
        raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
        return httpcore.Request("POST", self._url, headers=raw, content=claimed.payload)

    def _exchange(self, request: httpcore.Request) -> Answer:
        response = self._open().handle_request(request)
        headers = {name.lower(): value for name, value in response.headers}
        try:
            self._read_body(response)
        finally:
            response.close()
        return Answer(
            status=response.status,
            retry_after=_text(headers.get(b"retry-after")),
            date=_text(headers.get(b"date")),
        )

    def _open(self) -> httpcore.HTTPConnection:
        connection = self._connection
        # A connection that was closed by the other end while idle counts as expired.
        if connection is None or connection.is_closed() or connection.has_expired():
            self.close()
            connection = self._connection = httpcore.HTTPConnection(
                self._url.origin,
                ssl_context=self._network.tls,
                keepalive_expiry=_KEEPALIVE_SECONDS,
                network_backend=self._backend,
            )
        return connection

    def _read_body(self, response: httpcore.Response) -> None:
        """Read the answer's body away; one that is too long, too slow or broken costs the connection.

        The status stands whatever becomes of the body.
        """
        soon = time.monotonic() + BODY_SECONDS
        self._backend.deadline = min(self._backend.deadline, soon)
        size = 0
        try:
            for chunk in response.iter_stream():
                size += len(chunk)
                if size > LONGEST_BODY:
                    break
        except (NetworkFaultError, httpcore.ProtocolError):
            pass
        else:
            if size <= LONGEST_BODY:
                return
        self.close()


def _host_header(url: httpcore.URL) -> str:
    """Write the host as RFC 9112, 3.2 wants it: IPv6 in brackets, no port if it is the scheme's."""
    host = url.host.decode("ascii")
    host = f"[{host}]" if ":" in host else host
    usual = {b"https": 443, b"http": 80}[url.scheme]
    return host if url.port in (None, usual) else f"{host}:{url.port}"


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def shown(destination: str) -> str:
    """Give a destination's URL as a log may show it: a query can hold a token."""
    return destination.partition("?")[0]
