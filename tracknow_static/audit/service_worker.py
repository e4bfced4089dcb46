"""Service workers that keep pages as they were before the script was put in."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from tracknow_static.page.findings import Finding, finding, printable
from tracknow_static.page.process import is_page
from tracknow_static.page.splice import remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# An entry of Workbox's precache manifest, in either order, with or without quotes:
# developer.chrome.com/docs/workbox/modules/workbox-precaching
_KEY = r"""["']?%s["']?\s*:\s*["']([^"']+)["']"""
_ENTRY = re.compile(
    rf"\{{\s*(?:{_KEY % 'url'}\s*,\s*{_KEY % 'revision'}|{_KEY % 'revision'}\s*,\s*{_KEY % 'url'})"
)


def stale_precache(site: Path, path: str, script: bytes) -> Iterator[Finding]:
    """Yield a finding for a worker whose revision of a page is that of the page without script.

    Workbox's revisions are MD5 sums. ``path`` is the worker's, relative to ``site``.
    """
    if b"precache" not in script or b"revision" not in script:
        return
    stale = [
        url
        for url, revision in _entries(script.decode("utf-8", "replace"))
        if is_page(url) and _is_older(site, path, url, revision)
    ]
    if stale:
        more = f" and {len(stale) - 1:,} more" if len(stale) > 1 else ""
        yield finding("TN441", printable(path), 1, f"{stale[0]}{more}")


def _entries(script: str) -> Iterator[tuple[str, str]]:
    for match in _ENTRY.finditer(script):
        url, revision, revision_first, url_last = match.groups()
        yield (url, revision) if url else (url_last, revision_first)


def _is_older(site: Path, worker: str, url: str, revision: str) -> bool:
    base = site if url.startswith("/") else (site / worker).parent
    try:
        page = (base / url.lstrip("/")).read_bytes()
    except (OSError, ValueError):
        return False
    bare = remove(page)
    return bare != page and hashlib.md5(bare, usedforsecurity=False).hexdigest() == revision
