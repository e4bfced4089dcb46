"""Signatures made by programs that nobody here wrote."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from tests.events import SECRET, encode, purchase
from tests.relay.calls import call, code, config, environ, relay
from tests.servers import free_port
from tracknow_static.relay.store import leases, queries
from tracknow_static.relay.store.model import Filter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.relay.app import Relay

_NPM = Path(__file__).parents[3] / ".work" / "npm"
_PACKAGE = "stripe@23.1.0"

# Reads a list of [payload, secret, timestamp] and writes the headers.
_SIGN = """
const stripe = new (require(process.argv[1] + '/node_modules/stripe'))('sk_test_x');
const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(cases.map(([payload, secret, timestamp]) =>
  stripe.webhooks.generateTestHeaderString({payload, secret, timestamp}))));
"""


def stripe_node() -> Path:
    """The folder with stripe-node, fetched from npm the first time."""
    folder = _NPM / _PACKAGE.replace("@", "-")
    _NPM.mkdir(parents=True, exist_ok=True)
    with (_NPM / "stripe.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "node_modules/stripe/package.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            command = ["npm", "install", "--prefix", str(folder), _PACKAGE, "--no-audit"]
            command += ["--no-fund", "--silent", "--ignore-scripts"]
            subprocess.run(command, cwd=folder, check=True, timeout=300, capture_output=True)
    return folder


def test_signed_by_stripe_node(sqlite_url: str) -> None:
    """Headers of stripe-node's generateTestHeaderString are accepted, over any kind of text."""
    now = int(time.time())
    second = "whsec_second_secret"
    payloads = [
        encode(purchase("plain")).decode(),
        json.dumps(purchase("snow", note="☃ – Ünïcødé 漢字 🧾"), ensure_ascii=False),
        json.dumps(purchase("long", note="x" * 200_000)),
        " \r\n" + json.dumps(purchase("spaced")) + "\n",
    ]
    cases: list[Any] = [
        [payload, secret, now] for payload in payloads for secret in (SECRET, second)
    ]
    cases += [[payloads[0], SECRET, now - 1000], [payloads[0], "whsec_other_secret", now]]
    done = subprocess.run(
        ["node", "-e", _SIGN, str(stripe_node())],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    headers = json.loads(done.stdout)
    application = relay(sqlite_url, STRIPE_WEBHOOK_SECRET=f"{SECRET},{second}")
    answers = [
        code(call(application, environ(payload.encode(), header)))[0]
        for (payload, _, _), header in zip(cases, headers, strict=True)
    ]
    assert answers == [200] * 8 + [400] * 2
    assert len(queries.find(application.database, Filter()).events) == 4
    application.stop(100)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def application(sqlite_url: str) -> Iterator[Relay]:
    """A relay that forwards what localstripe can send."""
    made = relay(
        sqlite_url,
        TRACKNOW_RELAY_LIVEMODE="test",
        TRACKNOW_RELAY_EVENTS="customer.created,payment_intent.succeeded",
        STRIPE_WEBHOOK_SECRET="whsec_local_stripe",
    )
    yield made
    made.stop(100)


def _ask(port: int, path: str, data: bytes) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data)
    request.add_header("Authorization", "Bearer sk_test_12345")
    with urllib.request.urlopen(request, timeout=100) as answer:
        return json.loads(answer.read() or b"null")


def test_real_run_of_localstripe(application: Relay, tmp_path: Path) -> None:
    """Localstripe creates a customer, signs the event and sends it; the relay stores its bytes."""
    server = make_server("127.0.0.1", 0, application, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = free_port()
    command = [str(Path(sys.executable).with_name("localstripe")), "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--from-scratch"], cwd=tmp_path, stdout=log, stderr=log
        )
    try:
        _await(port, process)
        target = f"http://127.0.0.1:{server.server_port}/stripe/webhook"
        hook = {"url": target, "secret": "whsec_local_stripe"}
        _ask(port, "/_config/webhooks/relay", json.dumps(hook).encode())
        _ask(port, "/v1/customers", b"email=someone%40example.com")
        found = _await_event(application)
    finally:
        process.terminate()
        process.wait(100)
        server.shutdown()
        server.server_close()
    assert (found.type, found.skipped_because, found.livemode) == ("customer.created", None, False)
    claimed = leases.claim(application.database, limit=9, lease_seconds=60)
    assert json.loads(claimed[0].payload)["id"] == found.id
    assert config("sqlite:////x").destinations[0] == claimed[0].destination


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 100
    while True:
        assert process.poll() is None
        assert time.monotonic() < deadline
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)


def _await_event(application: Relay) -> Any:
    deadline = time.monotonic() + 100
    while True:
        found = queries.find(application.database, Filter()).events
        if found:
            return found[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
