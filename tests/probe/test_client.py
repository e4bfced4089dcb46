"""Requests of the probe: bounded in size and time, whatever the host answers."""

from __future__ import annotations

import contextlib
import gzip
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, ClassVar

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from tests.servers import free_port, serving
from tracknow_static.probe.client import (
    BODY_LIMIT,
    MOST_HOPS,
    PAYMENT_PAGE,
    USER_AGENT,
    Client,
    decoded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    reply: ClassVar[Callable[[BaseHTTPRequestHandler], None]]

    def do_GET(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            type(self).reply(self)

    def log_message(self, *_arguments: object) -> None:
        """Stay silent."""


@contextlib.contextmanager
def host(reply: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A host that answers every request by ``reply``; yields its address and port."""
    handler = type("Handler", (_Handler,), {"reply": staticmethod(reply)})
    with serving(handler) as port:
        yield f"127.0.0.1:{port}"


def answer(
    status: int = 200, body: bytes = b"", **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    """A reply that is always the same."""

    def reply(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return reply


_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "": bytes,
}


@pytest.mark.parametrize("encoding", _COMPRESS)
def test_a_body_is_bounded_whatever_it_expands_to(encoding: str) -> None:
    """The beginning is kept, which has the script."""
    raw = _COMPRESS[encoding](b"a" * (10 * BODY_LIMIT))
    assert decoded(raw, encoding) == b"a" * BODY_LIMIT


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "x-secret"])
def test_a_body_that_is_not_what_it_says(encoding: str) -> None:
    """The problem is named in place of a traceback."""
    with (
        host(answer(200, b"<html>", Content_Encoding=encoding)) as place,
        Client(seconds=100) as client,
    ):
        got = client.get(f"http://{place}/")
    assert got.status == 0
    assert encoding in got.problem


def test_redirects_end() -> None:
    """A circle is followed as long as a browser's patience, and named."""
    with host(answer(302, Location="/again")) as place, Client(seconds=100) as client:
        got = client.get(f"http://{place}/")
    assert got.problem == f"more than {MOST_HOPS} redirects"
    assert len(got.hops) == MOST_HOPS + 1


def test_a_kept_connection_that_the_host_closes() -> None:
    """A request on a connection that is gone is sent again, as a browser does."""
    with host(answer(200, b"page")) as place, Client(seconds=100) as client:
        for _ in range(20):
            assert client.get(f"http://{place}/").body == b"page"


def test_a_redirect_to_another_scheme_is_not_followed() -> None:
    """No file is read and no mail program is opened."""
    with host(answer(302, Location="file:///etc/passwd")) as place, Client(seconds=100) as client:
        got = client.get(f"http://{place}/")
    assert got.problem == "a redirect to another scheme"
    assert got.body == b""


def test_no_payment_page_is_asked_for() -> None:
    """The redirect to it is shown, and ends there."""
    asked: list[str] = []
    pay = "http://buy.stripe.com/abc"
    note = answer(302, Location=pay)

    def noting(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.headers["Host"])
        note(handler)

    with (
        host(noting) as place,
        Client(seconds=100, resolve={"shop.example": place, "buy.stripe.com": place}) as client,
    ):
        got = client.get("http://shop.example/pay")
    assert got.problem == PAYMENT_PAGE
    assert [hop.to for hop in got.hops] == [pay]
    assert asked == ["shop.example"]


@pytest.mark.parametrize("begins", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_a_host_that_never_ends_its_answer(begins: bytes) -> None:
    """The whole probe has one limit, in a body and in headers; what was not asked in time says so."""

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(begins)
        while True:
            request.wfile.write(b"A: b\r\n")
            time.sleep(0.05)

    for seconds in (1, 10, 60):  # a busy machine may not have asked before the time is over
        with host(drip) as place, Client(seconds=seconds) as client:
            problem = client.get(f"http://{place}/").problem
            assert client.is_over
            assert client.get(f"http://{place}/").problem == "the time is over"
        if problem != "the time is over":
            break
    assert problem == "no answer in time"


def test_who_asks_is_said_and_another_address_can_be_dialed() -> None:
    """The User-Agent is honest; --resolve keeps the host's name in the request."""
    asked: list[tuple[str, str]] = []

    def note(request: BaseHTTPRequestHandler) -> None:
        asked.append((request.headers["Host"], request.headers["User-Agent"]))
        answer(204)(request)

    with host(note) as place, Client(seconds=100, resolve={"shop.example": place}) as client:
        assert client.get("http://shop.example/a").status == 204
    assert asked == [("shop.example", USER_AGENT)]


def test_nobody_listens() -> None:
    """A refused connection is a problem with the system's words."""
    with Client(seconds=100) as client:
        assert "refused" in client.get(f"http://127.0.0.1:{free_port()}/").problem.lower()


def test_a_redirect_to_no_address() -> None:
    """It is named; a bracket that is never closed ended the command in a traceback."""
    with host(answer(302, Location="https://[x/")) as place, Client(seconds=100) as client:
        got = client.get(f"http://{place}/")
    assert got.problem == "a redirect to 'https://[x/', which is no address"


def test_a_page_without_a_type_is_a_page() -> None:
    """A browser looks into it, too."""
    with host(answer(200, b"<!doctype html><p>")) as place, Client(seconds=100) as client:
        assert client.get(f"http://{place}/").is_page
    with host(answer(200, b"plain")) as place, Client(seconds=100) as client:
        assert not client.get(f"http://{place}/").is_page


def test_each_request_is_a_first_visit() -> None:
    """No cookie is sent back: an edge file for the first click would set none then."""
    asked: list[str | None] = []

    def note(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.headers["Cookie"])
        answer(200, b"page", Set_Cookie="tn_click_id=\xff; Path=/")(request)

    with host(note) as place, Client(seconds=100) as client:
        bodies = [client.get(f"http://{place}/").body for _ in range(2)]
    assert bodies == [b"page", b"page"]
    assert asked == [None, None]
