"""What every generator's plugin does when a build is over: one pass, told in the build's own log."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from tracknow_static import rules
from tracknow_static.page.findings import grouped
from tracknow_static.page.globs import compile_globs
from tracknow_static.page.site import process_site

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from tracknow_static.page.report import PageOutcome, SiteReport
    from tracknow_static.page.single import InspectionCache
    from tracknow_static.settings import Settings

_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "note": logging.INFO}
_FLAG = rules.flag()


class Log(Protocol):
    """What a generator's logger offers."""

    def log(self, level: int, msg: str, /) -> None:
        """Say ``msg``; a strict build may raise out of this call."""


class OptOuts:
    """Pages whose own metadata decide about the script.

    ``paths`` are those inside the site that are to carry none; ``remarks`` says, by page, which
    metadata could not be understood.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.remarks: dict[str, str] = {}

    def note(self, path: str, value: object, source: str) -> None:
        """Take note of the page at ``path``, whose ``source`` says ``tracknow: value``.

        ``None`` means that it says nothing. What was noted about the page before is forgotten.
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
    site_url: str | None = None,
    opt_outs: OptOuts | None = None,
    cache: InspectionCache | None = None,
    prefix: str = "tracknow: ",
    last: Callable[[str], None] | None = None,
) -> str | None:
    """Put the script into a built site and say in ``log`` what was found.

    ``site_url`` is the URL or the path that the site will be served under; only its path counts,
    so that a preview on another host works as the site does. ``last`` says the summary, where that
    is no matter of the log. Gives the reason why the build has failed, or None. Everything is
    written before the first word is said, and everything is said before an error that a strict
    generator raises out of its logger goes on.

    Raises :class:`~tracknow_static.errors.SiteError` when ``site_dir`` is no folder.
    """
    opt_outs = opt_outs or OptOuts()
    excluded: list[str] = []

    def visit(page: PageOutcome) -> None:
        if page.outcome == "excluded":
            excluded.append(page.file)

    report = process_site(
        site_dir,
        settings,
        root_url=urlsplit(site_url or "").path,
        opted_out=opt_outs.paths,
        visit=visit,
        cache=cache,
    )
    lines = _lines(report, settings, opt_outs, excluded)
    stops = [stop for level, line in lines if (stop := _said(log, level, prefix + line))]
    (last or partial(log.log, logging.INFO))(prefix + report.summary().removeprefix("tracknow: "))
    if stops:
        raise stops[0]
    return _failed(report)


def _lines(
    report: SiteReport, settings: Settings, opt_outs: OptOuts, excluded: list[str]
) -> Iterator[tuple[int, str]]:
    for failure in report.failures:
        yield logging.ERROR, str(failure)
    for path in sorted(opt_outs.remarks):
        yield logging.WARNING, opt_outs.remarks[path]
    for first, others in grouped(report.findings):
        more = f" (and on {others} more page{'s' * (others > 1)})" if others else ""
        yield _LEVELS[first.severity], f"{first}{more}"
    for pattern in settings.exclude:
        expression = compile_globs([pattern])
        if expression and not any(map(expression.fullmatch, excluded)):
            yield logging.INFO, f"exclude: {pattern!r} matches no page of this build."
    if report.csp_hash:
        yield logging.DEBUG, f"Content-Security-Policy, script-src: '{report.csp_hash}'"


def _said(log: Log, level: int, line: str) -> Exception | None:
    try:
        log.log(level, line)
    except Exception as error:  # noqa: BLE001 - each strict generator raises a kind of its own
        return error
    return None


def _failed(report: SiteReport) -> str | None:
    if report.failures:
        number = len(report.failures)
        return f"{number} file{'s' * (number > 1)} could not be read or written"
    errors = [finding for finding in report.findings if finding.severity == "error"]
    if errors:
        number = len(errors)
        return (
            f"{number} payment link{'s' * (number > 1)} of Stripe's test mode, "
            "and the option test_links says that this is an error"
        )
    return None
