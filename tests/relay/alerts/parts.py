"""A notification service on this machine, and the configuration that sends to it."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from tests.relay.store.parts import A, B
from tests.servers import Arrivals, serving
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.operate.conditions import Condition

if TYPE_CHECKING:
    from collections.abc import Iterator


class Service(Arrivals):
    """Takes Apprise's JSON: ``/ok`` accepts, ``/bad`` answers 500, ``/hang`` does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.ended = threading.Event()
        self.port = 0

    @property
    def titles(self) -> list[str]:
        """The titles of the messages that were accepted, in order."""
        with self.arrived:
            return [body["title"] for path, body in self.messages if path.startswith("/ok")]

    def url(self, path: str = "/ok") -> str:
        """Return an Apprise URL."""
        return f"json://user:planted-password@127.0.0.1:{self.port}{path}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Service]:
        """Serve until the block ends."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with service.arrived:
                    service.messages.append((self.path, body))
                    service.arrived.notify_all()
                if self.path.startswith("/hang"):
                    service.ended.wait()
                with contextlib.suppress(OSError):
                    self.send_response(500 if self.path.startswith("/bad") else 200)
                    self.end_headers()

            def log_message(self, *_args: object) -> None:
                """Print nothing."""

        with serving(Handler) as self.port:
            try:
                yield self
            finally:
                self.ended.set()


def config(*urls: str, **more: Any) -> RelayConfig:
    """Return the configuration of a relay with alerts."""
    return RelayConfig(destinations=(A, B), min_free_mb=0, alerts=urls, **more)


def condition(code: str = "disk-low", about: str = "", **more: Any) -> Condition:
    """Return a condition that needs attention."""
    values: dict[str, Any] = {"text": f"{code} it is", "command": "help", "stalls": True, **more}
    return Condition(code, about, **values)
