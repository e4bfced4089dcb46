"""One pass over a built site: every page once, in a stream, written only when it changes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tracknow_static.errors import SiteError
from tracknow_static.page.findings import printable
from tracknow_static.page.report import Failure, PageOutcome, SiteReport
from tracknow_static.page.single import InspectionCache, PagePass, is_page
from tracknow_static.page.writing import Replacer, is_temporary, left_over, replace_file

if TYPE_CHECKING:
    from tracknow_static.browser.compose import Script
    from tracknow_static.settings import Settings

Progress = Callable[[int, str], None]
Visit = Callable[[PageOutcome], None]


def process_site(
    site_dir: str | os.PathLike[str],
    settings: Settings,
    *,
    root_url: str | None = None,
    opted_out: Collection[str] = (),
    absolute: Collection[str] = ("404.html",),
    check: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
    visit: Visit | None = None,
    cache: InspectionCache | None = None,
    script: Script | None = None,
) -> SiteReport:
    """Put the script into every page of a built site, and its file beside them.

    ``root_url`` is the path or URL under which the site is served; the pages that ``absolute``
    names (globs) use it, since a server shows them at any depth; all others use relative URLs.
    ``opted_out`` holds paths inside the site of pages that are to carry no script. ``check``
    changes nothing and reports what would change. ``jobs`` is the number of processes.
    ``progress`` is called with the number of pages done and the last one's path, ``visit`` with
    each page's outcome. ``cache`` kept between calls spares the reading of unchanged pages for
    payment links. ``script`` stands in for the one that the settings make.

    A file that cannot be read or written stays as it was and is among the report's ``failures``;
    if it is the script's own file, all pages stay as they were. Folders that are symbolic links
    are not entered.
    Raises :class:`SiteError` when ``site_dir`` is no folder, or a process of ``jobs`` is killed.
    """
    script = script or _compose(settings)
    out = frozenset(path.replace(os.sep, "/") for path in opted_out)
    page_pass = PagePass(settings, script, root_url, out, tuple(absolute))
    run = _Run(_root(site_dir), page_pass, script, check, jobs, progress, visit)
    return run.whole(cache)


def count_pages(site_dir: str | os.PathLike[str]) -> int:
    """Count the pages of a site, about; for a progress bar."""
    return sum(is_page(name) for _, _, names in os.walk(_root(site_dir)) for name in names)


def remove_site(
    site_dir: str | os.PathLike[str],
    settings: Settings,
    *,
    check: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
    visit: Visit | None = None,
    script: Script | None = None,
) -> SiteReport:
    """Take every script of ours out of a site: each page gets back its original bytes.

    Parameters, report and errors are those of :func:`process_site`.
    """
    script = script or _compose(settings)
    page_pass = PagePass(settings, script, removing=True)
    return _Run(_root(site_dir), page_pass, script, check, jobs, progress, visit).whole(None)


def _compose(settings: Settings) -> Script:
    from tracknow_static.browser.compose import compose

    return compose(settings)


def _root(site_dir: str | os.PathLike[str]) -> str:
    root = os.path.realpath(site_dir)
    if not Path(root).is_dir():
        raise SiteError(f"{printable(site_dir)}: no such folder. Build the site first.")
    return root


@dataclass
class _Worker:
    """Does pages; one in each process."""

    root: str
    page_pass: PagePass
    check: bool
    cache: InspectionCache | None
    files: Replacer = field(default_factory=Replacer)

    def do(self, path: str) -> PageOutcome:
        whole = f"{self.root}/{path}"
        try:
            page, status = _read(whole)
            done = self.page_pass.run(path, page, self.cache)
            if done.changed and not self.check:
                self.files.replace(whole, done.page, status)
        except OSError as error:
            return PageOutcome(printable(path), failure=_reason(error))
        except MemoryError:
            return PageOutcome(printable(path), failure="Too large for this machine's memory")
        return PageOutcome(
            *(done.file, done.changed, done.outcome, done.reason, done.links, done.findings)
        )


def _read(path: str) -> tuple[bytes, os.stat_result]:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        chunk = os.read(handle, status.st_size + 1)
        if len(chunk) == status.st_size:
            return chunk, status
        chunks = [chunk]  # a file that grows, or one beyond what one call reads
        while chunk:
            chunk = os.read(handle, 1 << 24)
            chunks.append(chunk)
        return b"".join(chunks), status
    finally:
        os.close(handle)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


@dataclass
class _Run:
    """One pass."""

    root: str
    page_pass: PagePass
    script: Script
    check: bool
    jobs: int
    progress: Progress | None
    visit: Visit | None
    assets: list[str] = field(default_factory=list)

    def whole(self, cache: InspectionCache | None) -> SiteReport:
        removing = self.page_pass.removing
        report = SiteReport(check=self.check, removing=removing)
        if not removing:
            report.csp_hash = self.script.csp_hash
            # First: no page may name a file that is not there.
            self._write_asset(report)
            if report.failures:
                return report
        worker = _Worker(self.root, self.page_pass, self.check, cache)
        pages = self._pages(report)
        outcomes = map(worker.do, pages) if self.jobs <= 1 else self._pooled(worker, pages)
        with worker.files:
            for number, page in enumerate(outcomes, 1):
                report.add(page)
                if self.visit:
                    self.visit(page)
                if self.progress:
                    self.progress(number, page.file)
        if not report.failures:  # a page that failed may name an old file still
            self._drop_old_assets(report)
        return report

    def _pooled(self, worker: _Worker, pages: Iterator[str]) -> Iterator[PageOutcome]:
        # Late: it takes as long to import as a hundred pages do.
        from tracknow_static.page.pool import pooled

        return pooled(worker, pages, self.jobs)

    def _write_asset(self, report: SiteReport) -> None:
        path, content = self.script.asset_path, self.script.asset
        if path is None or content is None:
            return
        report.asset = path
        aside = "no page was changed, since each would name this file"
        target = Path(self.root, path)
        try:
            status = target.stat() if target.is_file() else None
            if status and status.st_size == len(content) and target.read_bytes() == content:
                return
            report.asset_changed = True
            if not f"{os.path.realpath(target.parent)}/".startswith(f"{self.root}/"):
                reason = "Its folder is a link that leads out of the site"
                report.failures.append(Failure(path, f"{reason}; {aside}"))
            elif not self.check:
                target.parent.mkdir(parents=True, exist_ok=True)
                replace_file(target, content, status)
        except OSError as error:
            report.failures.append(Failure(path, f"{_reason(error)}; {aside}"))

    def _drop_old_assets(self, report: SiteReport) -> None:
        current = None if report.removing else self.script.asset_path
        for path in sorted(self.assets):
            if path == current:
                continue
            file = Path(self.root, path)
            try:
                # The name holds a hash of the content: what was not made by us does not match.
                if hashlib.sha256(file.read_bytes()).hexdigest()[:8] not in file.name:
                    continue
                report.old_assets.append(printable(path))
                if not self.check:
                    file.unlink()
                    if report.removing and not os.listdir(file.parent):  # noqa: PTH208
                        file.parent.rmdir()
            except OSError as error:
                report.failures.append(Failure(printable(path), _reason(error)))

    def _pages(self, report: SiteReport) -> Iterator[str]:
        """Give the paths of all pages, folder by folder, and clear what killed runs left."""
        folders = [""]
        while folders:
            prefix = folders.pop()
            below: list[str] = []
            pages: list[str] = []
            try:
                with os.scandir(f"{self.root}/{prefix}") as listing:
                    for entry in listing:
                        name = entry.name
                        if entry.is_dir(follow_symlinks=False):
                            if name != ".git":
                                below.append(f"{prefix}{name}/")
                        elif is_page(name):
                            if self._own(entry, prefix + name):
                                pages.append(name)
                        elif is_temporary(name):
                            self._clear(entry, report)
                        elif self.script.asset_pattern.fullmatch(name):
                            self.assets.append(prefix + name)
            except OSError as error:
                report.failures.append(Failure(printable(prefix or "."), _reason(error)))
            for name in sorted(pages):
                yield prefix + name
            folders += sorted(below, reverse=True)

    def _clear(self, entry: os.DirEntry[str], report: SiteReport) -> None:
        try:
            if not self.check and left_over(entry):
                Path(entry.path).unlink(missing_ok=True)
        except OSError as error:
            report.failures.append(Failure(printable(entry.name), _reason(error)))

    def _own(self, entry: os.DirEntry[str], path: str) -> bool:
        """Say whether a page is a file to be done here.

        A link to another page of this site is done there, unless its depth makes another page of
        it; a link that leads out of the site becomes a file of its own as soon as it changes.
        """
        if not entry.is_symlink():
            return entry.is_file(follow_symlinks=False)
        try:
            real = os.path.realpath(entry.path, strict=True)
            if not stat.S_ISREG(os.stat(real).st_mode):  # noqa: PTH116
                return False
        except OSError:
            return False  # it leads nowhere: no page
        if not real.startswith(self.root + os.sep):
            return True
        target = real[len(self.root) + 1 :].replace(os.sep, "/")
        mine = self.page_pass
        same = mine.base(target) == mine.base(path) and mine.excludes(target) == mine.excludes(path)
        return not (same and is_page(target))
