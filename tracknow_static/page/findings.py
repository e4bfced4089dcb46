"""What a page pass has to say about a page: the codes, declared once, and their severities."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tracknow_static.tracknow import is_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tracknow_static.page.surfaces import Inspection, Surface

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Code:
    """One kind of finding: stable ``name``, usual severity, what it means and what mends it.

    A warning is something that the site's author can mend; anything else is a note.
    """

    name: str
    severity: Severity
    meaning: str
    remedy: str


_ALL = (
    Code(
        "TN101",
        "warning",
        "payment link of Stripe's test mode",
        "Put the live link in its place before you publish.",
    ),
    Code(
        "TN102",
        "warning",
        "payment link over plain http",
        "Write https://.",
    ),
    Code(
        "TN103",
        "warning",
        "client_reference_id written into the page",
        "Take it out: every sale through this link is booked under that one reference.",
    ),
    Code(
        "TN104",
        "warning",
        "client_reference_id that Stripe drops without a word",
        "Use 1 to 200 of the characters A-Z, a-z, 0-9, - and _.",
    ),
    Code(
        "TN105",
        "warning",
        "meta refresh to a payment page: the visitor's click id is lost",
        "Use a link, or link to the payment page directly.",
    ),
    Code(
        "TN106",
        "note",
        "payment page opened by an inline handler: only newer engines let the click id pass",
        "Use <a href> for it.",
    ),
    Code(
        "TN107",
        "note",
        "script that mentions a payment page: only newer engines let the click id pass",
        "Use <a href> for it, or tracknow.decorate(url) in the script.",
    ),
    Code(
        "TN201",
        "warning",
        "Tracknow's own snippet is pasted into the page as well",
        "Take it out: this script does its work.",
    ),
    Code(
        "TN301",
        "warning",
        "page without the script leads to a payment page: the visitor's click id is lost",
        "Mend what keeps the script out, or exclude the page.",
    ),
    Code(
        "TN302",
        "note",
        "fragment without head: no script added",
        "Exclude it, or make it a whole document.",
    ),
    Code(
        "TN303",
        "note",
        "something runs before the script, because the page declares its encoding late",
        "Move <meta charset> to the beginning of <head>.",
    ),
)

CODES: dict[str, Code] = {code.name: code for code in _ALL}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding in one place. ``file`` is a path inside the site, ``line`` counts from 1."""

    code: str
    severity: Severity
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} [{self.code}]"


def finding(
    code: str, file: str, line: int, what: str = "", *, severity: Severity | None = None
) -> Finding:
    """Make a finding of a declared code; ``what`` is the thing it is about."""
    kind = CODES[code]
    about = f": {what}" if what else ""
    message = f"{kind.meaning}{about}. {kind.remedy}"
    return Finding(code, severity or kind.severity, file, line, message)


def grouped(findings: Iterable[Finding]) -> Iterator[tuple[Finding, int]]:
    """Give what is the same on several pages (a menu, a footer) once, with the number of others."""
    groups: dict[tuple[str, str, str], tuple[Finding, set[str]]] = {}
    for one in findings:
        key = (one.severity, one.code, one.message)
        groups.setdefault(key, (one, set()))[1].add(one.file)
    for first, files in groups.values():
        yield first, len(files) - 1


def printable(path: str | os.PathLike[str]) -> str:
    """Give a path as text that can be printed, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "replace")


def judge(
    inspection: Inspection,
    file: str,
    *,
    test_links: str = "warn",
    existing_reference: str = "keep",
    skipped: str | None = None,
    carries: bool = True,
) -> list[Finding]:
    """Turn what was found on a page into findings; ``file`` is the page's path in the site.

    ``skipped`` is the reason why the page could not take the script, ``carries`` says whether it
    has it.
    """
    found: list[Finding] = []
    for surface in inspection.surfaces:
        found += _of_surface(surface, file, test_links, existing_reference)
    if inspection.vendor_line is not None and carries:
        found.append(finding("TN201", file, inspection.vendor_line))
    if skipped and inspection.surfaces:
        found.append(finding("TN301", file, inspection.surfaces[0].line, skipped))
    elif skipped == "fragment":
        found.append(finding("TN302", file, 1))
    return found


def _of_surface(
    surface: Surface, file: str, test_links: str, existing_reference: str
) -> Iterator[Finding]:
    line, about = surface.line, surface.url or surface.kind
    if surface.test_mode and test_links != "ignore":
        severity: Severity = "error" if test_links == "error" else "warning"
        yield finding("TN101", file, line, about, severity=severity)
    if surface.plain_http:
        yield finding("TN102", file, line, about)
    if surface.reference is not None:
        if not is_reference(surface.reference):
            yield finding("TN104", file, line, repr(surface.reference))
        elif existing_reference == "keep":
            yield finding("TN103", file, line, about)
    if surface.kind == "refresh":
        yield finding("TN105", file, line, about)
    if surface.kind == "handler":
        yield finding("TN106", file, line, about)
    if surface.kind == "script":
        yield finding("TN107", file, line, about)
