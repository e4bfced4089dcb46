"""A destination that behaves as a test wants: accepts, refuses, hangs, dribbles, resets, floods."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.servers import Arrivals

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Iterator


@dataclass(frozen=True)
class Request:
    """What arrived; header names in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float

    @property
    def event(self) -> str:
        """The id of the event."""
        return self.headers["tracknow-event-id"]


@dataclass(frozen=True)
class Action:
    """What a destination does with a request; ``status`` if it answers at once."""

    run: Callable[[asyncio.StreamWriter], Awaitable[None]]
    status: int = 0


def answer(status: int = 200, body: bytes = b"ok", **headers: str) -> Action:
    """Answer at once; underscores in header names mean hyphens."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(whole)
        await writer.drain()

    return Action(act, status)


def raw(whole: bytes) -> Action:
    """Send these bytes and close."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(whole)
        await writer.drain()
        writer.close()

    return Action(act)


def hang(seconds: float = 300.0) -> Action:
    """Answer nothing."""

    async def act(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.close()

    return Action(act)


def dribble(whole: bytes, every: float = 0.05) -> Action:
    """Send byte by byte."""

    async def act(writer: asyncio.StreamWriter) -> None:
        for number in range(len(whole)):
            writer.write(whole[number : number + 1])
            await writer.drain()
            await asyncio.sleep(every)
        writer.close()

    return Action(act)


def slowly(seconds: float) -> Action:
    """Answer after a while."""
    then = answer()

    async def act(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await then.run(writer)

    return Action(act, then.status)


def later(decide: Callable[[Request], Action], request: Request) -> Action:
    """Decide in another thread, so that the destination goes on serving meanwhile."""

    async def act(writer: asyncio.StreamWriter) -> None:
        action = await asyncio.get_running_loop().run_in_executor(None, decide, request)
        await action.run(writer)

    return Action(act)


def reset() -> Action:
    """Reset the connection."""

    async def act(writer: asyncio.StreamWriter) -> None:
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return Action(act)


def flood(size: int) -> Action:
    """Answer with a body of this size in bytes."""

    async def act(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // 65536):
            writer.write(b"x" * 65536)
            await writer.drain()

    return Action(act)


@dataclass
class StandIn(Arrivals):
    """An HTTP server in a thread; ``decide`` gives the action for each request."""

    decide: Callable[[Request], Action] = field(default=lambda _request: answer())
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    accepted: list[Request] = field(default_factory=list)
    connections: int = 0
    answered: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        """The destination's URL."""
        scheme = "https" if self.tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}/stripe/postback"

    @property
    def counts(self) -> Counter[str]:
        """How often each event arrived."""
        with self.arrived:
            return Counter(request.event for request in self.requests)

    @contextlib.contextmanager
    def running(self, port: int = 0) -> Iterator[StandIn]:
        """Serve while the block runs."""
        ready = threading.Event()
        loop = asyncio.new_event_loop()
        writers: list[asyncio.StreamWriter] = []

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            tasks.add(loop.create_task(self._serve(reader, writer)))

        tasks: set[asyncio.Task[None]] = set()

        async def main() -> None:
            server = await asyncio.start_server(
                connected, "127.0.0.1", port, ssl=self.tls, limit=4 << 20
            )
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            try:
                await asyncio.Event().wait()
            finally:
                # A server that closes between an accept and its transport loses the socket:
                # github.com/python/cpython/issues/109564.
                for _ in range(5):
                    await asyncio.sleep(0)
                server.close()

        def run() -> None:
            asyncio.set_event_loop(loop)
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)
            pending = asyncio.all_tasks(loop)
            for one in pending:
                one.cancel()
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
            # Also one whose task was cancelled before it began, or that still has bytes to send.
            for writer in writers:
                writer.transport.abort()
            loop.run_until_complete(asyncio.sleep(0.01))
            loop.close()

        task = loop.create_task(main())
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert ready.wait(100)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(task.cancel)
            thread.join(100)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {}
                for line in filter(None, lines):
                    name, _, value = line.partition(": ")
                    headers[name.lower()] = value
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Request(first.split(" ")[1], headers, body, number, time.time())
                action = self.decide(request)
                with self.arrived:
                    self.requests.append(request)
                    if 200 <= action.status < 300:
                        self.accepted.append(request)
                    self.arrived.notify_all()
                await action.run(writer)
                self.answered += 1
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()
