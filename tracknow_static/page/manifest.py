"""``tracknow.json``: what a build or ``inject`` leaves beside the script file about itself.

``check``, ``csp``, ``inject`` and ``remove`` read it instead of guessing how a site was built. The
same site gives the same bytes: no time, no path of the machine.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

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

_TOOL = "tracknow-static"
_SURFACES = 1_000  # payment surfaces that are listed, each with its first pages
_PAGES = 10
_SKIPPED = 1_000  # skipped pages that are listed with their reasons
_LARGEST = 1 << 24  # bytes


@dataclass(frozen=True)
class Manifest:
    """What ``tracknow.json`` contains of use to other commands.

    ``path`` is its own, relative to the site; ``options`` those that the site was built with.
    """

    path: str
    version: str
    generator: str
    options: dict[str, object]
    site_url: str | None = None
    opted_out: tuple[str, ...] = ()


@dataclass
class Record:
    """Collects a manifest while a pass goes over the pages."""

    generator: str
    settings: Settings
    site_url: str | None
    opted_out: list[str] = field(default_factory=list)
    _outcomes: Counter[str] = field(default_factory=Counter)
    _skipped: dict[str, str] = field(default_factory=dict)
    _surfaces: dict[tuple[str, str], tuple[int, list[str]]] = field(default_factory=dict)

    def add(self, page: PageResult) -> None:
        """Note the result of one page."""
        self._outcomes[page.outcome] += page.failure is None
        if page.reason and len(self._skipped) < _SKIPPED:
            self._skipped[page.file] = page.reason
        for surface in page.surfaces:
            known = self._surfaces.get(surface)
            if known is None and len(self._surfaces) >= _SURFACES:
                continue
            number, pages = known or (0, [])
            if len(pages) < _PAGES and page.file not in pages[-1:]:
                pages.append(page.file)
            self._surfaces[surface] = (number + 1, pages)

    def content(self, script: Script) -> bytes:
        """Return the bytes of the file."""
        surfaces = [
            {"kind": kind, "url": url, "count": number, "pages": pages}
            for (kind, url), (number, pages) in sorted(self._surfaces.items())
        ]
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


def _paths(root: str) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name != ".git")
        if NAME in files:
            yield os.path.relpath(Path(folder, NAME), root).replace(os.sep, "/")


def _load(root: str, path: str) -> Manifest | None:
    try:
        with Path(root, path).open("rb") as file:
            return parse(file.read(_LARGEST), path)
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
    if not isinstance(settings, dict) or not isinstance(opted_out, list):
        raise SettingsError(["is damaged. Build or inject the site again."], where=path)
    site_url = document.get("site_url")
    return Manifest(
        path=path,
        version=str(document.get("version")),
        generator=str(document.get("generator")),
        options={name: value for name, value in settings.items() if name in OPTIONS},
        site_url=site_url if isinstance(site_url, str) else None,
        opted_out=tuple(map(str, opted_out)),
    )


def is_manifest(content: bytes) -> bool:
    """Whether a file called ``tracknow.json`` is one of ours."""
    return content.startswith(b"{") and f'"tool": "{_TOOL}"'.encode() in content[:100]
