"""Real HTTP: the application behind granian, and several processes on one database."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.events import encode, purchase, sign
from tests.relay.calls import PATH, config
from tests.relay.receive.server import ROOT, Server, running, started
from tests.servers import ask, free_port
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import Filter

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.xdist_group("relay-http")

_KILLS = 4


def database(url: str) -> Database:
    """The database behind a server."""
    return Database(url, config(url).destinations)


def stored(url: str) -> list[str]:
    """Ids of the events that are stored."""
    reader = database(url)
    found = [one.id for one in queries.find(reader, Filter(), limit=5000).events]
    reader.close()
    return found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file behind the module's servers."""
    return f"sqlite:///{tmp_path_factory.mktemp('http')}/relay.sqlite3"


@pytest.fixture(scope="module", params=["wsgi", "serve"])
def granian(request: pytest.FixtureRequest, url: str) -> Iterator[Server]:
    """The application as any WSGI server takes it, and as ``tracknow-relay serve`` runs it."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--blocking-threads", "16", "--no-ws", "--http", "1"]
    command += ["tracknow_static.relay:application"]
    if request.param == "serve":
        program = Path(sys.executable).with_name("tracknow-relay")
        command = [str(program), "serve", "--bind", f"127.0.0.1:{port}"]
    with started(command, port, url) as server:
        yield server


def raw(server: Server, request: bytes, *, half: bool = False) -> tuple[int, bytes]:
    """Send bytes as they are and read the answer; ``half`` closes our side first."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=100) as connection:
        # A server may refuse a request before it has read the body, and close; its answer counts.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        if half:
            connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection)
        try:
            answer.begin()
            return answer.status, answer.read()
        except (http.client.HTTPException, ConnectionError):
            return 0, b""


def head(payload: bytes, *lines: str, method: str = "POST", path: str = PATH) -> bytes:
    """The head of a signed request with further header lines."""
    signature = f"Stripe-Signature: {sign(payload)}"
    text = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", signature, *lines, "", ""])
    return text.encode("latin-1")


def test_posted_event_is_stored(granian: Server, url: str) -> None:
    """A signed event is answered with 200 and is in the database by then."""
    assert granian.post("plain") == 200
    assert "evt_plain" in stored(url)


def test_keep_alive_and_answers(granian: Server) -> None:
    """Several calls share a connection, whatever the answers before were.

    The last one asks for a path where nobody reads a body: the server may close after its answer.
    """
    payload = encode(purchase("kept_alive"))
    headers = {"Stripe-Signature": sign(payload)}
    seen = []
    connection = http.client.HTTPConnection("127.0.0.1", granian.port, timeout=100)
    with contextlib.closing(connection):
        connection.connect()
        first = connection.sock
        for method, path, body in (
            ("POST", PATH, payload),
            ("GET", PATH, None),
            ("POST", PATH, payload + b" "),
            ("POST", PATH, payload),
            ("POST", "/nowhere", payload),
        ):
            assert connection.sock is first
            answer = ask(connection, method, path, body, headers)
            seen.append((answer.status, json.loads(answer.body)["code"]))
    assert seen == [
        (200, "stored"),
        (405, "method_not_allowed"),
        (400, "signature_invalid"),
        (200, "stored"),
        (404, "not_found"),
    ]


def test_chunked_body(granian: Server, url: str) -> None:
    """A body in chunks is as good as one with a length."""
    payload = encode(purchase("chunked"))
    parts = [payload[at : at + 100] for at in range(0, len(payload), 100)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in parts) + b"0\r\n\r\n"
    status, _ = raw(granian, head(payload, "Transfer-Encoding: chunked") + chunks)
    assert status == 200
    assert "evt_chunked" in stored(url)


@pytest.mark.parametrize("chunked", [False, True])
def test_large_body_is_refused(granian: Server, chunked: bool) -> None:
    """A body over the limit is 413, announced or in chunks."""
    payload = b" " * (1024 * 1024 + 1)
    if chunked:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(payload), payload)
        request = head(payload, "Transfer-Encoding: chunked") + body
    else:
        request = head(payload, f"Content-Length: {len(payload)}") + payload
    assert raw(granian, request)[0] == 413


def test_lying_lengths(granian: Server) -> None:
    """A length that is too short breaks the signature; one that is too long never stores."""
    payload = encode(purchase("liar"))
    short = head(payload, f"Content-Length: {len(payload) - 5}", "Connection: close")
    assert raw(granian, short + payload)[0] == 400
    long = head(payload, f"Content-Length: {len(payload) + 5}", "Connection: close")
    assert raw(granian, long + payload, half=True)[0] in (0, 400)
    assert granian.post("after_liar") == 200


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: -1",),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Transfer-Encoding: gzip",),
        ("Stripe-Signature: ÿ\x7f",),
        ("Stripe-Signature: " + "v1=0," * 2000,),
    ],
)
def test_odd_requests_do_no_harm(granian: Server, lines: tuple[str, ...]) -> None:
    """Requests at the edge of HTTP are refused or dropped, and the next one is served."""
    status, _ = raw(granian, head(b"", *lines) + b"5\r\nhello\r\n0\r\n\r\n", half=True)
    assert status < 500
    assert status != 200
    assert granian.post("next") == 200


def test_fifty_duplicates_at_once(granian: Server, url: str) -> None:
    """Fifty concurrent copies give one row and fifty 200s."""
    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(lambda _: granian.post("fifty"), range(50))) == [200] * 50
    assert stored(url).count("evt_fifty") == 1
    reader = database(url)
    event_stored = queries.event(reader, "evt_fifty")
    reader.close()
    assert event_stored is not None
    assert len(event_stored.deliveries) == 1


def test_processes_share_a_database(database_url: str) -> None:
    """Three processes that take the same 60 events at the same time store each once."""
    with running(database_url) as one, running(database_url) as two, running(database_url) as three:
        servers = (one, two, three)

        def send(number: int) -> int | None:
            return servers[number % 3].post(number // 3)

        with ThreadPoolExecutor(24) as pool:
            assert list(pool.map(send, range(180))) == [200] * 180
    assert sorted(stored(database_url)) == sorted(f"evt_{number}" for number in range(60))


def test_killed_again_and_again(sqlite_url: str) -> None:
    """SIGKILL under load, over and over: what was answered with 200 is there each time."""
    acknowledged: set[str] = set()
    for round_ in range(_KILLS):
        with running(sqlite_url) as server, ThreadPoolExecutor(12) as pool:
            names = [f"{round_}_{number}" for number in range(60)]
            sent = {name: pool.submit(server.post, name) for name in names}
            while sum(one.done() for one in sent.values()) < 5 + 8 * round_:
                time.sleep(0.002)
            server.process.kill()
            acknowledged |= {f"evt_{name}" for name, one in sent.items() if one.result() == 200}
        assert acknowledged <= set(stored(sqlite_url))
    assert len(acknowledged) >= 5 * _KILLS


def test_application_needs_no_database_to_load(tmp_path: Path) -> None:
    """Loading the application opens no connection; an error in the environment names itself."""
    command = [sys.executable, "-c", "import tracknow_static.relay as r; print(r.application)"]
    environment = {key: value for key, value in os.environ.items() if "TRACKNOW" not in key}
    environment |= {
        "TRACKNOW_NAMESPACE": "acme",
        "STRIPE_WEBHOOK_SECRET": "whsec_1234567890",
        "TRACKNOW_RELAY_DATABASE": "postgresql://nobody@192.0.2.1/none",
    }
    loaded = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "Relay object" in loaded.stdout
    environment["TRACKNOW_RELAY_LIVEMODE"] = "yes"
    refused = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "TRACKNOW_RELAY_LIVEMODE: 'yes' is not accepted." in refused.stderr


def test_application_is_not_the_module_of_its_name(tmp_path: Path) -> None:
    """A server finds the application, also after something has imported the module beside it."""
    script = (
        "import tracknow_static.relay.app, tracknow_static.relay as r;"
        "print(type(r.application).__name__, r.application is r.application)"
    )
    environment = {key: value for key, value in os.environ.items() if "TRACKNOW" not in key}
    environment |= {
        "TRACKNOW_NAMESPACE": "acme",
        "STRIPE_WEBHOOK_SECRET": "whsec_1234567890",
        "TRACKNOW_RELAY_DATABASE": f"sqlite:///{tmp_path}/x",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "Relay True"


def test_the_first_look_at_a_fresh_file_takes_its_turn(tmp_path: Path) -> None:
    """While another process turns a fresh file to write-ahead logging, nobody else connects."""
    url = f"sqlite:///{tmp_path}/relay.sqlite3"
    other, ours = Database(url), database(url)
    opening = threading.Thread(target=ours.open)
    with other.turn():
        opening.start()
        opening.join(0.3)
        assert opening.is_alive()
        assert not (tmp_path / "relay.sqlite3-wal").exists()
    opening.join(100)
    assert queries.status(ours).schema_version
    ours.close()
    other.close()
