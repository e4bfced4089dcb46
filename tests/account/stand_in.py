"""A Stripe account that remembers, for what a mock without memory cannot show.

Shapes and errors follow Stripe's published API description; ``test_description.py`` has both
judged by that description itself.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from tests.account.timeline import Timeline
from tests.servers import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_790_000_000
_ENDPOINT = "/v1/webhook_endpoints"
_KNOWN = {
    "create": {"url", "enabled_events", "description", "metadata", "api_version", "connect"},
    "update": {"url", "enabled_events", "description", "metadata", "disabled"},
}
# What Stripe adds to an answer that it gives again; the library is not to insist on it.
_REPEATED = {"Idempotent-Replayed": "true", "Stripe-Should-Retry": "false"}


@dataclass
class Failure:
    """An answer to give instead; status 0 breaks the connection.

    ``after``: the request is carried out all the same, and its answer is lost.
    """

    status: int
    message: str = ""
    kind: str = "api_error"
    times: int = 1
    after: bool = False
    raw: bytes | None = None  # the answer's body
    trickle: float = 0.0  # seconds between two bytes of the answer
    on: str = ""  # part of "METHOD path"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Stripe:
    """State of the account, and what was asked of it."""

    mode: str = "test"
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    destinations: list[dict[str, Any]] = field(default_factory=list)
    events: Timeline = field(default_factory=lambda: Timeline("/v1/events"))
    charges: Timeline = field(default_factory=lambda: Timeline("/v1/charges"))
    sessions: Timeline = field(default_factory=lambda: Timeline("/v1/checkout/sessions"))
    links: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    denied: tuple[str, ...] = ()  # parts of "METHOD path" that the key may not ask
    tells_secrets: bool = True
    page: int = 100
    base: str = ""
    answers: dict[str, tuple[int, dict[str, Any] | bytes]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    meeting: threading.Barrier | None = None  # where lists wait for each other
    made: int = 0

    def reset(self) -> None:
        """Make the account as good as new."""
        fresh = Stripe(mode=self.mode, base=self.base)
        self.__dict__.update(fresh.__dict__)

    def answer_raw(self, on: str, body: bytes) -> None:
        """Answer the requests of a path with these bytes."""
        self.failures.append(Failure(200, raw=body, on=on, times=99))

    def changes(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return the requests that were to change something."""
        return [request for request in self.requests if request[0] != "GET"]

    def add(self, url: str, events: tuple[str, ...] = (), **fields: Any) -> str:
        """Create an endpoint as the Dashboard does, and return its id."""
        self.made += 1
        id_ = f"we_{self.made:06}"
        self.secrets[id_] = f"whsec_{secrets.token_hex(16)}"
        self.endpoints[id_] = {
            "id": id_,
            "object": "webhook_endpoint",
            "api_version": None,
            "application": None,
            "created": NOW + self.made,
            "description": None,
            "enabled_events": list(events or ("charge.succeeded", "checkout.session.completed")),
            "livemode": self.mode == "live",
            "metadata": {},
            "status": "enabled",
            "url": url,
            **fields,
        }
        return id_

    def add_event(self, id_: str, created: int, kind: str = "charge.succeeded") -> None:
        """Add an event that some endpoint has not accepted."""
        self.events.add(
            {
                "id": id_,
                "object": "event",
                "api_version": "2025-09-30.clover",
                "created": created,
                "data": {"object": {"id": "ch_1", "object": "charge"}},
                "livemode": self.mode == "live",
                "pending_webhooks": 1,
                "request": {"id": None, "idempotency_key": None},
                "type": kind,
            }
        )

    # Answers

    def answer(
        self, method: str, path: str, given: dict[str, Any], headers: dict[str, str]
    ) -> tuple[int, dict[str, Any] | bytes, dict[str, str]]:
        """Answer a request: status, body, headers."""
        self.requests.append((method, path, given))
        refusal = self._refusal(method, path, headers)
        if refusal:
            return refusal
        key = headers.get("idempotency-key", "")
        body: dict[str, Any] | bytes
        with self.lock:
            if key in self.answers:
                return (*self.answers[key], dict(_REPEATED))
            failure = next((rule for rule in self.failures if rule.on in f"{method} {path}"), None)
            if failure:
                failure.times -= 1
                if not failure.times:
                    self.failures.remove(failure)
                status, body = failure.status, failure.raw or _error(failure.message, failure.kind)
                more = failure.headers
                if failure.trickle:
                    more = {**more, "Trickle": str(failure.trickle)}
                if failure.after and key:
                    self.answers[key] = self._carry_out(method, path, given)
                    return status, body, more
            else:
                status, body = self._carry_out(method, path, given)
                more = {}
            if method == "POST" and key and (status < 400 or status >= 500):
                self.answers[key] = (status, body)
        if self.meeting is not None and (method, path) == ("GET", _ENDPOINT):
            self.meeting.wait(200)  # with the list as it was in hand
        return status, body, more

    def _refusal(
        self, method: str, path: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        key = headers.get("authorization", "").removeprefix("Bearer ")
        if not re.fullmatch(rf"(sk|rk)_{self.mode}_good\w*", key):
            text = f"Invalid API Key provided: {key[:8]}****"
            return 401, _error(text, "invalid_request_error"), {}
        if any(request in f"{method} {path}" for request in self.denied):
            level = "read" if method == "GET" else "write"
            resource = {
                "webhook_endpoints": "webhook",
                "events": "event",
                "charges": "charge",
                "checkout": "checkout_session",
            }
            name = resource.get(path.split("/")[2], "payment_link")
            text = (
                "The provided key 'rk_test_*********d' does not have the required permissions for "
                f"this endpoint on account 'acct_1'. Having the 'rak_{name}_{level}' permission "
                "would allow this request to continue."
            )
            return 403, _error(text, "invalid_request_error"), {}
        return None

    def _carry_out(
        self, method: str, path: str, given: dict[str, Any]
    ) -> tuple[int, dict[str, Any] | bytes]:
        if path == "/v2/core/event_destinations" and method == "GET":
            return 200, {"data": self.destinations, "next_page_url": None}
        if path == "/v1/events" and method == "GET":
            return self._events(given)
        if path == "/v1/charges" and method == "GET":
            return self._listed(self.charges.page(given, largest=self.page))
        if path == "/v1/checkout/sessions" and method == "GET":
            return self._sessions(given)
        for timeline in (self.charges, self.sessions):
            if path.startswith(f"{timeline.path}/"):
                return timeline.one(path)
        if path == "/v1/payment_links" and method == "GET":
            return 200, self._page(path, [self._link(link, given) for link in self.links], given)
        if path.endswith("/line_items"):
            rows = next(link["all_items"] for link in self.links if link["id"] in path)
            return 200, self._page(path, rows, given)
        if path == _ENDPOINT:
            if method == "GET":
                newest = sorted(self.endpoints.values(), key=lambda row: -int(row["created"]))
                return 200, self._page(path, newest, given)
            return self._create(given)
        match = re.fullmatch(rf"{_ENDPOINT}/(we_\d+)", path)
        if not match or match.group(1) not in self.endpoints:
            return 404, _error(f"No such webhook endpoint: '{path}'", "invalid_request_error")
        return self._one(method, match.group(1), given)

    def _create(self, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        unknown = set(given) - _KNOWN["create"]
        if unknown:
            return 400, _error(f"Received unknown parameter: {unknown}", "invalid_request_error")
        if len(self.endpoints) >= 16:
            text = "You have reached the maximum of 16 test webhook endpoints."
            return 400, _error(text, "invalid_request_error")
        id_ = self.add(given["url"], tuple(given["enabled_events"]))
        made = self.endpoints[id_]
        made["description"] = given.get("description")
        made["metadata"] = given.get("metadata", {})
        return 200, {**made, **({"secret": self.secrets[id_]} if self.tells_secrets else {})}

    def _one(self, method: str, id_: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if method == "DELETE":
            del self.endpoints[id_]
            return 200, {"id": id_, "object": "webhook_endpoint", "deleted": True}
        endpoint = self.endpoints[id_]
        unknown = set(given) - _KNOWN["update"]
        if method == "POST" and unknown:
            return 400, _error(f"Received unknown parameter: {unknown}", "invalid_request_error")
        for name, value in given.items():
            if name == "metadata":
                endpoint["metadata"] = {**endpoint["metadata"], **value}
            elif name == "disabled":
                endpoint["status"] = "disabled" if value == "true" else "enabled"
            else:
                endpoint[name] = value
        return 200, dict(endpoint)

    def _events(self, given: dict[str, Any]) -> tuple[int, dict[str, Any] | bytes]:
        success = given.get("delivery_success")
        types = given.get("types")
        assert types is None or len(types) <= 20

        def wanted(event: dict[str, Any]) -> bool:
            pending = event["pending_webhooks"] > 0
            return (types is None or event["type"] in types) and (success is None or pending)

        assert success in (None, "false", "False"), given
        return self._listed(self.events.page(given, wanted, largest=self.page))

    def _sessions(self, given: dict[str, Any]) -> tuple[int, dict[str, Any] | bytes]:
        status = given.get("status")
        page = self.sessions.page(
            given, lambda row: status in (None, row["status"]), largest=self.page
        )
        return self._listed(page)

    def _listed(self, page: bytes | None) -> tuple[int, dict[str, Any] | bytes]:
        if page is None:
            return 404, _error("No such object", "invalid_request_error")
        return 200, page

    def _link(self, link: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        hidden = ["all_items"] if given.get("expand") else ["all_items", "line_items"]
        return {name: value for name, value in link.items() if name not in hidden}

    def _page(self, path: str, rows: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
        start = 0
        if "starting_after" in given:
            start = [row["id"] for row in rows].index(given["starting_after"]) + 1
        size = min(int(given.get("limit", 10)), self.page)
        more = start + size < len(rows)
        return {"object": "list", "url": path, "has_more": more, "data": rows[start : start + size]}


def _error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind}}


def _nested(text: str) -> dict[str, Any]:
    """Read Stripe's form encoding: a[b]=c, a[0]=b, a[]=b."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        match = re.fullmatch(r"([^\[\]]+)\[([^\[\]]*)\]", name)
        if not match:
            found[name] = value
        elif match.group(2) == "" or match.group(2).isdigit():
            found.setdefault(match.group(1), []).append(value)
        else:
            found.setdefault(match.group(1), {})[match.group(2)] = value
    return found


@contextlib.contextmanager
def running(stripe: Stripe) -> Iterator[str]:
    """Serve an account on a loopback port, and give its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            given = {**_nested(url.query), **_nested(body)}
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer, more = stripe.answer(self.command, url.path, given, headers)
            if status == 0:  # the connection breaks
                self.close_connection = True
                return
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **more}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            pause = float(more.get("Trickle", 0))
            for byte in content if pause else ():
                with contextlib.suppress(OSError):
                    self.wfile.write(bytes([byte]))
                time.sleep(pause)
            if not pause:
                self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - names that http.server looks for

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as port:
        stripe.base = f"http://127.0.0.1:{port}"
        yield stripe.base
