"""Events, signatures and calls that the relay's core tests share."""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any
from wsgiref.validate import validator

from tests.events import SECRET, encode, sign
from tracknow_static.relay.app import Parts, Relay
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.receive.response import Response
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.ingest import Ingest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.relay.store.model import NewEvent

DESTINATION = "https://acme-tracking.tracknow.info/stripe/postback"
PATH = "/stripe/webhook"


def config(url: str, **more: str) -> RelayConfig:
    """The configuration of a merchant who set what must be set, and ``more``."""
    environ = {
        "TRACKNOW_NAMESPACE": "acme",
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "TRACKNOW_RELAY_DATABASE": url,
        "TRACKNOW_RELAY_MIN_FREE_MB": "0",
        # A commit may take long on a busy machine.
        "TRACKNOW_RELAY_COMMIT_TIMEOUT": "60",
    }
    return RelayConfig.from_environ({**environ, **more})


def relay(url: str, *, clock: Callable[[], float] = time.time, **more: str) -> Relay:
    """The application on a database, without anything that delivers."""
    made = config(url, **more)
    return Relay(made, _build, clock=clock)


def _build(config: RelayConfig) -> Parts:
    return Parts(Ingest.from_config(config, Database.from_config(config)))


def with_ingest(
    config: RelayConfig,
    ingest: Ingest,
    *,
    kind: type[Relay] = Relay,
    clock: Callable[[], float] = time.time,
) -> Relay:
    """The application with an ingest of the test's."""
    return kind(config, lambda _config: Parts(ingest), clock=clock)


def environ(payload: bytes, signature: str | None, **changes: Any) -> dict[str, Any]:
    """The WSGI environment of a webhook call; a change to None removes a key."""
    made: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": PATH,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "application/json; charset=utf-8",
        "CONTENT_LENGTH": str(len(payload)),
        "HTTP_STRIPE_SIGNATURE": signature,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(payload),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value is not None}


def call(application: Relay, environment: dict[str, Any], *, checked: bool = True) -> Response:
    """Call the application as a WSGI server does, by default under wsgiref's validator."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        started.append((status, headers))
        return lambda _data: None

    target: Any = validator(application) if checked else application
    chunks = target(environment, start_response)
    body = b"".join(chunks)
    if hasattr(chunks, "close"):
        chunks.close()
    status, headers = started[0]
    return Response(status, tuple(headers), body)


def post(application: Relay, body: dict[str, Any], **changes: Any) -> Response:
    """Post a signed event."""
    payload = encode(body)
    return call(application, environ(payload, sign(payload), **changes))


def code(answer: Response) -> tuple[int, str]:
    """Status and stable code of an answer."""
    return int(answer.status.split()[0]), str(json.loads(answer.body)["code"])


class Memory:
    """Stands where the ingest stands and remembers what it was given."""

    def __init__(self) -> None:
        self.events: list[NewEvent] = []
        self.counted: list[str] = []

    def accept(self, given: NewEvent) -> None:
        self.events.append(given)

    def count(self, name: str, number: int = 1, *, destination: str = "") -> None:
        self.counted.append(name)
