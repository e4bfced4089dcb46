"""After the purchase: Stripe's event goes into a real relay, and comes out at Tracknow unchanged."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.events import CONTENT_TYPE, encode, purchase, sign

if TYPE_CHECKING:
    from tools.demonstration.steps import Steps

SECRET = "whsec_demo_only_4f1c"  # noqa: S105 - of a relay that lives as long as the demo


def tell_purchase(steps: Steps, reference: str, work: Path) -> None:
    """Send an event whose reference is the one that the browser took to Stripe."""
    steps.section("After the purchase", "Stripe's event through tracknow-relay to Tracknow")
    tracknow = _Tracknow()
    relay = _Relay(work, tracknow.url)
    session = {"client_reference_id": reference, "amount_total": 1400, "currency": "eur"}
    event = encode(purchase("demo", session, created=int(time.time())))
    try:
        steps.run("the relay starts", relay.start)
        steps.run("a forged event", lambda: relay.refuses(event))
        steps.run("the signed event", lambda: relay.accepts(event))
        steps.run("reaches Tracknow", lambda: tracknow.got(event, reference))
        steps.run("sent by Stripe a second time", lambda: relay.accepts(event))
        steps.run("still one delivery", tracknow.got_no_more)
    finally:
        relay.stop()
        tracknow.close()


@dataclass
class _Relay:
    """``tracknow-relay serve`` in a process of its own, on its embedded database."""

    work: Path
    destination: str
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        self.port = _free_port()
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TRACKNOW_")},
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "TRACKNOW_RELAY_DATABASE": f"sqlite:///{self.work / 'relay.sqlite3'}",
            "TRACKNOW_RELAY_DESTINATIONS": self.destination,
            "TRACKNOW_RELAY_ALLOW_INSECURE_DESTINATIONS": "true",
        }
        log = (self.work / "relay.log").open("wb")
        with log:
            self.process = subprocess.Popen(
                [
                    str(Path(sys.executable).parent / "tracknow-relay"),
                    *("serve", "--bind", f"127.0.0.1:{self.port}"),
                ],
                env=environment,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            if self._ready():
                return f"tracknow-relay serve on {self._url}, SQLite"
            time.sleep(0.05)
        said = (self.work / "relay.log").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"the relay did not get ready:\n{said[-2000:]}")

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self._url}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def accepts(self, body: bytes) -> str:
        status, answer = self._post(body, sign(body, SECRET))
        if status != 200:
            raise RuntimeError(f"the relay answered {status} {answer}")
        return f"POST /stripe/webhook, {len(body)} bytes → 200, stored durably"

    def refuses(self, body: bytes) -> str:
        status, answer = self._post(body, sign(body + b" ", SECRET))
        if status != 400:
            raise RuntimeError(f"the relay answered {status} {answer}")
        return "POST /stripe/webhook with another body's signature → 400"

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _post(self, body: bytes, signature: str) -> tuple[int, str]:
        headers = {"Content-Type": CONTENT_TYPE, "Stripe-Signature": signature}
        answer = httpx.post(
            f"{self._url}/stripe/webhook", content=body, headers=headers, timeout=15
        )
        return answer.status_code, answer.text


@dataclass
class _Tracknow:
    """A stand-in for Tracknow's postback endpoint that keeps what it gets."""

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
                """Say nothing: the terminal belongs to the steps."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/stripe/postback"

    def got(self, body: bytes, reference: str) -> str:
        path, came = self.posts.get(timeout=20)
        if came != body:
            raise RuntimeError(f"Tracknow got other bytes: {came[:200]!r}")
        held = json.loads(came)["data"]["object"]["client_reference_id"]
        if held != reference:
            raise RuntimeError(f"Tracknow got the reference {held}")
        return f"POST {path}, the same {len(came)} bytes\nclient_reference_id={held}"

    def got_no_more(self) -> str:
        # A repeat would be due at once: a second is long.
        try:
            path, _ = self.posts.get(timeout=1)
        except queue.Empty:
            return "one event, one delivery"
        raise RuntimeError(f"Tracknow got a second POST {path}")

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
