"""Which pages are walked: those that lead to a payment page, redirects, and the 404 page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tracknow_static.walk.walker import Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracknow_static.audit.site import SiteAudit
    from tracknow_static.config import Project

_LANDINGS = 10  # redirects that are landed on, unless all are


def targets(
    audit: SiteAudit, *, most: int | None, every: bool
) -> tuple[list[Target], dict[tuple[str, str, str], int]]:
    """Return the pages to walk, and the line of each payment surface by page, kind and address.

    ``most`` limits the number of pages with payment surfaces.
    """
    found: list[Target] = []
    landings: list[Target] = []
    lines: dict[tuple[str, str, str], int] = {}
    pages = list(audit.pages())
    scripts = [page.path.rpartition("/")[2].encode() for page in pages if page.state == "script"]
    for page in pages:
        if page.state in ("unread", "script"):
            continue
        for surface in page.surfaces:
            lines.setdefault((page.path, surface.kind, surface.url), surface.line)
        kinds = {surface.kind for surface in page.surfaces}
        loads = bool(scripts) and _mentions(Path(audit.root, page.path), scripts)
        if (kinds or loads) and (most is None or len(found) < most):
            leaves = loads or bool(kinds & {"script", "refresh"})
            scripted = loads or bool(kinds & {"script", "data"})
            found.append(Target(page.path, scripted, leaves))
        if page.state != "excluded" and page.redirects:
            landings.append(Target(page.path, leaves=True, landing=True))
    if Path(audit.root, "404.html").is_file():
        found.append(Target("walk/no-such-page/", landing=True))
    return [*found, *(landings if every else landings[:_LANDINGS])], lines


def _mentions(file: Path, names: Iterable[bytes]) -> bool:
    """Whether a page loads a script that leads to a payment page."""
    page = file.read_bytes()
    return any(name in page for name in names)


def site_address(project: Project) -> tuple[str, str]:
    """Return the host and the path that the site is walked under."""
    parts = urlsplit(project.site_url or "")
    domain = project.settings.cookie_domain
    host = parts.hostname or (f"www.{domain}" if domain else "shop.example")
    return host, parts.path or "/"
