"""One pass over a built site: every page once, in a stream, written only when it changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tracknow_static.manifest import NAME, Record, find
from tracknow_static.page import copies
from tracknow_static.page.findings import finding, printable
from tracknow_static.page.own_files import OwnFiles
from tracknow_static.page.process import PageProcessor
from tracknow_static.page.report import Failure, PageResult, SiteReport
from tracknow_static.page.splice import remove
from tracknow_static.page.walk import site_root, walk
from tracknow_static.page.writing import Replacer
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from tracknow_static.page.walk import Entry

Progress = Callable[[int, str], None]
Visit = Callable[[PageResult], None]


def process_site(
    site_dir: str | os.PathLike[str],
    settings: Settings,
    *,
    generator: str = "inject",
    site_url: str | None = None,
    opted_out: Collection[str] = (),
    check: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
    visit: Visit | None = None,
) -> SiteReport:
    """Put the script into every page of a built site, its file and a manifest beside them.

    ``site_url`` is the URL or path under which the site is served. Pages that are called 404.html
    use its path, since a server shows them at any depth, and a preview on another host works as
    the site does; all others use relative URLs. ``opted_out`` contains paths inside the site of
    pages that are to carry no script. ``check`` changes nothing and reports what would change.
    ``jobs`` is the number of processes. ``progress`` is called with the number of pages done and
    the last one's path, ``visit`` with each page's result. ``generator`` is for the manifest.

    A file that cannot be read or written stays as it was and is among the report's ``failures``;
    if it is the script's own file, all pages stay as they were. A folder that has a manifest of
    its own is another site and stays as it is.
    Raises :class:`SiteError` when ``site_dir`` is no folder, or a process of ``jobs`` is killed.
    """
    from tracknow_static.browser.compose import compose

    root = site_root(site_dir)
    processor = PageProcessor(
        settings,
        compose(settings),
        root_url=urlsplit(site_url or "").path,
        opted_out=frozenset(path.replace(os.sep, "/") for path in opted_out),
    )
    record = Record(generator, settings, site_url or None) if settings.manifest else None
    return SitePass(root, processor, check, jobs, progress, visit, record).run()


def remove_site(
    site_dir: str | os.PathLike[str],
    *,
    check: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> SiteReport:
    """Remove every script of ours from a site: each page gets back its original bytes.

    Parameters, report and errors are those of :func:`process_site`.
    """
    from tracknow_static.browser.compose import compose

    settings = Settings()
    processor = PageProcessor(settings, compose(settings), removing=True)
    return SitePass(site_root(site_dir), processor, check, jobs, progress).run()


@dataclass
class Worker:
    """Processes pages; each process has its own."""

    root: str
    processor: PageProcessor
    check: bool
    files: Replacer = field(default_factory=Replacer)

    def process(self, page: Entry) -> PageResult:
        """Process a page; write it and its compressed copies if they change."""
        whole = f"{self.root}/{page.path}"
        try:
            old, status = _read(whole)
            new, result = self.processor.process(page.path, old)
            if result.changed and not self.check:
                self.files.replace(whole, new, status)
            for suffix in page.copies:
                result = self._refresh(whole + suffix, suffix, old, new, result)
        except OSError as error:
            return PageResult(printable(page.path), failure=_reason(error))
        except MemoryError:
            return PageResult(printable(page.path), failure="Too large for this machine's memory")
        return result

    def _refresh(
        self, file: str, suffix: str, old: bytes, new: bytes, result: PageResult
    ) -> PageResult:
        """Make a copy of the page as it was one of the page as it is."""
        copy, status = _read(file)
        name = result.file + suffix
        try:
            content = copies.decompress(copy, suffix)
            if content == new:
                return result
            if content not in (old, remove(old)):
                found = finding("TN502", name, 1)
                return result._replace(findings=(*result.findings, found))
            if not self.check:
                self.files.replace(file, copies.compress(new, suffix), status)
        except copies.MissingCodecError as module:
            if not result.changed:
                return result
            fix = f"Install {module}, delete the copy, or compress after everything else."
            found = finding("TN501", name, 1, fix=fix)
            return result._replace(findings=(*result.findings, found))
        return result._replace(copies_changed=result.copies_changed + 1)


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
    """One pass over the site at ``root``, a real path; ``record`` becomes its manifest."""

    root: str
    processor: PageProcessor
    check: bool = False
    jobs: int = 1
    progress: Progress | None = None
    visit: Visit | None = None
    record: Record | None = None

    def run(self) -> SiteReport:
        """Process every page; see :func:`process_site`."""
        script, removing = self.processor.script, self.processor.removing
        report = SiteReport(check=self.check, removing=removing)
        files = OwnFiles(self.root, script.asset_pattern, self.check)
        carries = not removing and self._some_page_carries()
        if not removing:
            report.csp_hash = script.csp_hash
        if carries and script.asset is not None:
            # First: no page may name a file that is not there.
            report.asset = script.asset_path
            aside = "; no page was changed, since each would name this file"
            report.asset_changed = _write(files, report, script.asset_path, script.asset, aside)
            if report.failures:
                return report
        self._process_pages(report, files)
        if carries and self.record:
            report.manifest = f"{self.processor.settings.asset_dir}/{NAME}"
            content = self.record.content(script)
            report.manifest_changed = _write(files, report, report.manifest, content)
        if not report.failures:  # a page that failed may still name an old file
            dropped, failed = files.drop({report.asset, report.manifest})
            report.old_assets += dropped
            report.failures += [_failure(path, error) for path, error in failed]
        return report

    def _process_pages(self, report: SiteReport, files: OwnFiles) -> None:
        worker = Worker(self.root, self.processor, self.check)
        pages = self._pages(report, files)
        results = map(worker.process, pages) if self.jobs <= 1 else self._pooled(worker, pages)
        with worker.files:
            for number, page in enumerate(results, 1):
                report.add(page)
                if self.record:
                    self.record.add(page)
                if self.visit:
                    self.visit(page)
                if self.progress:
                    self.progress(number, page.file)

    def _some_page_carries(self) -> bool:
        trial = Worker(self.root, self.processor, check=True)
        pages = (entry for entry in self._walk() if entry.kind == "page")
        results = map(trial.process, pages)
        return any(page.outcome == "carries" and page.failure is None for page in results)

    def _pooled(self, worker: Worker, pages: Iterator[Entry]) -> Iterator[PageResult]:
        # Late: it takes as long to import as a hundred pages do.
        from tracknow_static.page.pool import pooled

        return pooled(worker, pages, self.jobs)

    @cached_property
    def _others(self) -> list[str]:
        return [folder for folder in find(self.root) if folder]

    def _walk(self) -> Iterator[Entry]:
        return walk(self.root, self.processor, self._others)

    def _pages(self, report: SiteReport, files: OwnFiles) -> Iterator[Entry]:
        """Yield all pages, and look at the files between them."""
        for entry in self._walk():
            if entry.kind == "page":
                if self.record and entry.path in self.processor.opted_out:
                    self.record.opted_out.append(entry.path)
                yield entry
            elif entry.kind == "source":
                report.findings.append(finding("TN304", printable(entry.path), 1))
            elif entry.error is not None:
                report.failures.append(_failure(entry.path, entry.error))
            else:
                try:
                    files.see(entry.path)
                except OSError as problem:
                    report.failures.append(_failure(entry.path, problem))


def _write(
    files: OwnFiles, report: SiteReport, path: str | None, content: bytes, aside: str = ""
) -> bool:
    assert path is not None  # noqa: S101
    try:
        return files.write(path, content)
    except OSError as error:
        report.failures.append(_failure(path, error, aside))
        return True


def _failure(path: str, error: OSError, aside: str = "") -> Failure:
    return Failure(printable(path), _reason(error) + aside)
