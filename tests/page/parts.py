"""A script made by hand, and sites to put it into."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracknow_static.page.site import process_site
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

CAPTURE = b"<script data-tracknow>(function(){var c='buy.stripe.com';})()</script>"
ASSET = b"/* carry */"
ASSET_NAME = f"carry.{hashlib.sha256(ASSET).hexdigest()[:8]}.js"


@dataclass(frozen=True)
class HandMade:
    """What ``compose`` gives, for a given text."""

    capture_tag: bytes = CAPTURE
    asset_path: str | None = f"assets/{ASSET_NAME}"
    asset: bytes | None = ASSET
    csp_hash: str | None = "sha256-abc"
    asset_pattern: re.Pattern[str] = field(default=re.compile(r"carry\.[0-9a-f]{8}\.js"))

    def tags(self, base: str) -> bytes:
        src = f"{base}{self.asset_path}".encode()
        return self.capture_tag + b'<script data-tracknow defer src="%s"></script>' % src


SCRIPT = HandMade()
SETTINGS = Settings()
TAGS = SCRIPT.tags("")

PAGE = b"<!doctype html><html><head><meta charset=utf-8><title>%d</title></head><body>x</body></html>\n"


def make_site(folder: Path, pages: int = 5) -> dict[str, bytes]:
    """Write a small site, half of it one folder down; give its pages by path."""
    made = {f"{'sub/' * (number % 2)}p{number}.html": PAGE % number for number in range(pages)}
    for path, content in made.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return made


__all__ = [
    "ASSET_NAME",
    "CAPTURE",
    "PAGE",
    "SCRIPT",
    "SETTINGS",
    "TAGS",
    "HandMade",
    "make_site",
    "process_site",
]
