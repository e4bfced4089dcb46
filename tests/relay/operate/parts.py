"""What the operation tests share: signed events, an environment, commands, and a running relay."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from tests.events import CONTENT_TYPE, SECRET, sign
from tests.servers import free_port
from tracknow_static.relay import create_application
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.operate.cli import cli
from tracknow_static.relay.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from click.testing import Result

    from tracknow_static.relay.app import Relay

WEBHOOK = "/stripe/webhook"


def environment(database: str, *destinations: str, **more: str) -> dict[str, str]:
    """Return the relay's environment; names in ``more`` without their prefix."""
    return {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "TRACKNOW_RELAY_DATABASE": database,
        "TRACKNOW_RELAY_DESTINATIONS": ",".join(destinations) or "http://127.0.0.1:9/hook",
        "TRACKNOW_RELAY_ALLOW_INSECURE_DESTINATIONS": "true",
        "TRACKNOW_RELAY_DELIVER": "false",
        "TRACKNOW_RELAY_MIN_FREE_MB": "0",
        # A commit, or a page, may take long on a busy machine.
        "TRACKNOW_RELAY_COMMIT_TIMEOUT": "60",
        **{f"TRACKNOW_RELAY_{name.upper()}": value for name, value in more.items()},
    }


def request(
    application: Relay, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Call the application as a WSGI server does: status, headers, body."""
    environ = {
        "REQUEST_METHOD": "GET" if body is None else "POST",
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body or b"")),
        "CONTENT_TYPE": CONTENT_TYPE,
        "wsgi.input": io.BytesIO(body or b""),
        **headers,
    }
    seen: list[Any] = []
    answer = b"".join(application(environ, lambda *args: seen.append(args)))
    return int(seen[0][0].split()[0]), {k.lower(): v for k, v in seen[0][1]}, answer


def accept(environ: Mapping[str, str], *bodies: bytes) -> None:
    """Send signed events to the application, which then ends."""
    application = create_application(RelayConfig.from_environ(environ))
    for body in bodies:
        status, _, answer = request(application, WEBHOOK, body, HTTP_STRIPE_SIGNATURE=sign(body))
        assert status == 200, answer
    assert application.stop(100)


def database_of(environ: Mapping[str, str]) -> Database:
    """Open the database that the commands look at."""
    return Database.from_config(RelayConfig.from_environ(environ))


def run(environ: Mapping[str, str], *args: str, code: int = 0) -> Result:
    """Run a command, which must exit with ``code``."""
    result = CliRunner().invoke(cli, args, env=dict(environ), prog_name="tracknow-relay")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def run_json(environ: Mapping[str, str], *args: str, code: int = 0) -> Any:
    """Run a command with ``--json`` and read what it prints."""
    return json.loads(run(environ, *args, "--json", code=code).stdout)


@dataclass
class Running:
    """A relay in processes of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def call(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Make one request on a connection of its own; return status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=100)
        with contextlib.closing(connection):
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET" if body is None else "POST", path, body, names)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def take(self, body: bytes) -> int:
        """Send a signed event; return the status."""
        headers = {"Content_Type": CONTENT_TYPE, "Stripe_Signature": sign(body)}
        return self.call(WEBHOOK, body, **headers)[0]

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(how)
        return self.process.wait(100)


def command(*args: str) -> list[str]:
    """Return the command line of a process of its own."""
    program = "from tracknow_static.relay.operate.cli import main; main()"
    return [sys.executable, "-W", "error", "-c", program, *args]


def whole_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a process: nothing of the relay's but what is given."""
    rest = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TRACKNOW_", "STRIPE_"))
    }
    return {**rest, **environ}


@contextlib.contextmanager
def serving(environ: Mapping[str, str], folder: Path, *args: str) -> Iterator[Running]:
    """Run ``tracknow-relay serve`` until the block ends."""
    log = folder / f"serve-{time.monotonic_ns()}.log"
    # Port 0 would be one that the kernel may give to others before the relay listens on it.
    bind = f"127.0.0.1:{free_port()}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command("serve", "--bind", bind, *args),
            env=whole_environment(environ),
            stdout=out,
            stderr=out,
        )
    try:
        yield Running(process, _port(process, log), log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(100)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until the relay answers, and give its port."""
    until = time.monotonic() + 100
    while time.monotonic() < until and process.poll() is None:
        rest = log.read_text().partition("webhook at http://127.0.0.1:")[2]
        if "\n" in rest and _answers(int(rest.partition("/")[0])):
            return int(rest.partition("/")[0])
        time.sleep(0.05)
    raise AssertionError(f"the relay did not start:\n{log.read_text()}")


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
        with contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
    except OSError:
        return False
