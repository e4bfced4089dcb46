"""What the ingest benchmark measures: ours, peers and a bound, and how each is started."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from tests.events import encode, purchase
from tests.servers import free_port
from tools import newest_python
from tracknow_static.relay.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).resolve().parent / "peers"
WORK = ROOT / ".work"
SECRET = "whsec_benchmark_secret"
OURS = "tracknow-relay serve"
SIZE = 4096
CONNECTIONS = 100
EXPRESS, STRIPE = "express@5.1.0", "stripe@23.1.0"
HOOKSPOOL, KNOCKERLITE = "hookspool==0.2.0", "knockerlite==0.1.0"

_HOOKSPOOL_CONFIG = """
[intake]
threads = 32
listen = "127.0.0.1:@PORT@"
[bobbins.stripe]
bobbin = "hookspool.webhook"
settings = { scheme = "hmac-sha256-hex", header = "X-Signature", prefix = "sha256=", key = ["id"] }
secrets.secret = { env = "PEER_SECRET" }
outputs = { "*" = "away" }
[destinations.away]
type = "http"
url = "https://away.example/"
secret = { env = "PEER_SECRET" }
"""


@dataclass
class Target:
    """Something that takes events: how it is started, and where its database is."""

    name: str
    command: Callable[[int, Path], list[str]]
    path: str = "/stripe/webhook"
    header: str = "Stripe-Signature"
    sign: str = "stripe"
    environment: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Path, int], None] | None = None
    # Its rows are in our tables, and are counted afterwards.
    ours: bool = False


def template() -> bytes:
    """A completed checkout session of 4 KB, with @ID@ in the place of the event's number."""
    # One place only: the load generator splits the body there.
    session = {
        "id": "cs_benchmark",
        "client_reference_id": "7f6df0cf-bench",
        "payment_intent": "pi_live_benchmark",
        "customer": "cus_benchmark",
        "note": "",
    }
    session["note"] = "x" * (SIZE - len(encode(purchase("@ID@", session))))
    return encode(purchase("@ID@", session))


@contextlib.contextmanager
def running(target: Target, folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Run a target until the block ends."""
    port = free_port()
    environment = {
        **{key: value for key, value in os.environ.items() if "TRACKNOW" not in key},
        "TRACKNOW_NAMESPACE": "bench",
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "TRACKNOW_RELAY_DATABASE": f"sqlite:///{folder}/relay.sqlite3",
        "TRACKNOW_RELAY_DELIVER": "no",
        "PEER_SECRET": SECRET,
        "PEER_DATABASE": str(folder / "peer.sqlite3"),
        "HOOKSPOOL_HOME": str(folder),
        "PYTHONPATH": str(PEERS),
        **target.environment,
    }
    if target.prepare is not None:
        target.prepare(folder, port)
    with (folder / "log").open("wb") as log:
        process = psutil.Popen(
            target.command(port, folder), cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)
        yield port, process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            end(process)


def end(process: psutil.Process) -> None:
    """End a process and what it started."""
    children = process.children(recursive=True)
    process.terminate()
    try:
        process.wait(15)
    except psutil.TimeoutExpired:
        process.kill()
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def granian(
    interface: str, application: str, *extra: str, python: str = sys.executable
) -> Callable[[int, Path], list[str]]:
    """A command that runs an application on granian."""

    def command(port: int, _folder: Path) -> list[str]:
        options = ["--interface", interface, "--host", "127.0.0.1", "--port", str(port)]
        options += ["--http", "1", "--no-ws", *extra]
        return [python, "-m", "granian", *options, application]

    return command


def npm(package: str) -> Path:
    """The folder with an npm package, fetched the first time."""
    folder = WORK / "npm" / package.replace("@", "-")
    name = package.split("@", maxsplit=1)[0]
    if not (folder / "node_modules" / name / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(folder), package, "--no-audit", "--no-fund"]
        command += ["--silent", "--ignore-scripts"]
        subprocess.run(command, cwd=folder, check=True, timeout=300)
    return folder


def venv(name: str, python: str, *packages: str) -> Path:
    """The Python of an environment of its own with some packages, made the first time."""
    folder = WORK / name
    done = folder / ".done"
    if not done.exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        command = [str(folder / "bin/pip"), "install", "-q", *packages]
        subprocess.run(command, check=True, timeout=300, stderr=subprocess.DEVNULL)
        done.touch()
    return folder / "bin"


def newer_python() -> str:
    """A Python of at least 3.12, which knockerlite asks for."""
    newest = newest_python.find() or Path(sys.executable)
    probe = [str(newest), "-c", "import sys; sys.exit(sys.version_info < (3, 12))"]
    if subprocess.run(probe, check=False).returncode:
        raise RuntimeError("it needs Python 3.12")
    return probe[0]


def ours(workers: int) -> Target:
    """`tracknow-relay serve`, as it is without further set-up but for the workers."""
    program = str(Path(sys.executable).with_name("tracknow-relay"))

    def command(port: int, _folder: Path) -> list[str]:
        bind = ["--bind", f"127.0.0.1:{port}"]
        return [program, "serve", "--no-deliver", "--workers", str(workers), *bind]

    return Target(OURS if workers == 1 else f"{OURS}, {workers} workers", command, ours=True)


def wsgi() -> Target:
    """Our application as any WSGI server runs it."""
    command = granian("wsgi", "tracknow_static.relay:application", "--blocking-threads", "32")
    return Target("tracknow-static as WSGI, 32 threads", command, ours=True)


def bound() -> Target:
    """The same server and application as `serve` without a database."""
    command = granian("rsgi", "verify_only:create", "--factory", "--loop", "asyncio")
    return Target("bound: no database", command)


def express(rows: str) -> Target:
    """Express with the official library and group commit on node's SQLite."""
    folders = [str(npm(EXPRESS)), str(npm(STRIPE))]
    node = str(Path(sys.executable).with_name("node"))
    script = str(PEERS / "express.cjs")

    def prepare(folder: Path, _port: int) -> None:
        made = database(folder)
        made.open()
        made.close()

    def command(port: int, folder: Path) -> list[str]:
        file = "relay.sqlite3" if rows == "outbox" else "peer.sqlite3"
        return [node, script, *folders, str(folder / file), str(port), SECRET, rows]

    environment = {"NODE_NO_WARNINGS": "1", "NODE_ENV": "production"}
    name = "Express + stripe, " + ("the same rows" if rows == "outbox" else "bare events")
    return Target(name, command, environment=environment, prepare=prepare, ours=rows == "outbox")


def hookspool() -> Target:
    """Hookspool's intake, with its own scheme of signatures over the same body."""
    program = str(venv("peer-hookspool", sys.executable, HOOKSPOOL) / "hookspool")

    def prepare(folder: Path, port: int) -> None:
        config = _HOOKSPOOL_CONFIG.replace("@PORT@", str(port))
        (folder / "config.toml").write_text(config)
        environment = {**os.environ, "HOOKSPOOL_HOME": str(folder), "PEER_SECRET": SECRET}
        command = [program, "migrate"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    def command(_port: int, _folder: Path) -> list[str]:
        return [program, "intake"]

    return Target("hookspool", command, "/hooks/stripe", "X-Signature", "plain", prepare=prepare)


def knockerlite() -> Target:
    """Knockerlite behind granian; it syncs nothing before it answers."""
    python = str(venv("peer-knockerlite", newer_python(), KNOCKERLITE, "granian") / "python")
    threads = ["--blocking-threads", "32"]
    command = granian("wsgi", "knocker_app:application", *threads, python=python)
    return Target("knockerlite, not durable", command)


def database(folder: Path) -> Database:
    """The relay's database in a folder, with one destination."""
    url = f"sqlite:///{folder}/relay.sqlite3"
    return Database(url, ["https://bench-tracking.tracknow.info/stripe/postback"])
