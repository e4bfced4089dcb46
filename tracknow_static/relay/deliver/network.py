"""The network under a delivery: names resolved, addresses judged, every step within a deadline.

It plugs into ``httpcore``, the engine of ``httpx``, at the place made for it. ``httpx`` itself
costs three times the processor time for each delivery and offers no such place; what it would add
(redirects, cookies, proxies from the environment) is what a relay must not do. The environment's
proxy variables are not read: behind a proxy, the proxy would choose the address.
"""

from __future__ import annotations

import ipaddress
import math
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import certifi
import httpcore

from tracknow_static.relay.deliver import addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class NetworkFaultError(Exception):
    """No answer came. ``code`` is one short word; the text has details for the log.

    Codes: ``dns``, ``dns_timeout``, ``address_refused``, ``connect``, ``connect_timeout``,
    ``tls``, ``timeout``, ``reset``, ``protocol``.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        super().__init__(detail or code)


class Resolver:
    """Looks names up within a time-out, which ``getaddrinfo`` itself does not know.

    Those who ask for one name at the same time share one look-up, so a name server that hangs
    holds one thread for each name and no more.
    """

    def __init__(self, lookup: Callable[..., list[Any]] = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], _Lookup] = {}

    def resolve(self, host: str, port: int, timeout: float) -> list[str]:
        """Give the IP addresses of a host in the system's order of preference.

        Raises :class:`NetworkFaultError` with ``dns`` or ``dns_timeout``.
        """
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        with self._lock:
            running = self._running.get((host, port))
            if running is None:
                running = self._running[host, port] = _Lookup()
                threading.Thread(
                    target=self._run, args=(host, port, running), name="relay-dns", daemon=True
                ).start()
        if not running.done.wait(timeout):
            raise NetworkFaultError("dns_timeout", f"looking up {host} took over {timeout:.1f} s")
        if running.error or not running.found:
            raise NetworkFaultError("dns", f"looking up {host}: {running.error or 'no address'}")
        return running.found

    def _run(self, host: str, port: int, running: _Lookup) -> None:
        try:
            found = self._lookup(host, port, type=socket.SOCK_STREAM)
            running.found = list(dict.fromkeys(str(info[4][0]) for info in found))
        except (OSError, UnicodeError) as error:
            running.error = str(error)
        finally:
            with self._lock:
                del self._running[host, port]
            running.done.set()


class _Lookup:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.found: list[str] = []
        self.error = ""


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to addresses that are allowed, and keeps every step within ``deadline``.

    One backend serves one thread; ``deadline`` (``time.monotonic``) is set before each request.
    """

    def __init__(self, resolver: Resolver, *, private: bool, connect_timeout: float) -> None:
        self._resolver = resolver
        self._private = private
        self._connect_timeout = connect_timeout
        self.deadline = math.inf

    def left(self) -> float:
        """Give the seconds until the deadline; raises :class:`NetworkFaultError` when it is over."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise NetworkFaultError("timeout", "the time for one attempt is over")
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
        until = time.monotonic() + min(self._connect_timeout, self.left())
        found = self._resolver.resolve(host, port, until - time.monotonic())
        allowed = [one for one in found if self._private or addresses.is_public(one)]
        if not allowed:
            raise NetworkFaultError(
                "address_refused", f"{host} leads to {', '.join(found)}, which is not public"
            )
        fault = NetworkFaultError("connect_timeout", f"connecting to {host}")
        for number, address in enumerate(allowed):
            # An even share for each, so that one dead address leaves time for the others.
            share = (until - time.monotonic()) / (len(allowed) - number)
            if share <= 0:
                break
            try:
                sock = socket.create_connection((address, port), timeout=share)
            except TimeoutError as error:
                fault = NetworkFaultError("connect_timeout", f"connecting to {address}: {error}")
            except OSError as error:
                fault = NetworkFaultError("connect", f"connecting to {address}: {error.strerror}")
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return _Stream(sock, self, until)
        raise fault

    def sleep(self, seconds: float) -> None:
        """Never called: ``httpcore`` sleeps between connection attempts, which it makes one of."""
        time.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    """A connection whose every wait ends at the backend's deadline."""

    def __init__(self, sock: socket.socket, backend: GuardedBackend, connect_until: float) -> None:
        self._socket = sock
        self._backend = backend
        self._connect_until = connect_until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        try:
            self._socket.settimeout(self._backend.left())
            return self._socket.recv(max_bytes)
        except TimeoutError:
            raise NetworkFaultError("timeout", "waiting for the answer") from None
        except OSError as error:
            raise NetworkFaultError("reset", f"reading the answer: {error}") from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        rest = memoryview(buffer)
        try:
            while rest:
                self._socket.settimeout(self._backend.left())
                rest = rest[self._socket.send(rest) :]
        except TimeoutError:
            raise NetworkFaultError("timeout", "sending the event") from None
        except OSError as error:
            # httpcore then reads on: a server may answer before it has read all, and hang up.
            raise httpcore.WriteError(str(error)) from None

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = min(self._connect_until - time.monotonic(), self._backend.left())
        try:
            self._socket.settimeout(max(left, 0.001))
            secure = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except TimeoutError:
            self.close()
            raise NetworkFaultError("connect_timeout", "during the TLS handshake") from None
        except OSError as error:
            self.close()
            raise NetworkFaultError("tls", f"TLS handshake: {error}") from None
        return _Stream(secure, self._backend, self._connect_until)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return _readable(self._socket)
        if info == "ssl_object":
            return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
        return None


def _readable(sock: socket.socket) -> bool:
    """Tell whether an idle connection has something to say: it was closed, or is out of step."""
    # MSG_PEEK is refused on TLS sockets, and select() by descriptors over 1,023.
    import selectors

    if sock.fileno() < 0:
        return True
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))


def tls_context() -> ssl.SSLContext:
    """Trust the system's certificate authorities and those of ``certifi``.

    The system's store knows a company's own authority (and ``SSL_CERT_FILE``); small container
    images have none.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
