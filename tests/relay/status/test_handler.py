"""The status page behind WSGI: off by default, closed, and apart from everything else."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from werkzeug.serving import make_server

import tracknow_static.relay as package
from tests.events import encode, purchase, sign
from tests.relay.calls import call, environ
from tests.relay.operate.parts import WEBHOOK, environment, request
from tests.relay.status.parts import PASSWORD, application, authorization, get
from tests.servers import call as ask
from tracknow_static.errors import SettingsError, StorageError
from tracknow_static.relay import create_application
from tracknow_static.relay.app import Parts, Relay
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.status import handler
from tracknow_static.relay.status.guard import Guard
from tracknow_static.relay.status.pages import Pages
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.ingest import Ingest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tracknow_static.relay.receive.response import Response


@pytest.fixture
def relay(sqlite_url: str) -> Iterator[Relay]:
    """A relay with a status page on an empty database."""
    made = application(environment(sqlite_url))
    yield made
    made.stop(30)


def test_off_without_a_password(sqlite_url: str) -> None:
    """Then the path is as unknown as any other."""
    made = create_application(RelayConfig.from_environ(environment(sqlite_url)))
    header = {"HTTP_AUTHORIZATION": authorization()}
    for path in ("/status", "/status/", "/status/sales"):
        assert request(made, path, None, **header) == request(made, "/nowhere", None, **header)
        assert request(made, path)[0] == 404
    made.stop(30)


def test_a_password_from_a_file(sqlite_url: str, tmp_path: Path) -> None:
    """`…_FILE` names a file that holds it; commands that need no password do not read it."""
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n", encoding="utf-8")
    environ = environment(sqlite_url, status_password_file=str(file))
    assert RelayConfig.from_environ(environ).status_password == PASSWORD
    file.unlink()
    assert RelayConfig.from_environ(environ, needs_secrets=False).status_password is None
    with pytest.raises(SettingsError, match="STATUS_PASSWORD_FILE"):
        RelayConfig.from_environ(environ)


@pytest.mark.parametrize("password", ["short", "x" * 201, "with a\nnew line in it"])
def test_a_bad_password_is_refused(sqlite_url: str, password: str) -> None:
    """The error names the variable and what is accepted, and does not show the value."""
    with pytest.raises(SettingsError) as raised:
        RelayConfig.from_environ(environment(sqlite_url, status_password=password))
    text = str(raised.value)
    assert "TRACKNOW_RELAY_STATUS_PASSWORD: its value is not accepted." in text
    assert "Accepted: 12 to 200 characters." in text
    assert password not in text


def test_closed_without_the_password(relay: Relay) -> None:
    """401 asks for it, on every path below, before anything is looked up."""
    for path in ("/status", "/status/", "/status/sales", "/status/nowhere"):
        status, headers, body = request(relay, path)
        assert status == 401
        assert headers["www-authenticate"] == 'Basic realm="tracknow-relay", charset="UTF-8"'
        assert b"needs its password" in body
    assert get(relay, "/status", HTTP_AUTHORIZATION=authorization("wrong"))[0] == 401


def test_a_guesser_is_sent_away(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """429 with the time to wait, for the guesser alone."""
    # A millisecond for each look at the clock, however long the machine needs.
    clock = itertools.count(1000.0, 0.001).__next__
    monkeypatch.setattr(handler, "Guard", partial(Guard, clock=clock))
    guess = {"HTTP_AUTHORIZATION": authorization("wrong"), "REMOTE_ADDR": "8.8.8.8"}
    found = {get(relay, "/status", **guess)[0] for _ in range(50)}
    assert found == {401, 429}
    status, headers, text = get(relay, "/status", REMOTE_ADDR="8.8.8.8")
    assert (status, headers["retry-after"]) == (429, "1")
    assert "Try again in 1 second." in text
    assert get(relay, "/status", REMOTE_ADDR="8.8.4.4")[0] == 200


@pytest.mark.parametrize("path", ["/status", "/status/nowhere"])
def test_headers_allow_nothing_else(relay: Relay, path: str) -> None:
    """No cache, no script, no frame, no referrer; the style's hash is the one of the page's style."""
    _, headers, text = get(relay, path)
    assert headers["cache-control"] == "no-store"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "form-action 'self'; base-uri 'none'; frame-ancestors 'none'" in policy
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    for forbidden in ("<script", "style=", "src=", "@import", "url("):
        assert forbidden not in text


def test_methods(relay: Relay) -> None:
    """HEAD has the headers of GET; nothing can be changed there."""
    status, headers, body = get(relay, "/status", REQUEST_METHOD="HEAD")
    assert (status, body) == (200, "")
    assert int(headers["content-length"]) > 500
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, _ = get(relay, "/status", REQUEST_METHOD=method)
        assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    ["/status/nowhere", "/status//", "/status/../etc/passwd", "/status/%2e%2e", "/status/\u2603"],
)
def test_other_paths(relay: Relay, path: str) -> None:
    """There are no files behind the pages: a path is one of the pages or it is not there."""
    status, _, text = get(relay, path)
    assert status == (200 if path.strip("/") == "status" else 404)
    assert "passwd" not in text


def test_by_the_rules_of_wsgi(relay: Relay) -> None:
    """Python's own validator finds nothing wrong with what the page does under a WSGI server."""
    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/status", "CONTENT_LENGTH": None}
    found = call(relay, environ(b"", None, **asked, HTTP_AUTHORIZATION=authorization()))
    assert found.status == "200 OK"
    assert call(relay, environ(b"", None, **asked)).status == "401 Unauthorized"
    refused = call(relay, environ(b"", None, **{**asked, "REQUEST_METHOD": "DELETE"}))
    assert refused.status == "405 Method Not Allowed"


def test_a_real_wsgi_server(sqlite_url: str) -> None:
    """Threads of another server take the requests."""
    made = application(environment(sqlite_url))
    server = make_server("127.0.0.1", 0, made, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        headers = {"Authorization": authorization()}
        for path, status in (("/status", 200), ("/status/sales/%F0%9F%8D%B5", 404)):
            assert ask(server.server_port, "GET", path, None, headers).status == status
            assert ask(server.server_port, "GET", path).status == 401
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()
        made.stop(30)


def test_beside_the_page_nothing_changes(relay: Relay) -> None:
    """Paths that only begin alike are unknown."""
    for path in ("/statusx", "/status.html", "//status", "/x/status"):
        assert get(relay, path)[0] == 404


def test_a_database_that_cannot_be_read() -> None:
    """A clear page with 503, and the command that shows more."""
    made = application(environment("sqlite:////proc/nowhere/relay.sqlite3"))
    status, headers, text = get(made, "/status")
    assert (status, headers["retry-after"]) == (503, "30")
    assert "The database cannot be read" in text
    assert "tracknow-relay check" in text
    assert headers["cache-control"] == "no-store"
    made.stop(30)


class HangingDatabase(Database):
    """A database whose disk hangs until it is let go."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.let_go = threading.Event()

    def open(self) -> None:
        """Wait."""
        self.let_go.wait(300)
        # Nothing is made when the test is over.
        raise StorageError("database", "it hung")


def test_a_hung_disk_holds_few_threads(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are answered in time, a further one at once, and the rest of the relay goes on."""
    monkeypatch.setattr(handler, "_TURN_SECONDS", 0.01)
    config = RelayConfig.from_environ(environment(sqlite_url, status_password=PASSWORD))
    config = replace(config, commit_timeout=0.05)
    database = HangingDatabase(config.database)

    def parts(given: RelayConfig) -> Parts:
        ingest = Ingest(database)
        return Parts(ingest, pages=package._pages(given, ingest))

    made = Relay(config, parts)
    try:
        texts = [get(made, "/status")[2] for _ in range(handler.AT_ONCE + 2)]
        assert (
            sum("did not answer within 0.05 seconds" in text for text in texts) == handler.AT_ONCE
        )
        assert sum("Too many pages" in text for text in texts) == 2
        assert request(made, "/healthz")[0] == 200
    finally:
        database.let_go.set()


def test_a_slow_page_does_not_delay_an_event(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event is stored and acknowledged while a page is still being made."""
    begun, go_on = threading.Event(), threading.Event()
    original = Pages.respond

    def slow(self: Pages, path: str, query: str, base: str) -> Response:
        begun.set()
        go_on.wait(60)
        return original(self, path, query, base)

    monkeypatch.setattr(Pages, "respond", slow)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(get(relay, "/status")[0]))
    thread.start()
    try:
        assert begun.wait(60)
        body = encode(purchase(1))
        assert request(relay, WEBHOOK, body, HTTP_STRIPE_SIGNATURE=sign(body))[0] == 200
        assert not found
    finally:
        go_on.set()
        thread.join(60)
    assert found[0] in (200, 503)
