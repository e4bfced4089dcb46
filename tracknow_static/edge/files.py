"""Where edge files belong, and whether those that are there fit the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracknow_static.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tracknow_static.settings import Settings

# The first comment of every file: `check` and `--write` recognize ours by it.
MARKER = "Made by tracknow-static edge"

# Host: (path, template) of each of its files.
FILES = {
    "netlify": (("netlify/edge-functions/tracknow.js", "netlify.js.j2"),),
    "cloudflare": (("functions/_middleware.js", "cloudflare.js.j2"),),
    "vercel": (("middleware.js", "vercel.js.j2"),),
    "nginx": (
        ("tracknow-http.conf", "nginx-http.conf.j2"),
        ("tracknow-server.conf", "nginx-server.conf.j2"),
    ),
    "caddy": (("tracknow.caddy", "caddy.j2"),),
    "apache": (("tracknow.conf", "apache.conf.j2"),),
}
HOSTS = tuple(FILES)


def outdated(folder: Path, settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield (host, path) of each edge file below ``folder`` that the settings would make anew.

    A file that does not carry our marker is somebody else's and is passed over. Raises
    ``ModuleNotFoundError`` where there is a file and Jinja2 is not installed.
    """
    for host, files in FILES.items():
        present = [path for path, _ in files if is_ours(folder / path)]
        if not present:
            continue
        from tracknow_static.edge.render import render

        try:
            wanted = {file.path: file.text for file in render(host, settings)}
        except SettingsError:  # with consent there must be none at all
            wanted = {}
        for path in present:
            if (folder / path).read_text(encoding="utf-8", errors="replace") != wanted.get(path):
                yield host, path


def is_ours(path: Path) -> bool:
    """Whether a file was made by `tracknow-static edge`."""
    try:
        with path.open("rb") as file:
            return MARKER.encode() in file.read(200)
    except OSError:
        return False
