"""A real relay between stand-ins of Stripe and Tracknow, for as long as the demo lasts."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.account.stand_in import Stripe, running
from tests.events import CONTENT_TYPE, sign
from tools.engines.fake_web import Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.engines.fake_web import Request

SECRET = "whsec_demo_only_4f1c"  # noqa: S105 - of a relay that lives as long as the demo
PASSWORD = "demo-only-9d27c1"  # noqa: S105
LINK = "plink_1SAMPLEhuila250"
_ADDRESS = "https://buy.stripe.com/SAMPLEhuila250"
_LISTENING = re.compile(r"webhook at (http://[^/]+)/stripe/webhook\n")


@contextlib.contextmanager
def relay_between(work: Path, shop: Path) -> Iterator[tuple[Relay, Tracknow]]:
    """Provide a relay that is not started yet and its destination; both end with the block.

    ``shop`` is the folder of a built site: the relay looks up there why a sale has no click id.
    """
    link = {"id": LINK, "object": "payment_link", "active": True, "livemode": True}
    account = Stripe(mode="live", links=[{**link, "url": _ADDRESS, "currency": "eur"}])
    with running(account) as stripe:
        tracknow = Tracknow()
        relay = Relay(work, tracknow.url, shop, stripe)
        try:
            yield relay, tracknow
        finally:
            relay.stop()
            tracknow.close()


@dataclass
class Relay:
    """``tracknow-relay serve`` in a process of its own, on its embedded database."""

    work: Path
    destination: str
    shop: Path
    stripe: str
    url: str = ""
    process: subprocess.Popen[bytes] | None = None
    # A thread is in the network in which it was started: this one asks for those of the sandbox.
    _outside: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def start(self) -> str:
        """Start it; return what it is once it answers."""
        self._outside.submit(int).result()
        environment = {
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("TRACKNOW_", "STRIPE_"))
            },
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "TRACKNOW_RELAY_DATABASE": f"sqlite:///{self.work / 'relay.sqlite3'}",
            "TRACKNOW_RELAY_DESTINATIONS": self.destination,
            "TRACKNOW_RELAY_ALLOW_INSECURE_DESTINATIONS": "true",
            "TRACKNOW_RELAY_STATUS_PASSWORD": PASSWORD,
            "TRACKNOW_RELAY_SITE": str(self.shop),
            "TRACKNOW_RELAY_BACKFILL": "false",
            "STRIPE_API_KEY": "rk_live_good",
            "TRACKNOW_STRIPE_API_BASE": self.stripe,
        }
        program = str(Path(sys.executable).parent / "tracknow-relay")
        log = self.work / "relay.log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [program, "serve", "--bind", "127.0.0.1:0"],
                env=environment,
                stdout=output,
                stderr=output,
            )
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            if (found := _LISTENING.search(log.read_text(errors="replace"))) and _ready(found[1]):
                self.url = found[1]
                return f"tracknow-relay serve on {self.url}, with SQLite"
            time.sleep(0.05)
        raise RuntimeError(f"it did not start:\n{log.read_text(errors='replace')[-2000:]}")

    def accepts(self, body: bytes) -> str:
        """Post a signed event, which is stored; return the call."""
        status, answer = self._post(body, sign(body, SECRET))
        if status != 200:
            raise RuntimeError(f"the relay answered {status} {answer}")
        return f"POST /stripe/webhook, {len(body)} bytes → 200"

    def rejects(self, body: bytes) -> str:
        """Post an event with a wrong signature, which is refused; return the call."""
        status, answer = self._post(body, sign(body + b" ", SECRET))
        if status != 400:
            raise RuntimeError(f"the relay answered {status} {answer}")
        return "POST /stripe/webhook with another body's signature → 400"

    def answer(self, request: Request) -> Response:
        """Answer a request of the fake web, as a proxy in front of the relay does."""
        wanted = ("authorization", "accept")
        headers = {name: value for name, value in request.headers.items() if name in wanted}
        url = f"{self.url}{request.target}"
        asked = self._outside.submit(
            httpx.request, request.method, url, headers=headers, timeout=60
        )
        found = asked.result()
        fields = {
            name: value
            for name, value in found.headers.items()
            if name not in ("content-type", "content-length", "date", "server")
        }
        kind = found.headers.get("content-type", "")
        return Response(found.content, kind, found.status_code, fields)

    def stop(self) -> None:
        """End it."""
        self._outside.shutdown()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)

    def _post(self, body: bytes, signature: str) -> tuple[int, str]:
        headers = {"Content-Type": CONTENT_TYPE, "Stripe-Signature": signature}
        answer = httpx.post(f"{self.url}/stripe/webhook", content=body, headers=headers, timeout=60)
        return answer.status_code, answer.text


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class Tracknow:
    """A stand-in for Tracknow's postback endpoint; keeps what it receives."""

    posts: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posts.put((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                """Log nothing: the terminal belongs to the steps."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it receives."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/stripe/postback"

    def received(self, body: bytes, reference: str) -> str:
        """Wait for a post of these bytes; return what it was."""
        try:
            path, arrived = self.posts.get(timeout=60)
        except queue.Empty:
            raise RuntimeError("nothing reached Tracknow within 60 s") from None
        if arrived != body:
            raise RuntimeError(f"Tracknow received other bytes: {arrived[:200]!r}")
        found = json.loads(arrived)["data"]["object"]["client_reference_id"]
        if found != reference:
            raise RuntimeError(f"Tracknow received the reference {found}")
        return f"POST {path}, the same {len(arrived)} bytes\nclient_reference_id={found}"

    def received_no_more(self) -> str:
        """Make sure that no further post comes."""
        # A second delivery would be due at once.
        try:
            path, _ = self.posts.get(timeout=1)
        except queue.Empty:
            return "one event, one delivery"
        raise RuntimeError(f"Tracknow received a second POST {path}")

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()
