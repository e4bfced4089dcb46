"""Files of a built site as a static host answers them."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from pathlib import Path


def read_file(folder: Path, prefix: str, path: str) -> tuple[int, str, bytes]:
    """Return status, content type and body for the path of a URL.

    301 means that the folder's URL lacks its final slash. A missing file gets the site's
    404.html.
    """
    inner = unquote(path.removeprefix(prefix)).lstrip("/") if path.startswith(prefix) else None
    if inner is not None and ".." not in PurePosixPath(inner).parts:
        found = folder / inner
        if found.is_dir():
            if inner and not path.endswith("/"):
                return 301, "", b""
            found /= "index.html"
        if found.is_file():
            return 200, _type(found), found.read_bytes()
    missing = folder / "404.html"
    return 404, "text/html; charset=utf-8", missing.read_bytes() if missing.is_file() else b"none"


def _type(file: Path) -> str:
    # Text without a charset: the page itself declares it, as it does on most static hosts.
    return mimetypes.guess_type(file.name)[0] or "application/octet-stream"
