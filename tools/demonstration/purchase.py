"""After the purchase: Stripe's event goes into a real relay and reaches Tracknow unchanged."""

from __future__ import annotations

import json
import os
import queue
import re
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
_LISTENING = re.compile(r"webhook at (http://[^/]+)/stripe/webhook\n")


def report_purchase(steps: Steps, reference: str, work: Path) -> None:
    """Send an event with the reference that the browser took to Stripe through a relay."""
    steps.section("After the purchase", "Stripe's event goes through tracknow-relay to Tracknow")
    tracknow = _Tracknow()
    relay = _Relay(work, tracknow.url)
    session = {"client_reference_id": reference, "amount_total": 1400, "currency": "eur"}
    event = encode(purchase("demo", session, created=int(time.time())))
    try:
        steps.run("the relay starts", relay.start)
        steps.run("rejects a forged event", lambda: relay.rejects(event))
        steps.run("stores the signed event", lambda: relay.accepts(event))
        steps.run("delivers it to Tracknow", lambda: tracknow.received(event, reference))
        steps.run("accepts Stripe's repeat", lambda: relay.accepts(event))
        steps.run("does not deliver it again", tracknow.received_no_more)
    finally:
        relay.stop()
        tracknow.close()


@dataclass
class _Relay:
    """``tracknow-relay serve`` in a process of its own, on its embedded database."""

    work: Path
    destination: str
    url: str = ""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TRACKNOW_")},
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "TRACKNOW_RELAY_DATABASE": f"sqlite:///{self.work / 'relay.sqlite3'}",
            "TRACKNOW_RELAY_DESTINATIONS": self.destination,
            "TRACKNOW_RELAY_ALLOW_INSECURE_DESTINATIONS": "true",
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
        status, answer = self._post(body, sign(body, SECRET))
        if status != 200:
            raise RuntimeError(f"the relay answered {status} {answer}")
        return f"POST /stripe/webhook, {len(body)} bytes → 200"

    def rejects(self, body: bytes) -> str:
        status, answer = self._post(body, sign(body + b" ", SECRET))
        if status != 400:
            raise RuntimeError(f"the relay answered {status} {answer}")
        return "POST /stripe/webhook with another body's signature → 400"

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    def _post(self, body: bytes, signature: str) -> tuple[int, str]:
        headers = {"Content-Type": CONTENT_TYPE, "Stripe-Signature": signature}
        answer = httpx.post(f"{self.url}/stripe/webhook", content=body, headers=headers, timeout=15)
        return answer.status_code, answer.text


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class _Tracknow:
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
        return f"http://127.0.0.1:{self.server.server_address[1]}/stripe/postback"

    def received(self, body: bytes, reference: str) -> str:
        try:
            path, arrived = self.posts.get(timeout=20)
        except queue.Empty:
            raise RuntimeError("nothing reached Tracknow within 20 s") from None
        if arrived != body:
            raise RuntimeError(f"Tracknow received other bytes: {arrived[:200]!r}")
        found = json.loads(arrived)["data"]["object"]["client_reference_id"]
        if found != reference:
            raise RuntimeError(f"Tracknow received the reference {found}")
        return f"POST {path}, the same {len(arrived)} bytes\nclient_reference_id={found}"

    def received_no_more(self) -> str:
        # A second delivery would be due at once.
        try:
            path, _ = self.posts.get(timeout=1)
        except queue.Empty:
            return "one event, one delivery"
        raise RuntimeError(f"Tracknow received a second POST {path}")

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
