"""The files that a pass leaves in a site beside the pages: the script, the manifest."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tracknow_static.manifest import NAME, is_manifest
from tracknow_static.page.findings import printable
from tracknow_static.page.writing import is_temporary, left_over, replace_file

if TYPE_CHECKING:
    import re


@dataclass
class OwnFiles:
    """Our files in the site at ``root``; with ``check`` none of them is written or deleted."""

    root: str
    asset_pattern: re.Pattern[str]
    check: bool
    _seen: list[str] = field(default_factory=list)

    def write(self, path: str, content: bytes) -> bool:
        """Write a file unless it is there with this content; return whether it was not.

        Raises ``OSError``.
        """
        target = Path(self.root, path)
        status = target.stat() if target.is_file() else None
        if status and status.st_size == len(content) and target.read_bytes() == content:
            return False
        if not f"{os.path.realpath(target.parent)}/".startswith(f"{self.root}/"):
            raise OSError(errno.EXDEV, "Its folder is a link that leads out of the site")
        if not self.check:
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, content, status)
        return True

    def see(self, path: str) -> None:
        """Note a file of ours of an earlier pass; delete it if it is what a killed one left.

        Raises ``OSError``.
        """
        name = path.rpartition("/")[2]
        if name == NAME or self.asset_pattern.fullmatch(name):
            self._seen.append(path)
        elif is_temporary(name) and not self.check and left_over(Path(self.root, path)):
            Path(self.root, path).unlink(missing_ok=True)

    def drop(self, keep: set[str | None]) -> tuple[list[str], list[tuple[str, OSError]]]:
        """Delete the files of earlier passes except ``keep``; return them, and those that failed."""
        dropped: list[str] = []
        failed: list[tuple[str, OSError]] = []
        for path in sorted(set(self._seen) - keep):
            file = Path(self.root, path)
            try:
                if not _is_ours(file):
                    continue
                dropped.append(printable(path))
                if not self.check:
                    file.unlink()
                    self._remove_empty(file.parent)
            except OSError as error:
                failed.append((path, error))
        return dropped, failed

    def _remove_empty(self, folder: Path) -> None:
        while folder != Path(self.root) and not os.listdir(folder):  # noqa: PTH208
            folder.rmdir()
            folder = folder.parent


def _is_ours(file: Path) -> bool:
    content = file.read_bytes()
    if file.name == NAME:
        return is_manifest(content)
    # The name contains a hash of the content: a file of somebody else's has another.
    return hashlib.sha256(content).hexdigest()[:8] in file.name
