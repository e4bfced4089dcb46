"""``tracknow.json``: what a build or ``inject`` leaves beside the script file about itself.

``check``, ``csp``, ``inject`` and ``remove`` read it instead of guessing how a site was built, and
the relay to see which payment link is on which page. The same site gives the same bytes: no time, no
path of the machine.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tracknow_static import __version__
from tracknow_static.errors import SettingsError
from tracknow_static.settings import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.browser.compose import Script
    from tracknow_static.page.report import PageResult
    from tracknow_static.settings import Settings

NAME = "tracknow.json"
FORMAT = 1
LARGEST = 1 << 24
"""Bytes of a manifest that are read."""

_TOOL = "tracknow-static"
_SURFACES = 1_000  # payment surfaces that are listed, each with its first pages
_PAGES = 10
_SKIPPED = 1_000  # skipped pages that are listed with their reasons


@dataclass
class ListedSurface:
    """What leads to a payment page, and where: the same address of the same kind is one.

    ``url`` is "" for a buy button or a pricing table. ``count`` is how often it occurs. ``pages``
    are the first pages that have it, ``without_script`` the first of those without our script.
    """

    kind: str
    url: str
    count: int = 0
    pages: list[str] = field(default_factory=list)
    without_script: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Manifest:
    """What ``tracknow.json`` contains of use to other commands.

    ``path`` is its own, relative to the site; ``options`` those that the site was built with.
    ``surfaces`` lists all of them unless ``truncated``.
    """

    path: str
    version: str
    generator: str
    options: dict[str, object]
    site_url: str | None = None
    opted_out: tuple[str, ...] = ()
    surfaces: tuple[ListedSurface, ...] = ()

    @property
    def truncated(self) -> bool:
        """Whether the site may have more payment surfaces than are listed."""
        return len(self.surfaces) >= _SURFACES


@dataclass
class Record:
    """Collects a manifest while a pass goes over the pages."""

    generator: str
    settings: Settings
    site_url: str | None
    opted_out: list[str] = field(default_factory=list)
    _outcomes: Counter[str] = field(default_factory=Counter)
    _skipped: dict[str, str] = field(default_factory=dict)
    _surfaces: dict[tuple[str, str], ListedSurface] = field(default_factory=dict)

    def add(self, page: PageResult) -> None:
        """Note the result of one page."""
        self._outcomes[page.outcome] += page.failure is None
        if page.reason and len(self._skipped) < _SKIPPED:
            self._skipped[page.file] = page.reason
        for surface in page.surfaces:
            listed = self._surfaces.get(surface)
            if listed is None:
                if len(self._surfaces) >= _SURFACES:
                    continue
                listed = self._surfaces[surface] = ListedSurface(*surface)
            listed.count += 1
            _note(listed.pages, page.file)
            if page.outcome != "carries":
                _note(listed.without_script, page.file)

    def content(self, script: Script) -> bytes:
        """Return the bytes of the file."""
        surfaces = [asdict(listed) for _, listed in sorted(self._surfaces.items())]
        document = {
            "tool": _TOOL,
            "format": FORMAT,
            "version": __version__,
            "generator": self.generator,
            "site_url": self.site_url,
            "script": {"csp_hash": script.csp_hash, "file": script.asset_path},
            "settings": asdict(self.settings),
            "pages": {name: self._outcomes[name] for name in ("carries", "excluded", "skipped")},
            "opted_out": sorted(self.opted_out),
            "skipped": dict(sorted(self._skipped.items())),
            "surfaces": surfaces,
        }
        return (json.dumps(document, indent=1) + "\n").encode("ascii")


def _note(pages: list[str], page: str) -> None:
    if len(pages) < _PAGES and page not in pages[-1:]:
        pages.append(page)


def find(root: str) -> dict[str, Manifest]:
    """Return the manifests in a folder by the folder of the site that each is about.

    "" is ``root`` itself, "v1/" a site of its own below it. Raises :class:`SettingsError` for a
    manifest of a newer format.
    """
    found = {}
    for path in _paths(root):
        manifest = _load(root, path)
        if manifest:
            folder = f"{manifest.options.get('asset_dir')}/{NAME}"
            if path == folder or path.endswith(f"/{folder}"):
                found[path.removesuffix(folder)] = manifest
    return found


def read_manifest(site_dir: str) -> Manifest | None:
    """Return the manifest of the site in a folder; raise :class:`SettingsError` as :func:`find`."""
    return find(os.path.realpath(site_dir)).get("")


def _paths(root: str) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name != ".git")
        if NAME in files:
            yield os.path.relpath(Path(folder, NAME), root).replace(os.sep, "/")


def _load(root: str, path: str) -> Manifest | None:
    try:
        with Path(root, path).open("rb") as file:
            return parse(file.read(LARGEST), path)
    except OSError:
        return None


def parse(content: bytes, path: str) -> Manifest | None:
    """Return the manifest in a file's bytes, or None for another file of that name.

    Raises :class:`SettingsError` for one of a newer format and for one that is damaged.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("tool") != _TOOL:
        return None
    if document.get("format") != FORMAT:
        problem = f"was written by {_TOOL} {document.get('version')}, in a format that this version"
        raise SettingsError([f"{problem} does not know. Upgrade it."], where=path)
    settings, opted_out = document.get("settings"), document.get("opted_out")
    surfaces = document.get("surfaces")
    if not (isinstance(settings, dict) and isinstance(opted_out, list) and type(surfaces) is list):
        raise SettingsError(["is damaged. Build or inject the site again."], where=path)
    return Manifest(
        path=path,
        version=str(document.get("version")),
        generator=str(document.get("generator")),
        options={name: value for name, value in settings.items() if name in OPTIONS},
        site_url=_site_url(document.get("site_url")),
        opted_out=tuple(map(str, opted_out)),
        surfaces=tuple(_surface(entry) for entry in surfaces[:_SURFACES]),
    )


def _site_url(found: object) -> str | None:
    try:
        urlsplit(found if isinstance(found, str) else "")
    except ValueError:  # a live manifest may hold anything
        return None
    return found if isinstance(found, str) else None


def _surface(entry: object) -> ListedSurface:
    """Return a surface out of JSON; what is of another type than ours is left out."""
    found = entry if isinstance(entry, dict) else {}

    def pages(name: str) -> list[str]:
        listed = found.get(name)
        return [str(page) for page in listed[:_PAGES]] if isinstance(listed, list) else []

    count = found.get("count")
    return ListedSurface(
        kind=str(found.get("kind", "")),
        url=str(found.get("url", "")),
        count=count if isinstance(count, int) else 0,
        pages=pages("pages"),
        without_script=pages("without_script"),
    )


def is_manifest(content: bytes) -> bool:
    """Whether a file called ``tracknow.json`` is one of ours."""
    return content.startswith(b"{") and f'"tool": "{_TOOL}"'.encode() in content[:100]
