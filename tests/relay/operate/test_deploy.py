"""The files under sample_site/deploy work: each is run, or at least checked by its own program."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dotenv import dotenv_values

from tests.events import CONTENT_TYPE, encode, purchase, sign
from tests.relay.operate.parts import WEBHOOK, environment, serving, whole_environment
from tests.servers import call, free_port, running
from tracknow_static.relay.config import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.relay.deliver.stand_in import StandIn
    from tests.relay.operate.parts import Running

DEPLOY = Path(__file__).parents[3] / "sample_site" / "deploy"

# Bytes that a proxy could change: odd line ends, text that is not ASCII, a trailing blank.
ODD = (
    encode(purchase(1, session={"name": "E"}))
    .replace(b'"E"', '"é\\u00e9"'.encode())
    .replace(b"\n", b"\r\n")
    + b"\t \n\n"
)


def program(name: str) -> str:
    """Return a program's path; without it there is nothing to try the file with."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def post(port: int, body: bytes, path: str = WEBHOOK, host: str = "127.0.0.1") -> int:
    """Send a signed event; return the status."""
    headers = {"Host": host, "Content-Type": CONTENT_TYPE, "Stripe-Signature": sign(body)}
    return call(port, "POST", path, body, headers).status


@pytest.fixture
def relay(sqlite_url: str, tmp_path: Path, destination: StandIn) -> Iterator[Running]:
    """Provide a relay that delivers."""
    environ = environment(sqlite_url, destination.url, deliver="true")
    with serving(environ, tmp_path) as found:
        yield found


def through(port: int, destination: StandIn, host: str = "127.0.0.1") -> None:
    """Send an event through a proxy: its bytes arrive, and nothing but the webhook is published."""
    assert post(port, ODD, host=host) == 200
    assert destination.wait_for(lambda: bool(destination.requests))
    assert destination.requests[0].body == ODD
    # Caddy before 2.7 answers 502 where later ones and nginx answer 413.
    assert post(port, b"x" * 2_000_000, host=host) in (413, 502)
    for path in ("/metrics", "/readyz", "/stripe/webhook/x"):
        assert post(port, b"{}", path, host=host) in (403, 404, 405)


def test_nginx_passes_the_bytes_on(relay: Running, tmp_path: Path, destination: StandIn) -> None:
    """The snippet, in a server block of a real nginx in front of a real relay."""
    nginx, port = program("nginx"), free_port()
    snippet = (
        (DEPLOY / "nginx.conf").read_text().replace("127.0.0.1:8787", f"127.0.0.1:{relay.port}")
    )
    (tmp_path / "snippet.conf").write_text(snippet)
    folders = "".join(
        f"{name}_temp_path {tmp_path}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; events {{}}"
        f"http {{ access_log off; {folders} server {{ listen 127.0.0.1:{port};"
        f" root {tmp_path}/none; include {tmp_path}/snippet.conf; }} }}"
    )
    common = [nginx, "-p", str(tmp_path), "-c", str(config), "-e", "stderr"]
    subprocess.run([*common, "-t"], check=True, capture_output=True)
    with running(common, port, tmp_path / "nginx.log", whole_environment({})):
        through(port, destination)


def test_caddy_passes_the_bytes_on(relay: Running, tmp_path: Path, destination: StandIn) -> None:
    """The Caddyfile, with another address in place of the shop's, in front of a real relay."""
    caddy, port = program("caddy"), free_port()
    text = (DEPLOY / "Caddyfile").read_text()
    text = text.replace("shop.example.com", f"http://shop.localhost:{port}")
    text = text.replace("127.0.0.1:8787", f"127.0.0.1:{relay.port}")
    config = tmp_path / "Caddyfile"
    config.write_text(text.replace("{", "{\n\tadmin off", 1))
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    command: list[str | Path] = [caddy, "run", "--config", config, "--adapter", "caddyfile"]
    with running(command, port, tmp_path / "caddy.log", whole_environment(home)):
        through(port, destination, host=f"shop.localhost:{port}")


def test_caddy_accepts_the_file_as_it_is() -> None:
    """Caddy reads it without a warning."""
    command: list[str | Path] = [
        program("caddy"),
        "adapt",
        "--config",
        DEPLOY / "Caddyfile",
        "--validate",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr
    assert '"level":"warn"' not in result.stderr


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing but the program that is not installed here."""
    unit = (DEPLOY / "tracknow-relay.service").read_text()
    for path in re.findall(r"^ExecStart=(\S+)", unit, re.MULTILINE):
        unit = unit.replace(path, sys.executable)
    file = tmp_path / "tracknow-relay.service"
    file.write_text(unit)
    result = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", file],
        capture_output=True,
        text=True,
        timeout=100,
    )
    ours = [line for line in result.stderr.splitlines() if "tracknow-relay" in line]
    assert ours == [], result.stderr


@pytest.mark.parametrize("name", ["passenger_wsgi.py", "pythonanywhere_wsgi.py"])
def test_a_wsgi_file_is_an_application(
    name: str, sqlite_url: str, tmp_path: Path, destination: StandIn
) -> None:
    """Another WSGI server imports the file, which reads ``relay.env``, and takes events in."""
    port = free_port()
    shutil.copy(DEPLOY / name, tmp_path / "site_wsgi.py")
    lines = [
        f"{k}={v}\n" for k, v in environment(sqlite_url, destination.url, deliver="true").items()
    ]
    (tmp_path / "relay.env").write_text("".join(lines))
    server = (
        "from wsgiref.simple_server import make_server; from site_wsgi import application; "
        f"make_server('127.0.0.1', {port}, application).serve_forever()"
    )
    command = [sys.executable, "-c", server]
    environ = whole_environment({"HOME": str(tmp_path), "PYTHONPATH": _path(tmp_path)})
    with running(command, port, tmp_path / "log", environ):
        assert post(port, ODD) == 200
        if name.startswith("passenger"):
            assert destination.wait_for(lambda: bool(destination.requests))
            assert destination.requests[0].body == ODD


def _path(folder: Path) -> str:
    """Import the file from its folder, and the project from where it is."""
    return f"{folder}:{DEPLOY.parents[1]}"


def test_the_example_of_an_env_file_names_real_variables() -> None:
    """Every name in it, commented out or not, is one that the relay reads."""
    text = (DEPLOY / "tracknow-relay.env.example").read_text()
    names = set(re.findall(r"^#?([A-Z][A-Z_]+)=", text, re.MULTILINE))
    known = {one.name for one in VARIABLES.values()} | {
        f"{one.name}_FILE" for one in VARIABLES.values() if one.secret
    }
    assert names
    assert names <= known
    assert set(dotenv_values(DEPLOY / "tracknow-relay.env.example")) <= known


def test_the_dockerfile_names_real_variables() -> None:
    """What it sets is what the relay reads."""
    text = (DEPLOY / "Dockerfile").read_text()
    names = set(re.findall(r"(TRACKNOW_[A-Z_]+)=", text))
    assert names
    assert names <= {one.name for one in VARIABLES.values()}
