"""One pass over a built site: every page once, in a stream, written only when it changes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tracknow_static.page.findings import printable
from tracknow_static.page.process import PageProcessor
from tracknow_static.page.report import Failure, PageResult, SiteReport
from tracknow_static.page.walk import site_root, walk
from tracknow_static.page.writing import Replacer, is_temporary, left_over, replace_file

if TYPE_CHECKING:
    from tracknow_static.settings import Settings

Progress = Callable[[int, str], None]
Visit = Callable[[PageResult], None]


def process_site(
    site_dir: str | os.PathLike[str],
    settings: Settings,
    *,
    root_url: str | None = None,
    opted_out: Collection[str] = (),
    check: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
    visit: Visit | None = None,
) -> SiteReport:
    """Put the script into every page of a built site, and its file beside them.

    ``root_url`` is the path or URL under which the site is served; pages that are called 404.html
    use it, since a server shows them at any depth; all others use relative URLs. ``opted_out``
    contains paths inside the site of pages that are to carry no script. ``check`` changes nothing
    and reports what would change. ``jobs`` is the number of processes. ``progress`` is called with
    the number of pages done and the last one's path, ``visit`` with each page's result.

    A file that cannot be read or written stays as it was and is among the report's ``failures``;
    if it is the script's own file, all pages stay as they were.
    Raises :class:`SiteError` when ``site_dir`` is no folder, or a process of ``jobs`` is killed.
    """
    from tracknow_static.browser.compose import compose

    paths = frozenset(path.replace(os.sep, "/") for path in opted_out)
    processor = PageProcessor(settings, compose(settings), root_url, paths)
    return SitePass(site_root(site_dir), processor, check, jobs, progress, visit).run()


def remove_site(
    site_dir: str | os.PathLike[str],
    settings: Settings,
    *,
    check: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> SiteReport:
    """Remove every script of ours from a site: each page gets back its original bytes.

    Parameters, report and errors are those of :func:`process_site`.
    """
    from tracknow_static.browser.compose import compose

    processor = PageProcessor(settings, compose(settings), removing=True)
    return SitePass(site_root(site_dir), processor, check, jobs, progress).run()


@dataclass
class Worker:
    """Processes pages; each process has its own."""

    root: str
    processor: PageProcessor
    check: bool
    files: Replacer = field(default_factory=Replacer)

    def process(self, path: str) -> PageResult:
        """Process the page at ``path``, and write it if it changes."""
        whole = f"{self.root}/{path}"
        try:
            page, status = _read(whole)
            content, result = self.processor.process(path, page)
            if result.changed and not self.check:
                self.files.replace(whole, content, status)
        except OSError as error:
            return PageResult(printable(path), failure=_reason(error))
        except MemoryError:
            return PageResult(printable(path), failure="Too large for this machine's memory")
        return result


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
class SitePass:
    """One pass over the site at ``root``, a real path."""

    root: str
    processor: PageProcessor
    check: bool = False
    jobs: int = 1
    progress: Progress | None = None
    visit: Visit | None = None
    _assets: list[str] = field(default_factory=list)

    def run(self) -> SiteReport:
        """Process every page; see :func:`process_site`."""
        removing = self.processor.removing
        report = SiteReport(check=self.check, removing=removing)
        if not removing:
            report.csp_hash = self.processor.script.csp_hash
            if self._some_page_carries():
                # First: no page may name a file that is not there.
                self._write_asset(report)
            if report.failures:
                return report
        worker = Worker(self.root, self.processor, self.check)
        pages = self._pages(report)
        results = map(worker.process, pages) if self.jobs <= 1 else self._pooled(worker, pages)
        with worker.files:
            for number, page in enumerate(results, 1):
                report.add(page)
                if self.visit:
                    self.visit(page)
                if self.progress:
                    self.progress(number, page.file)
        if not report.failures:  # a page that failed may still name an old file
            self._drop_old_assets(report)
        return report

    def _some_page_carries(self) -> bool:
        trial = Worker(self.root, self.processor, check=True)
        pages = (entry.path for entry in walk(self.root, self.processor) if entry.kind == "page")
        results = map(trial.process, pages)
        return any(page.outcome == "carries" and page.failure is None for page in results)

    def _pooled(self, worker: Worker, pages: Iterator[str]) -> Iterator[PageResult]:
        # Late: it takes as long to import as a hundred pages do.
        from tracknow_static.page.pool import pooled

        return pooled(worker, pages, self.jobs)

    def _pages(self, report: SiteReport) -> Iterator[str]:
        """Yield the paths of all pages, and remove what killed runs left."""
        for path, kind, error in walk(self.root, self.processor):
            if kind == "page":
                yield path
                continue
            name = path.rpartition("/")[2]
            if error is not None:
                report.failures.append(Failure(printable(path), _reason(error)))
            elif is_temporary(name):
                self._clear(path, report)
            elif self.processor.script.asset_pattern.fullmatch(name):
                self._assets.append(path)

    def _clear(self, path: str, report: SiteReport) -> None:
        file = Path(self.root, path)
        try:
            if not self.check and left_over(file):
                file.unlink(missing_ok=True)
        except OSError as error:
            report.failures.append(Failure(printable(path), _reason(error)))

    def _write_asset(self, report: SiteReport) -> None:
        path, content = self.processor.script.asset_path, self.processor.script.asset
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
        current = None if report.removing else self.processor.script.asset_path
        for path in sorted(self._assets):
            if path == current:
                continue
            file = Path(self.root, path)
            try:
                # The name contains a hash of the content: a file of somebody else's has another.
                if hashlib.sha256(file.read_bytes()).hexdigest()[:8] not in file.name:
                    continue
                report.old_assets.append(printable(path))
                if not self.check:
                    file.unlink()
                    if report.removing and not os.listdir(file.parent):  # noqa: PTH208
                        file.parent.rmdir()
            except OSError as error:
                report.failures.append(Failure(printable(path), _reason(error)))
