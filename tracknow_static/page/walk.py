"""The files of a built site, in one order and with one rule for symbolic links."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from tracknow_static.errors import SiteError
from tracknow_static.page import copies
from tracknow_static.page.findings import printable
from tracknow_static.page.process import is_page, looks_like_page, may_be_page

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tracknow_static.page.process import PageProcessor


Kind = Literal["page", "source", "other", "unreadable"]


class Entry(NamedTuple):
    """A file of a site; or a folder that cannot be read, with its error.

    ``path`` is slash-separated and relative to the site. A ``source`` has an HTML document's
    beginning and a suffix that no page has. ``copies`` are the suffixes of compressed copies.
    """

    path: str
    kind: Kind
    error: OSError | None = None
    copies: tuple[str, ...] = ()


_START = 512  # bytes of a file that are looked at


def site_root(site_dir: str | os.PathLike[str]) -> str:
    """Return the real path of a site's folder; raise :class:`SiteError` if it is none."""
    root = os.path.realpath(site_dir)
    if not Path(root).is_dir():
        raise SiteError(f"{printable(site_dir)}: no such folder. Build the site first.")
    return root


def walk(root: str, processor: PageProcessor, others: Collection[str] = ()) -> Iterator[Entry]:
    """Yield the files of a site folder by folder, those of one folder in the order of their names.

    Folders that are symbolic links are not entered. A symbolic link to another page of the site
    is left out, unless its depth or an exclusion makes it a page of its own; one that leads out of
    the site is a page like any other, and becomes a file of its own when it changes. ``others`` are
    folders that are not entered either, such as "v1/".
    """
    folders = [""]
    while folders:
        prefix = folders.pop()
        below: list[str] = []
        files: list[tuple[str, Kind]] = []
        packed: set[str] = set()
        try:
            with os.scandir(f"{root}/{prefix}") as listing:
                for entry in listing:
                    name = entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if name != ".git" and f"{prefix}{name}/" not in others:
                            below.append(f"{prefix}{name}/")
                        continue
                    if name.endswith(copies.SUFFIXES):
                        packed.add(name)
                    kind = _kind(entry)
                    if kind != "page" or _is_own(entry, prefix + name, root, processor):
                        files.append((name, kind))
        except OSError as error:
            yield Entry(prefix or ".", "unreadable", error)
        for name, kind in sorted(files):
            beside = (suffix for suffix in copies.SUFFIXES if name + suffix in packed)
            yield Entry(prefix + name, kind, copies=tuple(beside) if packed else ())
        folders += sorted(below, reverse=True)


def _kind(entry: os.DirEntry[str]) -> Kind:
    if is_page(entry.name):
        return "page"
    kind = may_be_page(entry.name)
    try:
        if kind is None or not entry.is_file():
            return "other"
        with open(entry.path, "rb") as file:  # noqa: PTH123 - as cheap as it gets
            return kind if looks_like_page(file.read(_START)) else "other"
    except OSError:
        return "other"


def _is_own(entry: os.DirEntry[str], path: str, root: str, processor: PageProcessor) -> bool:
    """Whether a page is a file to be processed here, and not at the end of a link."""
    if not entry.is_symlink():
        return entry.is_file(follow_symlinks=False)
    try:
        real = os.path.realpath(entry.path, strict=True)
        if not stat.S_ISREG(os.stat(real).st_mode):  # noqa: PTH116
            return False
    except OSError:
        return False  # it leads nowhere: no page
    if not real.startswith(root + os.sep):
        return True
    target = real[len(root) + 1 :].replace(os.sep, "/")
    if not is_page(target):
        return True
    return (processor.base(target), processor.excludes(target)) != (
        processor.base(path),
        processor.excludes(path),
    )
