"""A small real server around the application or one of its flawed variants.

Run as ``python -m tests.relay.receive.server PORT [VARIANT]`` with the relay's environment. Threads
take the requests; it is one process, so that a named point kills all of it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests import servers
from tests.events import SECRET, encode, purchase, sign
from tests.relay.calls import PATH

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
_PATIENCE = 100


class Server:
    """A server process: where it listens, and how to call it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def post(self, number: int | str) -> int | None:
        """Post an event; gives the status, or None when the server died."""
        payload = encode(purchase(number))
        return self.send(payload, sign(payload))

    def send(self, payload: bytes, signature: str) -> int | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
        try:
            connection.request("POST", PATH, payload, headers)
            return connection.getresponse().status
        except (http.client.HTTPException, ConnectionError):
            return None
        finally:
            connection.close()


def environment(url: str, **more: str) -> dict[str, str]:
    """The relay's environment around the one of this process."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TRACKNOW")}
    return {
        **kept,
        "TRACKNOW_NAMESPACE": "acme",
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "TRACKNOW_RELAY_DATABASE": url,
        "TRACKNOW_RELAY_MIN_FREE_MB": "0",
        "TRACKNOW_RELAY_COMMIT_TIMEOUT": "60",
        "TRACKNOW_RELAY_DELIVER": "no",
        **more,
    }


@contextlib.contextmanager
def started(command: list[str], port: int, url: str, **more: str) -> Iterator[Server]:
    """Run a server until the block ends; it answers when the block begins."""
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.running(
            command, port, Path(folder, "log"), environment(url, **more), cwd=ROOT
        ) as process,
    ):
        yield Server(process, port)


@contextlib.contextmanager
def running(url: str, variant: str = "right", **more: str) -> Iterator[Server]:
    """Run this module's server."""
    port = servers.free_port()
    command = [sys.executable, "-m", "tests.relay.receive.server", str(port), variant]
    with started(command, port, url, **more) as server:
        yield server


def main() -> None:
    """Serve the variant that the command line names."""
    from werkzeug.serving import make_server

    from tests.relay.receive.variants import VARIANTS
    from tracknow_static.relay.config import RelayConfig

    application = VARIANTS[sys.argv[2]](RelayConfig.from_environ())
    make_server("127.0.0.1", int(sys.argv[1]), application, threaded=True).serve_forever()


if __name__ == "__main__":
    main()
