"""The edge files of a site: made of its settings with Jinja2, and held against those that are there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracknow_static.errors import SettingsError
from tracknow_static.tracknow import PLACEHOLDER

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


@dataclass(frozen=True)
class EdgeFile:
    """One file: ``path`` is where it belongs, relative to the project's root folder."""

    path: str
    text: str


def render(host: str, settings: Settings) -> list[EdgeFile]:
    """Return the files that make ``host`` (one of ``HOSTS``) set the cookie on landings.

    The header has to come from the site's own host: Safari keeps such a cookie for its whole age,
    but one that a script wrote for seven days at most (webkit.org, "Intelligent Tracking
    Prevention"). Raises :class:`SettingsError` with ``consent``, which only the browser knows.
    """
    if settings.consent is not None:
        problem = (
            f"consent: {settings.consent!r} does not go with an edge cookie: the server sends it "
            "before the visitor has decided. Leave consent out, or do without this file."
        )
        raise SettingsError([problem])
    values = {
        # Both names match [A-Za-z0-9_-]+ and the domain is a host name: safe in every template.
        "param": settings.param,
        "name": settings.storage_name,
        "seconds": settings.window_days * 86_400,
        "domain": settings.cookie_domain,
        "domain_pattern": re.escape(settings.cookie_domain or ""),
        "first": settings.attribution == "first",
        "gpc": settings.respect_gpc,
        "placeholder": PLACEHOLDER,
        "marker": f"{MARKER} {host}: change the options and run it again, not this file.",
    }
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("tracknow_static.edge"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML, and no value that could break out (see above)
    )
    return [
        EdgeFile(path, templates.get_template(template).render(values, path=path))
        for path, template in FILES[host]
    ]


def outdated(folder: Path, settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield (host, path) of each edge file below ``folder`` that the settings would make anew.

    A file that does not carry our marker is somebody else's and is passed over. Raises
    ``ModuleNotFoundError`` where there is a file and Jinja2 is not installed.
    """
    for host, files in FILES.items():
        present = [path for path, _ in files if is_ours(folder / path)]
        if not present:
            continue
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
