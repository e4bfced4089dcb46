"""A script made by hand, and sites to put it into."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tracknow_static.browser.compose import Script
from tracknow_static.page import splice
from tracknow_static.page.process import PageProcessor
from tracknow_static.page.site import SitePass
from tracknow_static.page.walk import site_root
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from tracknow_static.manifest import Record
    from tracknow_static.page.report import SiteReport
    from tracknow_static.page.splice import Spliced

ASSET = b"/* carry */"
ASSET_NAME = f"carry.{hashlib.sha256(ASSET).hexdigest()[:8]}.js"
SCRIPT = Script(
    inline="(function(){var c='buy.stripe.com';})()",
    asset_path=f"assets/{ASSET_NAME}",
    asset=ASSET,
    asset_attributes=" defer",
)
SETTINGS = Settings()
TAGS = SCRIPT.tags("")

PAGE = b"<!doctype html><html><head><meta charset=utf-8><title>%d</title></head><body>x</body></html>\n"


def transform(page: bytes, script: Script = SCRIPT, base: str = "") -> Spliced:
    """Put a script into a page from which ``base`` leads to the root of the site."""
    return splice.transform(page, script.tags(base), relative="//" not in base)


def count(page: bytes) -> int:
    """Count the script elements of ours in a page."""
    return len(splice.elements_of_ours(page))


def process_site(
    site: Path | str,
    settings: Settings = SETTINGS,
    *,
    script: Script = SCRIPT,
    root_url: str | None = None,
    opted_out: Collection[str] = (),
    check: bool = False,
    removing: bool = False,
    jobs: int = 1,
    record: Record | None = None,
) -> SiteReport:
    """Pass over a site with a given script."""
    processor = PageProcessor(settings, script, root_url, frozenset(opted_out), removing)
    return SitePass(site_root(site), processor, check, jobs, record=record).run()


def state(file: Path) -> tuple[int, int, int]:
    """Return what changes when a file is written: inode, time and size. Reading may change others."""
    found = file.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def make_site(folder: Path, pages: int = 5) -> dict[str, bytes]:
    """Write a small site, half of it one folder down; return its pages by path."""
    made = {f"{'sub/' * (number % 2)}p{number}.html": PAGE % number for number in range(pages)}
    for path, content in made.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return made


__all__ = [
    "ASSET_NAME",
    "PAGE",
    "SCRIPT",
    "SETTINGS",
    "TAGS",
    "count",
    "make_site",
    "process_site",
    "state",
    "transform",
]
