"""What every generator's plugin does when a build is over: one pass, reported in the build's log."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tracknow_static import rules
from tracknow_static.manifest import find
from tracknow_static.page.findings import grouped, on_more_pages
from tracknow_static.page.process import path_spec
from tracknow_static.page.site import process_site, remove_site
from tracknow_static.page.walk import site_root
from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from tracknow_static.page.report import PageResult, SiteReport
    from tracknow_static.settings import Settings

_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}
_FLAG = rules.flag()


class Log(Protocol):
    """What a generator's logger offers."""

    def log(self, level: int, msg: str, /) -> None:
        """Log ``msg``; a strict build may raise out of this call."""


class OptOuts:
    """Pages whose own metadata decide about the script.

    ``paths`` are those inside the site that are to carry none; ``remarks`` holds, by page, a line
    about metadata that could not be understood.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.remarks: dict[str, str] = {}

    def note(self, path: str, value: object, source: str) -> None:
        """Note the page at ``path``, whose ``source`` contains ``tracknow: value``.

        ``None`` means that it has no such line. What was noted about the page before is forgotten.
        """
        self.paths.discard(path)
        self.remarks.pop(path, None)
        if value is None:
            return
        try:
            if not _FLAG.parse(value.strip() if isinstance(value, str) else value):
                self.paths.add(path)
        except rules.InvalidValueError:
            self.remarks[path] = (
                f"{source}: tracknow: {value!r} is not accepted. Accepted: {_FLAG.accepts}. "
                "The page carries the script."
            )


def finish(
    site_dir: str | os.PathLike[str],
    settings: Settings,
    log: Log,
    *,
    generator: str,
    site_url: str | None = None,
    opt_outs: OptOuts | None = None,
    prefix: str = "tracknow: ",
    print_summary: Callable[[str], None] | None = None,
) -> str | None:
    """Put the script into a built site and log what was found.

    ``site_url`` is the URL or the path that the site will be served under. ``print_summary`` prints the last
    line, where that is not for the log. Returns the reason why the build has failed, or None.
    With the option ``enabled`` off, the script is only removed from files of an earlier build that
    this one did not write again.
    Everything is written before the first line is logged, and everything is logged before an error
    that a strict generator raises out of its logger is raised again.

    Raises :class:`~tracknow_static.errors.SiteError` when ``site_dir`` is no folder.
    """
    if not settings.enabled:
        root = site_root(site_dir)
        if find(root).get("") or any(Path(root, settings.asset_dir).glob("carry.*.js")):
            remove_site(root)
        return None
    opt_outs = opt_outs or OptOuts()
    excluded: list[str] = []

    def visit(page: PageResult) -> None:
        if page.outcome == "excluded":
            excluded.append(page.file)

    report = process_site(
        site_dir,
        settings,
        generator=generator,
        site_url=site_url,
        opted_out=opt_outs.paths,
        visit=visit,
    )
    lines = _lines(report, settings, opt_outs, excluded)
    errors = [error for level, line in lines if (error := _log(log, level, prefix + line))]
    print_summary = print_summary or partial(log.log, logging.INFO)
    print_summary(prefix + report.summary().removeprefix("tracknow: "))
    if errors:
        raise errors[0]
    return _failed(report)


def _lines(
    report: SiteReport, settings: Settings, opt_outs: OptOuts, excluded: list[str]
) -> Iterator[tuple[int, str]]:
    for failure in report.failures:
        yield logging.ERROR, str(failure)
    for path in sorted(opt_outs.remarks):
        yield logging.WARNING, opt_outs.remarks[path]
    for first, others in grouped(report.findings):
        more = f" ({on_more_pages(others)})" if others else ""
        yield _LEVELS[first.severity], f"{first}{more}"
    for pattern in settings.exclude:
        if not any(map(path_spec((pattern,)).match_file, excluded)):
            yield logging.INFO, f"exclude: {pattern!r} matches no page of this build."
    if report.csp_hash:
        yield logging.DEBUG, f"Content-Security-Policy, script-src: '{report.csp_hash}'"


def _log(log: Log, level: int, line: str) -> Exception | None:
    try:
        log.log(level, line)
    except Exception as error:  # noqa: BLE001 - each strict generator raises a kind of its own
        return error
    return None


def _failed(report: SiteReport) -> str | None:
    if report.failures:
        return f"{counted(len(report.failures), 'file')} could not be read or written"
    errors = [finding for finding in report.findings if finding.severity == "error"]
    links = sum(finding.code == "TN101" for finding in errors)
    if links:
        number = counted(links, "payment link")
        return f"{number} of Stripe's test mode, and the option test_links makes this an error"
    return f"{errors[0]}" if errors else None
