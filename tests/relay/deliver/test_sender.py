"""One attempt: what is sent, what comes back, and that it ends in time."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.relay.deliver.parts import BODY, attempt, claimed, network, one_peer
from tests.relay.deliver.stand_in import (
    Action,
    Request,
    StandIn,
    answer,
    dribble,
    flood,
    hang,
    raw,
    reset,
)
from tracknow_static import __version__
from tracknow_static.relay.deliver.sender import LONGEST_BODY, Sender
from tracknow_static.relay.store.model import without_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tracknow_static.relay.deliver.verdict import Response

# -- what is sent


def test_the_stored_bytes_go_out_with_their_headers(destination: StandIn) -> None:
    """Body, content type and signature arrive unchanged; id and version are added."""
    assert attempt(destination.url).status == 200
    (request,) = destination.requests
    assert request.body == BODY
    assert request.target == "/stripe/postback"
    assert request.headers == {
        "host": f"127.0.0.1:{destination.port}",
        "user-agent": f"tracknow-static/{__version__} (relay)",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": str(len(BODY)),
        "tracknow-event-id": "evt_1",
        "content-type": "application/json; charset=utf-8",
        "stripe-signature": "t=1700000000,v1=ab,v0=cd",
    }


def test_headers_that_were_not_there_are_not_made_up(destination: StandIn) -> None:
    """An event without content type or signature goes out without them."""
    sender = Sender(destination.url, network())
    sender.send(claimed(content_type=None, signature=None))
    sender.close()
    assert not {"content-type", "stripe-signature"} & set(destination.requests[0].headers)


@settings(max_examples=60)
@given(payload=st.binary(max_size=5000))
def test_any_bytes_arrive_as_they_are(payload: bytes) -> None:
    """The relay reads nothing into the payload."""
    sent = _shared.send(claimed(payload))
    assert sent.status == 200
    assert _stand_in.requests[-1].body == payload


_stand_in = StandIn()
_shared: Sender


@pytest.fixture(autouse=True, scope="module")
def _shared_stand_in() -> Iterator[None]:
    global _shared  # noqa: PLW0603 - hypothesis takes no function-scoped fixtures
    with _stand_in.running():
        _shared = Sender(_stand_in.url, network())
        yield
        _shared.close()


@given(text=st.text(max_size=50), name=st.sampled_from(["content_type", "signature", "event_id"]))
@settings(max_examples=60)
def test_a_header_carries_no_second_header(text: str, name: str) -> None:
    """Whatever a stored text holds, it adds no header and no request, and raises nothing."""
    before = len(_stand_in.requests)
    got = _shared.send(claimed(BODY, **{name: f"x{text}\r\nEvil: 1"}))
    arrived = _stand_in.requests[before:]
    assert len(arrived) == (1 if got.status else 0)
    assert got.status == 200 or got.error == "unsendable"
    assert all("evil" not in request.headers for request in arrived)


def test_connections_are_used_again(destination: StandIn) -> None:
    """Many events need one connection."""
    sender = Sender(destination.url, network())
    assert [sender.send(claimed()).status for _ in range(20)] == [200] * 20
    sender.close()
    assert destination.connections == 1


def test_a_connection_that_was_closed_meanwhile_costs_no_event(destination: StandIn) -> None:
    """A server that closes its idle connections is met by a new one."""
    destination.decide = lambda _: raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    sender = Sender(destination.url, network())
    statuses = []
    for _ in range(3):
        statuses.append(sender.send(claimed()).status)
        time.sleep(0.05)
    sender.close()
    assert statuses == [200] * 3
    assert destination.connections == 3


def test_no_cookie_is_kept(destination: StandIn) -> None:
    """What one answer sets, no later request carries."""
    destination.decide = lambda _: answer(Set_Cookie="a=b")
    sender = Sender(destination.url, network())
    sender.send(claimed())
    sender.send(claimed())
    sender.close()
    assert all("cookie" not in request.headers for request in destination.requests)


def test_no_proxy_is_taken_from_the_environment(
    destination: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event goes to its destination and nowhere else, whatever HTTP_PROXY holds."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert attempt(destination.url).status == 200


def test_the_usual_port_is_not_named() -> None:
    """`Host` names a port only where it is not the scheme's own."""
    net = network()
    for url, host in [
        ("https://shop.example/x", "shop.example"),
        ("https://shop.example:443/x", "shop.example"),
        ("http://shop.example:443/x", "shop.example:443"),
        ("https://[2606:4700::1]/x", "[2606:4700::1]"),
        ("https://[2606:4700::1]:8443/x", "[2606:4700::1]:8443"),
    ]:
        assert Sender(url, net)._host == host


def test_logs_show_no_query() -> None:
    """A destination's query can hold a token."""
    assert without_query("https://a.example/hook?token=1") == "https://a.example/hook"


# -- what comes back


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(destination: StandIn, status: int) -> None:
    """A redirect is an answer like any other; its target gets nothing."""
    with StandIn().running() as elsewhere:
        destination.decide = lambda _: answer(status, Location=elsewhere.url)
        assert attempt(destination.url).status == status
        assert not elsewhere.requests
    assert len(destination.requests) == 1


def test_the_answers_wish_is_handed_on(destination: StandIn) -> None:
    """Retry-After and Date belong to the answer."""
    destination.decide = lambda _: answer(
        503, Retry_After="7", Date="Fri, 15 Jan 2027 08:00:00 GMT"
    )
    got = attempt(destination.url)
    assert (got.retry_after, got.date) == ("7", "Fri, 15 Jan 2027 08:00:00 GMT")


def test_of_a_huge_answer_little_is_read(destination: StandIn) -> None:
    """An answer of 10 MB counts by its status, and its connection is dropped after 64 KB."""
    destination.decide = lambda _: flood(10 << 20)
    with contextlib.closing(Sender(destination.url, network())) as sender:
        read = _count_reads(sender)
        assert sender.send(claimed()).status == 200
        assert read() <= LONGEST_BODY + 2 * 65536
        destination.decide = lambda _: answer()
        assert sender.send(claimed()).status == 200
    assert destination.connections == 2


def _count_reads(sender: Sender) -> Callable[[], int]:
    """Count the bytes that a sender reads from its sockets."""
    total = 0
    connect = sender._backend.connect_tcp

    def counting(*args: Any, **options: Any) -> Any:
        stream = connect(*args, **options)
        read = stream.read

        def count(*args: Any, **options: Any) -> bytes:
            nonlocal total
            data = read(*args, **options)
            total += len(data)
            return data

        stream.read = count  # type: ignore[method-assign]
        return stream

    sender._backend.connect_tcp = counting  # type: ignore[method-assign]
    return lambda: total


def test_a_body_that_trickles_does_not_unmake_an_acceptance(destination: StandIn) -> None:
    """The status is the verdict; the body is waited for briefly, and not until its end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1200\r\n\r\n"
    ended: list[bool] = []

    async def act(writer: Any) -> None:
        writer.write(head)
        await dribble(b"x" * 1200).run(writer)
        ended.append(True)

    destination.decide = lambda _: Action(act)
    assert attempt(destination.url, network(timeout=200)).status == 200
    assert not ended


def test_a_body_that_breaks_off_does_not_unmake_an_acceptance(destination: StandIn) -> None:
    """A 200 whose body is cut short is an acceptance."""
    destination.decide = lambda _: raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nx")
    assert attempt(destination.url).status == 200


def late(destination: StandIn, seconds: float) -> Response:
    """Make an attempt on a connection that is there, so that the answer alone takes time."""
    decide, destination.decide = destination.decide, lambda _: answer()
    with contextlib.closing(Sender(destination.url, network())) as sender:
        assert sender.send(claimed()).status == 200
        destination.decide = decide
        sender._network = network(timeout=seconds)
        return sender.send(claimed())


def test_a_status_byte_by_byte_runs_out_of_time(destination: StandIn) -> None:
    """The time-out is for the whole attempt: a byte now and then does not lengthen it."""
    destination.decide = lambda _: dribble(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"X: y\r\n" * 25 + b"\r\n", 0.015
    )
    assert late(destination, 0.5).error == "timeout"


def test_endless_interim_answers_run_out_of_time(destination: StandIn) -> None:
    """103s without end are no answer."""
    destination.decide = lambda _: dribble(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9000, every=0.0005)
    assert late(destination, 0.5).error == "timeout"


def test_a_flood_of_interim_answers_is_no_answer(destination: StandIn) -> None:
    """Reading 100s as fast as they come would hold up the webhook until the time-out."""
    flooded = b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000
    destination.decide = lambda _: raw(flooded + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert attempt(destination.url).error == "protocol"


def test_a_destination_that_hangs_runs_out_of_time(destination: StandIn) -> None:
    """Silence ends with the time-out."""
    destination.decide = lambda _: hang()
    got = late(destination, 0.3)
    assert (got.status, got.error) == (None, "timeout")
    assert got.took_ms >= 300


def test_a_destination_that_does_not_read_runs_out_of_time() -> None:
    """Sending is under the time-out, too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sender = Sender(f"http://127.0.0.1:{server.getsockname()[1]}/", network(timeout=0.5))
        assert sender.send(claimed(b"x" * (64 << 20))).error == "timeout"
        sender.close()


def test_an_early_refusal_of_a_long_event_is_read() -> None:
    """A server that answers and hangs up before it has read all is understood."""

    def refuse(peer: socket.socket) -> None:
        peer.recv(1000)
        peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(1 << 20):
            pass

    with one_peer(refuse) as port:
        sender = Sender(f"http://127.0.0.1:{port}/", network())
        assert sender.send(claimed(b"x" * (4 << 20))).status == 413
        sender.close()


@pytest.mark.parametrize(
    "answered",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
    ],
)
def test_what_is_not_http_is_no_answer(destination: StandIn, answered: bytes) -> None:
    """Bytes that are no final HTTP answer are an error with a short code."""
    destination.decide = lambda _: raw(answered)
    got = attempt(destination.url)
    assert not got.status or got.status == 101
    assert got.status or got.error in ("protocol", "reset")


@given(st.binary(max_size=400), st.booleans())
@settings(max_examples=60)
def test_hostile_answers_raise_nothing(data: bytes, with_head: bool) -> None:
    """Whatever bytes come back, an attempt ends with a status or the code of an error."""
    head = b"HTTP/1.1 200 OK\r\n" if with_head else b""
    _stand_in.decide = lambda _: raw(head + data)
    try:
        got = _shared.send(claimed())
    finally:
        _stand_in.decide = lambda _: answer()
    assert (got.status is None) != (got.error is None)


def test_a_reset_is_a_fault(destination: StandIn) -> None:
    """A connection that is torn down brings the code of an error."""
    destination.decide = lambda _: reset()
    assert attempt(destination.url).error in ("reset", "protocol")


def test_nobody_listens() -> None:
    """A refused connection has a code of its own."""
    # Bound, so that nobody else gets the port, and not listening.
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        assert attempt(f"http://127.0.0.1:{server.getsockname()[1]}/").error == "connect"


# -- connections that end while they are used again


def closing_after(destination: StandIn, number: int) -> None:
    """Have every connection close without a word at its next request after this number."""

    def decide(request: Request) -> Action:
        earlier = [past for past in destination.requests if past.connection == request.connection]
        return raw(b"") if len(earlier) >= number else answer()

    destination.decide = decide


def test_a_used_connection_that_closes_unanswered_costs_no_attempt(destination: StandIn) -> None:
    """The event goes out again at once on a fresh connection, within the same attempt."""
    closing_after(destination, 1)
    with contextlib.closing(Sender(destination.url, network())) as sender:
        responses = [sender.send(claimed()) for _ in range(6)]
    assert [response.status for response in responses] == [200] * 6
    assert destination.connections == 6


def test_a_fresh_connection_that_closes_unanswered_is_a_failure(destination: StandIn) -> None:
    """It is no matter of bad luck with an idle connection: one request, one failed attempt."""
    closing_after(destination, 0)
    assert attempt(destination.url).error == "reset"
    assert len(destination.requests) == 1


def test_an_answer_that_breaks_off_is_not_asked_for_again(destination: StandIn) -> None:
    """Once a byte of an answer has come, the destination has read the event."""
    with contextlib.closing(Sender(destination.url, network())) as sender:
        assert sender.send(claimed()).status == 200
        destination.decide = lambda _: raw(b"H")
        assert sender.send(claimed()).error == "protocol"
    assert len(destination.requests) == 2


# -- what a hostile destination can put into the log


@pytest.mark.parametrize(
    "answered",
    [
        b"whsec_planted " * 6000,
        b"HTTP/1.1 200 OK\r\nplanted planted\r\n\r\n",
        b"HTTP/1.1 planted\r\n\r\n",
        b"planted",
    ],
)
def test_nothing_of_an_answer_is_in_the_detail(destination: StandIn, answered: bytes) -> None:
    """The text of an error is ours: short, and without a byte that the destination sent."""
    destination.decide = lambda _: raw(answered)
    got = attempt(destination.url)
    assert (got.error, got.detail) == ("protocol", "the answer is not valid HTTP")
