"""Real servers and runtimes with the file that `tracknow-static edge` makes for them."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import web_servers
from tests.servers import ended
from tools.engines import npm
from tracknow_static.edge.files import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.settings import Settings

_HARNESS = Path(__file__).with_name("function_host.mjs")
# Lines in the site's block and around it: the edge files, a cookie of the site's own, a 404 page.
_NGINX = """
add_header Set-Cookie "own=1; Path=/" always;
error_page 404 /guide/index.html;
include {folder}/tracknow-server.conf;
"""
_CADDY = """
	header +Set-Cookie "own=1; Path=/"
	import {folder}/tracknow.caddy
	handle_errors {{
		rewrite * /guide/index.html
		file_server
	}}
"""
_APACHE = """
ErrorDocument 404 /guide/index.html
Header always add Set-Cookie "own=1; Path=/"
Include {folder}/tracknow.conf
"""
_SERVERS = {
    "nginx": (_NGINX, "include {folder}/tracknow-http.conf;"),
    "caddy": (_CADDY, ""),
    "apache": (_APACHE, ""),
}


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
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
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
    if host not in _SERVERS:
        (path,) = files
        with _function(host, folder / path) as port:
            yield Server(port, has_missing_pages=False)
        return
    lines, around = _SERVERS[host]
    site = write_site(folder)
    with web_servers.serving(
        host,
        folder,
        site,
        server=lines.format(folder=folder),
        http=around.format(folder=folder),
    ) as port:
        yield Server(port)


@contextlib.contextmanager
def _function(kind: str, file: Path) -> Iterator[int]:
    file.with_name("package.json").write_text('{"type": "module"}')
    command = [str(npm.NODE), str(_HARNESS), kind, str(file)]
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
