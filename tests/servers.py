"""Servers that tests start, and calls to them."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

# The kernel gives ports from 32768 up to outgoing connections and to whoever asks for any port
# (net.ipv4.ip_local_port_range); one of those may be gone before a server can listen on it.
# Each of the processes that test at the same time has a part of those below to itself.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = 16_000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_FIRST_PORT = 16_000 + _WORKER * _PORTS
_NUMBERS = itertools.count(os.getpid() * 211)
_START_SECONDS = 100  # below the time-out of a test, so that the log is shown


def free_port() -> int:
    """Return a loopback port that nothing listens on and that the kernel gives to nobody else."""
    for number in itertools.islice(_NUMBERS, _PORTS):
        port = _FIRST_PORT + number % _PORTS
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


@dataclass
class Arrivals:
    """What arrives at a stand-in server; it notifies ``arrived``."""

    arrived: threading.Condition = field(default_factory=threading.Condition, kw_only=True)

    def wait_for(self, what: Callable[[], bool], seconds: float = 200.0) -> bool:
        """Wait until something is true that what arrives brings about."""
        until = time.monotonic() + seconds
        with self.arrived:
            while not what():
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self.arrived.wait(min(left, 0.1))
            return True


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Serve on loopback in threads of this process until the block ends; provide the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def ended(process: subprocess.Popen[Any], seconds: float = 30) -> Iterator[None]:
    """Stop a process when the block ends; kill it if it does not stop in time."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    port: int,
    log: Path,
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it listens when the block begins.

    Its folder is ``cwd``, by default the log's.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=cwd or log.parent, env=env)
    with ended(process):
        wait_until_listens(port, process, log)
        yield process


def wait_until_listens(port: int, process: subprocess.Popen[Any], log: Path) -> None:
    """Return when a process listens; raise ``AssertionError`` with its log if it does not."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} did not start:\n{log.read_text(errors='replace')}")


class Response(NamedTuple):
    """What a server answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make a request and return its response.

    A server may answer a request that it refuses before it has read the body, and close the
    connection (RFC 9112, section 9.6): the body may not get through, the response counts.
    """
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    return Response(response.status, response.headers, response.read())


def call(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make a request on a connection of its own, which is closed afterwards."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        return ask(connection, method, path, body, headers)
