"""Where an attempt goes: addresses, names, TLS, and what is refused."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any
from unittest import mock

import httpcore
import pytest
import trustme

from tests.relay.deliver.parts import attempt, claimed, network, one_peer, to
from tests.relay.deliver.stand_in import StandIn
from tracknow_static.relay.deliver.network import Network, NetworkError, Resolver
from tracknow_static.relay.deliver.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Iterator

# -- where it goes


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "169.254.169.254"],
)
def test_private_addresses_are_refused(destination: StandIn, host: str) -> None:
    """Nothing is sent to an address that is not public unless it is permitted."""
    got = attempt(f"http://{host}:{destination.port}/", network(private=False))
    assert got.error in ("address_refused", "dns")
    assert not destination.requests
    assert destination.connections == 0


@contextlib.contextmanager
def here_alone() -> Iterator[None]:
    """Let nothing leave this machine: another address does not answer in time."""
    connect = httpcore.SyncBackend.connect_tcp

    def guarded(self: httpcore.SyncBackend, host: str, *rest: Any, **options: Any) -> Any:
        if not host.startswith("127."):
            raise httpcore.ConnectTimeout
        return connect(self, host, *rest, **options)

    with mock.patch.object(httpcore.SyncBackend, "connect_tcp", guarded):
        yield


def test_a_name_that_changes_its_address_gains_nothing(destination: StandIn) -> None:
    """The address that is judged is the one that is connected to: DNS rebinding is refused."""
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])
    asked: list[str] = []

    def lookup(host: str, port: int, **_rest: Any) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", (one, port)) for one in next(answers)]

    net = network(private=False, lookup=lookup)
    sender = Sender(f"http://shop.example:{destination.port}/", net)
    with here_alone(), contextlib.closing(sender):
        # The first look-up passes, and the connection goes to 8.8.8.8 without a second look-up …
        assert sender.send(claimed()).error == "connect_timeout"
        assert asked == ["shop.example"]
        # … and the next connection is judged anew.
        assert sender.send(claimed()).error == "address_refused"
    assert destination.connections == 0


def test_of_several_addresses_only_public_ones_are_used(destination: StandIn) -> None:
    """A private address beside public ones is passed over."""
    net = network(private=False, lookup=to("127.0.0.1", "192.0.2.1", "::1"))
    assert attempt(f"http://shop.example:{destination.port}/", net).error == "address_refused"
    assert destination.connections == 0


def test_a_dead_address_leaves_time_for_the_next(destination: StandIn) -> None:
    """The connect time-out is shared by a name's addresses."""
    # 127.0.0.2 has no listener on that port; the second address has.
    net = network(lookup=to("127.0.0.2", "127.0.0.1"))
    assert attempt(f"http://shop.example:{destination.port}/", net).status == 200


def test_a_name_server_that_hangs_runs_out_of_time() -> None:
    """Looking up is under the connect time-out, and hanging look-ups of one name share a thread."""
    begun, free = threading.Event(), threading.Event()
    asked: list[str] = []

    def lookup(host: str, port: int, **_rest: Any) -> list[Any]:
        asked.append(host)
        begun.set()
        free.wait(200)
        return []

    net = network(connect_timeout=0.1, lookup=lookup)
    errors = [attempt("http://shop.example/", net).error for _ in range(3)]
    assert begun.wait(100)
    free.set()
    assert errors == ["dns_timeout"] * 3
    assert asked == ["shop.example"]


def test_who_asks_after_an_answer_asks_anew() -> None:
    """No look-up that has ended is shared: its address may be another one by now."""
    numbers = itertools.count()
    resolver = Resolver(lambda _host, port, **_rest: [(0, 0, 0, "", (str(next(numbers)), port))])
    found = [resolver.resolve("shop.example", 80, 60) for _ in range(2000)]
    assert found == [[str(number)] for number in range(2000)]


def test_an_unknown_name_is_a_fault() -> None:
    """A name that does not exist has a code of its own."""

    def lookup(*_args: Any, **_rest: Any) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    assert attempt("http://shop.example/", network(lookup=lookup)).error == "dns"
    with pytest.raises(NetworkError, match="no address"):
        Resolver(to()).resolve("shop.example", 80, 1)


# -- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a certificate authority of the test's own."""
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA) -> ssl.SSLContext:
    """Trust that authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[StandIn]:
    """Provide a destination with a certificate for a Tracknow namespace."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop-tracking.tracknow.info").configure_cert(context)
    names: list[str] = []
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    stand_in = StandIn(tls=context)
    stand_in.names = names  # type: ignore[attr-defined]
    with stand_in.running():
        yield stand_in


def test_tls_is_spoken_with_the_name_although_the_address_is_dialled(
    secure: StandIn, trusted: ssl.SSLContext
) -> None:
    """SNI, certificate and Host are those of the destination's name."""
    net = network(lookup=to("127.0.0.1"), tls=trusted)
    url = f"https://shop-tracking.tracknow.info:{secure.port}/stripe/postback"
    assert attempt(url, net).status == 200
    assert secure.names == ["shop-tracking.tracknow.info"]  # type: ignore[attr-defined]
    host = f"shop-tracking.tracknow.info:{secure.port}"
    assert secure.requests[0].headers["host"] == host


@pytest.mark.parametrize("name", ["elsewhere.example", "127.0.0.1"])
def test_a_certificate_for_another_name_is_refused(
    secure: StandIn, trusted: ssl.SSLContext, name: str
) -> None:
    """No event goes to a server that cannot show the destination's certificate."""
    net = network(lookup=to("127.0.0.1"), tls=trusted)
    assert attempt(f"https://{name}:{secure.port}/", net).error == "tls"
    assert not secure.requests


def test_a_certificate_of_an_unknown_authority_is_refused(secure: StandIn) -> None:
    """The real trust store does not know the test's authority."""
    made = Network.make(private=True, connect_timeout=2, timeout=5)
    net = network(lookup=to("127.0.0.1"), tls=made.tls)
    url = f"https://shop-tracking.tracknow.info:{secure.port}/"
    assert attempt(url, net).error == "tls"
    assert not secure.requests


def test_a_handshake_that_hangs_runs_out_of_time() -> None:
    """TLS counts as connecting."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        assert attempt(url, network(connect_timeout=0.2)).error == "connect_timeout"


def test_plain_http_on_a_tls_port_is_a_fault() -> None:
    """A server that answers a handshake in plain text gets no event."""

    def talk(peer: socket.socket) -> None:
        peer.recv(5000)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with one_peer(talk) as port:
        assert attempt(f"https://127.0.0.1:{port}/").error == "tls"


def test_reaching_sends_nothing(
    destination: StandIn, secure: StandIn, trusted: ssl.SSLContext
) -> None:
    """A look whether a destination can be reached makes no request."""
    net = network(lookup=to("127.0.0.1"), tls=trusted)
    url = f"https://shop-tracking.tracknow.info:{secure.port}/"
    assert Sender(url, net).reach().error is None
    assert Sender(destination.url, net).reach().error is None
    assert Sender(destination.url, network(private=False)).reach().error == "address_refused"
    assert Sender(f"https://wrong.example:{secure.port}/", net).reach().error == "tls"
    assert not destination.requests
    assert not secure.requests
