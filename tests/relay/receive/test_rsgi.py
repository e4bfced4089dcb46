"""What `serve` does with callers that are slow, many, or gone."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import select
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.events import encode, purchase, sign
from tests.relay.calls import PATH, code, post, relay
from tests.relay.receive.server import Server, started
from tests.servers import call, free_port
from tracknow_static.relay import crash_points
from tracknow_static.relay.store import leases, queries
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.group_commit import Writer
from tracknow_static.relay.store.model import Accepted, Filter, NewEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.xdist_group("relay-http")


@contextlib.contextmanager
def serving(url: str, seconds: float, **more: str) -> Iterator[Server]:
    """A server that waits some seconds for a body."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "rsgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--no-ws", "--http", "1", "--loop", "asyncio"]
    command += ["tests.relay.receive.impatient:application"]
    with started(command, port, url, BODY_SECONDS=str(seconds), **more) as server:
        yield server


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits half a second for a body."""
    with serving(f"sqlite:///{tmp_path_factory.mktemp('rsgi')}/relay.sqlite3", 0.5) as server:
        yield server


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that waits for longer than a busy machine needs to send it."""
    with serving(f"sqlite:///{tmp_path_factory.mktemp('rsgi')}/relay.sqlite3", 300) as server:
        yield server


@contextlib.contextmanager
def begun(server: Server, length: int | None, sent: bytes) -> Iterator[socket.socket]:
    """A request whose body has begun, by length or in chunks."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=100) as connection:
        kind = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nStripe-Signature: t=1,v1=0\r\n{kind}\r\n\r\n"
        connection.sendall(head.encode() + sent)
        yield connection


def reply(connection: socket.socket) -> tuple[int, str]:
    """Status and code of the answer; the connection must then be closed by the server."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    found = answer.status, json.loads(answer.read())["code"]
    assert connection.recv(1) == b""
    return found


@pytest.mark.parametrize(
    ("length", "sent"), [(10, b"abc"), (200_000, b"abc"), (None, b"3\r\nabc\r\n"), (10, b"")]
)
def test_a_body_that_does_not_come(impatient: Server, length: int | None, sent: bytes) -> None:
    """Whoever does not send its body gets an answer and is let go."""
    with begun(impatient, length, sent) as connection:
        assert reply(connection) == (408, "body_timeout")


def test_a_body_that_dribbles(impatient: Server) -> None:
    """The bound is for the whole body: a byte now and then buys no time."""
    with begun(impatient, 200_000, b"") as connection:
        connection.settimeout(0.1)
        answer, until = b"", time.monotonic() + 100
        while not answer and time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                connection.sendall(b"x")
                answer = connection.recv(12)
        assert answer, "never answered"


def test_slow_callers_hold_up_nobody(impatient: Server) -> None:
    """Two hundred callers that send nothing more do not keep an event from being stored."""
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(begun(impatient, 10, b"abc"))
        assert impatient.post("between") == 200


def test_few_large_bodies_at_once(patient: Server) -> None:
    """Beyond the room for large bodies a caller is sent away; small ones are not."""
    with contextlib.ExitStack() as stack:
        large = [stack.enter_context(begun(patient, 200_000, b"x")) for _ in range(3)]
        assert patient.post("small") == 200
        # Whichever the server saw last is sent away, and the others are waited for.
        (refused,), _, _ = select.select(large, [], [], 100)
        assert reply(refused) == (503, "busy")
        assert select.select([one for one in large if one is not refused], [], [], 0)[0] == []
    # With those who left there is room again.
    deadline = time.monotonic() + 100
    payload = encode(purchase("large"))[:-1] + b" " * 100_000 + b"}"
    while patient.send(payload, sign(payload)) != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(("length", "sent"), [(10, b"abc"), (200_000, b"abc")])
def test_a_caller_that_hangs_up(patient: Server, length: int, sent: bytes) -> None:
    """A body that ends early is refused, and the next call is served."""
    with begun(patient, length, sent) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert reply(connection) == (400, "body_incomplete")
    with begun(patient, length, sent):
        pass
    assert patient.post("after") == 200


def test_pages(impatient: Server) -> None:
    """The pages for those who watch answer GET and HEAD, and nothing else."""
    found = []
    for method, path in (
        ("GET", "/healthz"),
        ("HEAD", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("POST", "/metrics"),
    ):
        answer = call(impatient.port, method, path)
        length = int(answer.headers["Content-Length"])
        found.append((answer.status, bool(answer.body), length > 0))
    assert found == [
        (200, True, True),
        (200, False, True),
        (200, True, True),
        (200, True, True),
        (405, True, True),
    ]


@pytest.mark.parametrize("point", [one for one in crash_points.ALL if one.startswith("ingest.")])
def test_killed_at_every_ingest_point(sqlite_url: str, point: str) -> None:
    """A worker killed at any point has acknowledged nothing; Stripe's retry makes the event whole."""
    with serving(sqlite_url, 300, **{crash_points.VARIABLE: point}) as server:
        assert server.post("killed") is None
    again = relay(sqlite_url)
    assert code(post(again, purchase("killed")))[0] == 200
    again.stop(100)
    database = Database(sqlite_url, ["https://acme-tracking.tracknow.info/stripe/postback"])
    assert [one.id for one in queries.find(database, Filter()).events] == ["evt_killed"]
    assert len(leases.claim(database, limit=9, lease_seconds=60)) == 1
    database.close()


def test_a_commit_that_hangs() -> None:
    """While the disk hangs each caller is asked to come again, and the loop goes on."""
    store = Held()
    writer = Writer(store, timeout=0.3)

    async def two() -> list[BaseException | object]:
        waiting = [writer.submit_async(NewEvent(f"evt_{one}", "x", b"{}")) for one in range(2)]
        return await asyncio.gather(*waiting, return_exceptions=True)

    found = asyncio.run(two())
    assert [getattr(one, "code", one) for one in found] == ["timeout", "timeout"]
    writer._timeout = 100
    store.gate.set()
    accepted = asyncio.run(writer.submit_async(NewEvent("evt_3", "x", b"{}")))
    assert accepted.id == "evt_3"
    writer.stop()


class Held:
    """Stores nothing until its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def __call__(self, events: Sequence[NewEvent]) -> list[Accepted]:
        self.gate.wait(300)
        return [Accepted(one.id, new=True) for one in events]
