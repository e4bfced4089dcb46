"""The status page of `tracknow-relay serve`: the same answers as under WSGI, and hostile requests."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.events import encode, purchase
from tests.relay.operate.parts import Running, serving
from tests.relay.operate.test_sales import filled
from tests.relay.status.parts import PASSWORD, authorization

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.xdist_group("relay-status")

# Each with the status that it must have; none may be a failure of the server.
HOSTILE_TARGETS = {
    "/status/sales/%3Cscript%3Ealert(1)%3C/script%3E": 404,
    "/status/sales/..%2f..%2f..%2fetc%2fpasswd": 404,
    "/status/sales/%00": 404,
    "/status/sales/%ff%fe": 404,
    "/status/sales/cs_good%0d%0aSet-Cookie:%20a=b": 404,
    "/status/sales/" + "a" * 5000: 404,
    "/status/sales?verdict=%3Cscript%3E": 400,
    "/status/sales?since=tomorrow": 400,
    "/status/sales?since=99999-01-01": 400,
    "/status/sales?until=0001-01-01": 200,
    "/status/sales?reference=%27%20OR%201=1--": 200,
    "/status/sales?reference=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E": 200,
    "/status/sales?reference=%00": 400,
    "/status/sales?link=x%0d%0aSet-Cookie:%20a=b": 400,
    "/status/sales?reference=" + "a" * 3000: 400,
    "/status/sales?" + "&".join(f"a{number}=1" for number in range(500)): 400,
    "/status/sales?after=nonsense": 400,
    "/status/sales?after=1%20%00": 400,
    "/status/sales?after=" + "9" * 290 + "%20x": 400,
    "/status/sales?after=-1%20cs_1": 200,
    "/status/sales?after=%EF%BC%91%20cs": 400,
    "/status/sales?verdict=waiting&verdict=rejected&after=": 200,
    "/status/refunds?after=1_0%20x": 400,
    "/status/refunds?after=5": 200,
    "/status/sales?%ff=%fe&=&&;": 200,
}


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A relay in a process of its own, with five sales and a status page."""
    folder = tmp_path_factory.mktemp("status")
    environ = filled(f"sqlite:///{folder}/relay.sqlite3")
    with serving({**environ, "TRACKNOW_RELAY_STATUS_PASSWORD": PASSWORD}, folder) as running:
        yield running


def test_pages(relay: Running) -> None:
    """With the password each page is there, without it none."""
    for path in ("/status", "/status/", "/status/sales", "/status/refunds", "/status/sales/cs_bad"):
        status, body = relay.call(path, Authorization=authorization())
        assert (status, b"<h1" in body) == (200, True), path
        assert relay.call(path)[0] == 401
    assert relay.call("/status/nowhere", Authorization=authorization())[0] == 404
    assert relay.call("/status", b"", Authorization=authorization())[0] == 405


@pytest.mark.parametrize("target", HOSTILE_TARGETS, ids=lambda target: target[:60])
def test_hostile_requests(relay: Running, target: str) -> None:
    """Whatever is asked for is found, not found or refused; nothing of it is markup or a header."""
    status, body = relay.call(target, Authorization=authorization())
    assert status == HOSTILE_TARGETS[target]
    assert b"<script" not in body
    assert b"<img" not in body
    assert b"Traceback" not in body


@pytest.mark.parametrize(
    "head",
    [
        b"GET /status HTTP/1.1\r\nAuthorization: Basic \xff\xfe\r\n",
        b"GET /status HTTP/1.1\r\nAuthorization: Basic\r\nAuthorization: Basic\r\n",
        b"GET /status HTTP/1.1\r\nX-Forwarded-For: \xff, <script>\r\n",
        b"GET /status HTTP/1.1\r\nAuthorization: " + b"A" * 20_000 + b"\r\n",
    ],
)
def test_raw_heads(relay: Running, head: bytes) -> None:
    """Bytes that are no text, doubled and long headers: the password is still missing."""
    with socket.create_connection(("127.0.0.1", relay.port), timeout=60) as connection:
        connection.sendall(head + b"Host: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.split(b" ", 2)[1] in (b"401", b"400", b"431")


def test_thousands_of_wrong_tries(relay: Running) -> None:
    """Events are stored all the while; other callers are let in; the guesser is, after its pause."""
    guess = {"Authorization": authorization("wrong"), "X-Forwarded-For": "8.8.8.8"}
    statuses = set()
    with socket.create_connection(("127.0.0.1", relay.port), timeout=60) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in guess.items())
        request = f"GET /status HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()
        file = connection.makefile("rb")
        for number in range(2000):
            connection.sendall(request)
            statuses.add(int(file.readline().split()[1]))
            length = 0
            while (line := file.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            file.read(length)
            if number % 500 == 0:
                assert relay.take(encode(purchase(f"between{number}"))) == 200
    assert statuses == {401, 429}
    assert relay.call("/status", Authorization=authorization())[0] == 200
