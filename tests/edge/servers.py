"""Real servers and runtimes with the file that `tracknow-static edge` makes for them."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import ended, free_port, running
from tools.engines import npm
from tracknow_static.edge.render import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.settings import Settings

_HARNESS = Path(__file__).with_name("function_host.mjs")
_MODULES = "/usr/lib/apache2/modules"
_APACHE_MODULES = ("mpm_event", "authz_core", "dir", "mime", "setenvif", "headers")


@dataclass
class Answer:
    """What a request was answered with."""

    status: int
    cookies: list[str]
    cache_control: str


@dataclass
class Server:
    """A running server on a loopback port."""

    port: int
    has_missing_pages: bool = True

    def ask(self, target: str, *, method: str = "GET", **headers: str) -> Answer:
        """Send one request; ``target`` goes out as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            sent = {"Host": "shop.example.com", "Accept": "text/html,*/*;q=0.8"}
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            response.read()
            cookies = response.msg.get_all("Set-Cookie") or []
            caching = response.msg.get_all("Cache-Control") or []
        return Answer(response.status, cookies, ", ".join(caching))


def write_site(folder: Path) -> Path:
    """Write a site of two pages and a data file."""
    site = folder / "site"
    (site / "guide").mkdir(parents=True)
    for page in ("index.html", "guide/index.html"):
        (site / page).write_text("<!doctype html><title>Shop</title>page")
    (site / "data.json").write_text("{}")
    return site


@contextlib.contextmanager
def serving(host: str, settings: Settings, folder: Path) -> Iterator[Server]:
    """Serve a small site with the edge files of ``host`` until the block ends."""
    files = {file.path: file.text for file in render(host, settings)}
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    start = {"nginx": _nginx, "caddy": _caddy, "apache": _apache}.get(host)
    if start is None:
        (path,) = files
        with _function(host, folder / path) as port:
            yield Server(port, has_missing_pages=False)
        return
    port = free_port()
    command = start(folder, write_site(folder), port)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with running(command, port, folder / "log", environ):
        yield Server(port)


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return found


def _nginx(folder: Path, site: Path, port: int) -> list[str]:
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr; user root;\n"
        "events {}\n"
        "http {\n"
        "  types { text/html html; application/json json; }\n"
        f"  access_log off; client_body_temp_path {folder}/body;\n"
        f"  include {folder}/tracknow-http.conf;\n"
        f"  server {{ listen 127.0.0.1:{port}; root {site}; error_page 404 /guide/index.html;\n"
        '    add_header Set-Cookie "own=1; Path=/" always;\n'
        f"    include {folder}/tracknow-server.conf;\n"
        "  }\n}\n"
    )
    return [_program("nginx"), "-p", str(folder), "-c", str(config)]


def _caddy(folder: Path, site: Path, port: int) -> list[str]:
    config = folder / "Caddyfile"
    config.write_text(
        "{\n\tadmin off\n\tauto_https off\n}\n"
        f"http://:{port} {{\n\tbind 127.0.0.1\n\troot * {site}\n"
        f'\theader +Set-Cookie "own=1; Path=/"\n\timport {folder}/tracknow.caddy\n'
        "\tfile_server\n\thandle_errors {\n\t\trewrite * /guide/index.html\n\t\tfile_server\n\t}\n}\n"
    )
    return [_program("caddy"), "run", "--adapter", "caddyfile", "--config", str(config)]


def _apache(folder: Path, site: Path, port: int) -> list[str]:
    config = folder / "httpd.conf"
    loads = "".join(
        f"LoadModule {name}_module {_MODULES}/mod_{name}.so\n" for name in _APACHE_MODULES
    )
    config.write_text(
        f"{loads}Listen 127.0.0.1:{port}\nServerName shop.example.com\nPidFile {folder}/pid\n"
        f"ErrorLog {folder}/error.log\nDocumentRoot {site}\nDirectoryIndex index.html\n"
        "User nobody\nGroup nogroup\nTypesConfig /dev/null\nAddType text/html .html\n"
        "AddType application/json .json\nErrorDocument 404 /guide/index.html\n"
        'Header always add Set-Cookie "own=1; Path=/"\n'
        f"Include {folder}/tracknow.conf\n"
    )
    # Its workers give up root: they must be able to read the site.
    for part in (folder, *folder.parents):
        if part.stat().st_uid == os.geteuid() and len(part.parts) > 2:
            part.chmod(part.stat().st_mode | 0o055)
    return [_program("apache2"), "-X", "-f", str(config)]


@contextlib.contextmanager
def _function(kind: str, file: Path) -> Iterator[int]:
    file.with_name("package.json").write_text('{"type": "module"}')
    command = [str(Path(sys.executable).parent / "node"), str(_HARNESS), kind, str(file)]
    if kind == "cloudflare":
        command.append(str(npm.find("miniflare", "4.20260426.0", "dist/src/index.js")))
    if kind == "vercel":
        package = npm.find("@vercel/functions", "3.9.9", "package.json").parent
        (file.parent / "node_modules" / "@vercel").mkdir(parents=True)
        (file.parent / "node_modules" / "@vercel" / "functions").symlink_to(package)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with ended(process), process.stdout:
        port = process.stdout.readline()
        assert port, "the function did not start"
        yield int(port)
