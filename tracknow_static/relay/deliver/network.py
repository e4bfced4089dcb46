"""The network under a delivery: names are resolved, addresses checked, every step has a deadline.

It plugs into ``httpcore``, the engine of ``httpx``, as a network backend. ``httpx`` itself costs
three times the processor time for each delivery and has no place for this; what it would add
(redirects, cookies, proxies from the environment) is what a relay must not do. The environment's
proxy variables are not read: behind a proxy, the proxy would choose the address.

A destination's name can lead anywhere: to a cloud's metadata service, to the database next door,
to a public address now and to 127.0.0.1 a second later. Therefore the address itself is checked
when the connection is made, and the connection goes to exactly the address that was checked.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import socket
import ssl
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import certifi
import httpcore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# How many of a name's addresses an error lists: a name server can give hundreds.
_LISTED = 3

# IANA's special-purpose registries (RFC 6890 and its updates), as far as "globally reachable" is
# false there. Spelled out, since Python's own `is_global` differs from version to version.
_CLOSED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network; 0.0.0.0 reaches the host itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; 100.100.100.200 is a metadata service
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; 169.254.169.254 is a metadata service
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is a metadata service
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays, withdrawn
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "168.63.129.16/32",  # public by number, yet it is Azure's host agent
    )
)
# Only 2000::/3 is assigned as global unicast (RFC 4291, 2.4); these parts of it are not public.
_OPEN6 = ipaddress.ip_network("2000::/3")
_CLOSED6 = tuple(
    ipaddress.ip_network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo and ORCHID among them
        "2001:db8::/32",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
# Prefixes that carry an IPv4 address, and its distance in bits from the right end: the address that
# counts is the one within.
_CARRIERS = (
    (ipaddress.ip_network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (ipaddress.ip_network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (ipaddress.ip_network("2002::/16"), 80),  # 6to4 (RFC 3056)
)


def is_public(text: str) -> bool:
    """Whether an IP address, as ``getaddrinfo`` writes it, belongs to the public internet."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            # A zone (fe80::1%eth0) exists on addresses of the local link only.
            return False
        for network, shift in _CARRIERS:
            if address in network:
                return is_public(str(ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)))
        return address in _OPEN6 and not any(address in network for network in _CLOSED6)
    return not any(address in network for network in _CLOSED)


class NetworkError(Exception):
    """No answer came. ``code`` is one short word; the text has details for the log.

    The text is ours and the operating system's: nothing of it comes from the destination.
    Codes: ``dns``, ``dns_timeout``, ``address_refused``, ``connect``, ``connect_timeout``,
    ``tls``, ``timeout``, ``reset``, ``protocol``.
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


class Resolver:
    """Looks names up within a time-out, which ``getaddrinfo`` itself does not know.

    Threads that ask for the same name at the same time share one look-up, so a name server that
    hangs holds one thread for each name and no more.
    """

    def __init__(self, lookup: Callable[..., list[Any]] = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[list[str]]] = {}

    def resolve(self, host: str, port: int, timeout: float) -> list[str]:
        """Return the IP addresses of a host in the system's order of preference.

        Raises :class:`NetworkError` with ``dns`` or ``dns_timeout``.
        """
        with contextlib.suppress(ValueError):
            return [str(ipaddress.ip_address(host))]
        with self._lock:
            running = self._running.get((host, port))
            if running is None:
                running = Future()
                threading.Thread(
                    target=self._run, args=(host, port, running), name="relay-dns", daemon=True
                ).start()
                # Only now: nobody may wait for a thread that the system would not start.
                self._running[host, port] = running
        try:
            found = running.result(timeout)
        except TimeoutError:
            text = f"looking up {host} took over {timeout:.1f} s"
            raise NetworkError("dns_timeout", text) from None
        except (OSError, UnicodeError) as error:
            raise NetworkError("dns", f"looking up {host}: {error}") from None
        if not found:
            raise NetworkError("dns", f"looking up {host}: no address")
        return found

    def _run(self, host: str, port: int, running: Future[list[str]]) -> None:
        found: list[str] = []
        failure: Exception | None = None
        try:
            rows = self._lookup(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(info[4][0]) for info in rows))
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits
            failure = error
        # Before anybody has the result: who asks after that gets a look-up of its own.
        with self._lock:
            del self._running[host, port]
        if failure is None:
            running.set_result(found)
        else:
            running.set_exception(failure)


@dataclass(frozen=True, kw_only=True)
class Network:
    """How connections are made; shared by all senders of a process.

    ``private`` permits addresses that are not public; times are in seconds.
    """

    private: bool = False
    connect_timeout: float = 5.0
    timeout: float = 30.0
    resolver: Resolver
    tls: ssl.SSLContext

    @classmethod
    def make(cls, *, private: bool, connect_timeout: float, timeout: float) -> Network:
        """Return a network with the system's name servers and certificate authorities."""
        return cls(
            private=private,
            connect_timeout=connect_timeout,
            timeout=timeout,
            resolver=Resolver(),
            tls=_tls_context(),
        )


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to allowed addresses only, and keeps every step within ``deadline``.

    One backend serves one thread; ``deadline`` (``time.monotonic``) is set before each request.
    ``received`` counts the bytes that have arrived, and is set to 0 before each exchange;
    ``most`` limits it. ``abort`` may be called by another thread.
    """

    def __init__(self, network: Network, *, most: float = math.inf) -> None:
        self._network = network
        self.most = most
        self._socket: socket.socket | None = None
        self.deadline = math.inf
        self.received = 0

    def left(self) -> float:
        """Return the seconds until the deadline; raises :class:`NetworkError` when it is over."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise NetworkError("timeout", "the time for one attempt is over")
        return left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature; ours is stricter
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """Connect to the first address of the host that is allowed and answers."""
        until = time.monotonic() + min(self._network.connect_timeout, self.left())
        found = self._network.resolver.resolve(host, port, until - time.monotonic())
        allowed = [address for address in found if self._network.private or is_public(address)]
        if not allowed:
            listed = ", ".join(found[:_LISTED])
            raise NetworkError("address_refused", f"{host} leads to {listed}, which is not public")
        error = NetworkError("connect_timeout", f"connecting to {host}")
        for number, address in enumerate(allowed):
            # An even share for each, so that one dead address leaves time for the others.
            share = (until - time.monotonic()) / (len(allowed) - number)
            if share <= 0:
                break
            try:
                stream = httpcore.SyncBackend().connect_tcp(address, port, timeout=share)
            except httpcore.ConnectTimeout:
                error = NetworkError("connect_timeout", f"connecting to {address}")
            except httpcore.ConnectError as refusal:
                error = NetworkError("connect", f"connecting to {address}: {_reason(refusal)}")
            else:
                return self.watch(stream, until)
        raise error

    def watch(self, stream: httpcore.NetworkStream, connect_until: float) -> httpcore.NetworkStream:
        """Return a stream whose every wait ends at the deadline."""
        self._socket = stream.get_extra_info("socket")
        return _TimedStream(stream, self, connect_until)

    def abort(self) -> None:
        """End what another thread waits for on the connection."""
        if self._socket is not None:
            # Not by the method of a TLS socket: it takes the state that the other thread is using.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _TimedStream(httpcore.NetworkStream):
    """One of httpcore's streams under the backend's deadline."""

    def __init__(
        self, stream: httpcore.NetworkStream, backend: GuardedBackend, connect_until: float
    ) -> None:
        self._stream = stream
        self._backend = backend
        self._connect_until = connect_until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        data = self._stream.read(max_bytes, self._backend.left())
        self._backend.received += len(data)
        if self._backend.received > self._backend.most:
            raise NetworkError("protocol", "the answer does not end")
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        # Not by the stream's own method: it allows the whole time-out for each part of a long event.
        sock: socket.socket = self._stream.get_extra_info("socket")
        rest = memoryview(buffer)
        try:
            while rest:
                sock.settimeout(self._backend.left())
                rest = rest[sock.send(rest) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout from error
        except OSError as error:
            # httpcore then reads on: a server may answer before it has read all, and hang up.
            raise httpcore.WriteError from error

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = min(self._connect_until - time.monotonic(), self._backend.left())
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, max(left, 0.001))
        except httpcore.ConnectTimeout:
            raise NetworkError("connect_timeout", "during the TLS handshake") from None
        except httpcore.ConnectError as error:
            raise NetworkError("tls", f"TLS handshake: {_reason(error)}") from None
        return self._backend.watch(stream, self._connect_until)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _reason(error: BaseException) -> str:
    """Return why connecting failed, in words of the system or of OpenSSL."""
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return cause.verify_message
    if isinstance(cause, ssl.SSLError):
        return cause.reason or "it failed"
    return (cause.strerror if isinstance(cause, OSError) else None) or "the connection was closed"


def _tls_context() -> ssl.SSLContext:
    """Trust the system's certificate authorities and those of ``certifi``.

    The system's store knows a company's own authority (and ``SSL_CERT_FILE``); small container
    images have none.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
