"""The web servers that merchants use (nginx, Caddy, Apache), each over a folder of pages."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.servers import free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MODULES = "/usr/lib/apache2/modules"
_APACHE_MODULES = (
    *("mpm_event", "authz_core", "dir", "mime", "setenvif", "headers", "rewrite", "alias"),
)


@contextlib.contextmanager
def serving(
    kind: str, folder: Path, site: Path, *, server: str = "", http: str = ""
) -> Iterator[int]:
    """Serve ``site`` until the block ends; yields the port.

    ``server`` are lines for the site's own block, ``http`` lines for what is around it.
    """
    port = free_port()
    write = {"nginx": _nginx, "caddy": _caddy, "apache": _apache}[kind]
    command = write(folder, site, port, server, http)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with running(command, port, folder / f"{kind}.log", environ):
        yield port


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return found


def _nginx(folder: Path, site: Path, port: int, server: str, http: str) -> list[str]:
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr; user root;\n"
        "events {}\n"
        "http {\n"
        "  types { text/html html; application/json json; text/javascript js; }\n"
        f"  access_log off; client_body_temp_path {folder}/body;\n"
        f"  {http}\n"
        f"  server {{ listen 127.0.0.1:{port}; root {site};\n"
        f"    {server}\n"
        "  }\n}\n"
    )
    return [_program("nginx"), "-p", str(folder), "-c", str(config)]


def _caddy(folder: Path, site: Path, port: int, server: str, http: str) -> list[str]:
    config = folder / "Caddyfile"
    config.write_text(
        f"{{\n\tadmin off\n\tauto_https off\n{http}\n}}\n"
        f"http://:{port} {{\n\tbind 127.0.0.1\n\troot * {site}\n{server}\n\tfile_server\n}}\n"
    )
    return [_program("caddy"), "run", "--adapter", "caddyfile", "--config", str(config)]


def _apache(folder: Path, site: Path, port: int, server: str, http: str) -> list[str]:
    config = folder / "httpd.conf"
    loads = "".join(
        f"LoadModule {name}_module {_MODULES}/mod_{name}.so\n" for name in _APACHE_MODULES
    )
    config.write_text(
        f"{loads}Listen 127.0.0.1:{port}\nServerName 127.0.0.1:{port}\nPidFile {folder}/pid\n"
        f"ErrorLog {folder}/error.log\nDocumentRoot {site}\nDirectoryIndex index.html\n"
        "User nobody\nGroup nogroup\nTypesConfig /dev/null\nAddType text/html .html\n"
        f"AddType application/json .json\nAddType text/javascript .js\n{http}\n{server}\n"
    )
    # Its workers give up root: they must be able to read the site.
    for part in (folder, *folder.parents):
        if part.stat().st_uid == os.geteuid() and len(part.parts) > 2:
            part.chmod(part.stat().st_mode | 0o055)
    return [_program("apache2"), "-X", "-f", str(config)]
