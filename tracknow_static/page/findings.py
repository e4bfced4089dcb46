"""What is to be reported about a page: findings, made from codes and from a page's contents."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracknow_static.page.codes import CODES
from tracknow_static.tracknow import clean, counted, is_placeholder, is_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tracknow_static.page.codes import Severity
    from tracknow_static.page.contents import PageContents, Surface
    from tracknow_static.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding in one place. ``file`` is a path inside the site, ``line`` counts from 1."""

    code: str
    severity: Severity
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return clean(f"{self.file}:{self.line}: {self.message} [{self.code}]")


def finding(
    code: str,
    file: str,
    line: int,
    what: str = "",
    *,
    fix: str = "",
    severity: Severity | None = None,
) -> Finding:
    """Return a finding of a declared code about ``what``.

    ``fix`` and ``severity`` replace those of the code.
    """
    kind = CODES[code]
    about = f": {what}" if what else ""
    message = f"{kind.meaning}{about}. {fix or kind.fix}".strip()
    # A host's JSON may hold half of a surrogate pair, which no output can.
    message = message.encode("utf-8", "replace").decode()
    return Finding(code, severity or kind.severity, file, line, message)


def grouped(findings: Iterable[Finding]) -> Iterator[tuple[Finding, int]]:
    """Yield what is the same on several pages (a menu, a footer) once, with the number of others."""
    groups: dict[tuple[str, str, str], tuple[Finding, set[str]]] = {}
    for entry in findings:
        key = (entry.severity, entry.code, entry.message)
        groups.setdefault(key, (entry, set()))[1].add(entry.file)
    for first, files in groups.values():
        yield first, len(files) - 1


def on_more_pages(number: int) -> str:
    """Return "and on 2 more pages", or nothing for none."""
    return f"and on {counted(number, 'more page')}" if number else ""


def printable(path: str | os.PathLike[str]) -> str:
    """Return a path as text that can be printed, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "replace")


def judge(
    contents: PageContents,
    file: str,
    settings: Settings,
    *,
    skipped: str | None = None,
    carries: bool = True,
) -> list[Finding]:
    """Return the findings about a page's contents; ``file`` is the page's path in the site.

    ``skipped`` is the reason why the page could not take the script; ``carries`` is false for a
    page that is to have none.
    """
    found: list[Finding] = []
    for surface in contents.surfaces:
        found += _of_surface(surface, file, settings)
    if contents.vendor_line is not None and carries:
        found.append(finding("TN201", file, contents.vendor_line))
    if skipped and contents.surfaces:
        found.append(finding("TN301", file, contents.surfaces[0].line, skipped))
    elif skipped == "fragment":
        found.append(finding("TN302", file, 1))
    return found


_BY_KIND = {
    "refresh": "TN105",
    "handler": "TN106",
    "script": "TN107",
    "data": "TN110",
    "frame": "TN111",
    "parameter": "TN112",
}


def _of_surface(surface: Surface, file: str, settings: Settings) -> Iterator[Finding]:
    line, about = surface.line, surface.url or surface.kind
    if surface.test_mode and settings.test_links != "ignore":
        severity: Severity = "error" if settings.test_links == "error" else "warning"
        yield finding("TN101", file, line, about, severity=severity)
    if surface.plain_http:
        yield finding("TN102", file, line, about)
    if surface.reference is not None:
        if is_placeholder(surface.reference):
            yield finding("TN113", file, line, repr(surface.reference))
        elif not is_reference(surface.reference):
            yield finding("TN104", file, line, repr(surface.reference))
        elif settings.existing_reference == "keep":
            yield finding("TN103", file, line, about)
    code = _route_code(surface, settings)
    if code:
        yield finding(code, file, line, about)


def _route_code(surface: Surface, settings: Settings) -> str | None:
    """Return the code about how a page leads to a payment page; None if there is nothing to report."""
    if surface.how == "noscript":
        return None
    if surface.how == "open":
        return None if settings.window_open else "TN108"
    if surface.how == "at-once" and settings.delivery == "split":
        return "TN109"
    if surface.how == "away":
        return "TN114"
    return _BY_KIND.get(surface.kind)
