"""An audit and its findings as text, JSON, annotations of GitHub Actions and SARIF.

All but the text is streamed; of the text a menu's link on every page is one entry.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import quote

import click

from tracknow_static import __version__
from tracknow_static.audit.groups import MOST, Groups
from tracknow_static.page.codes import CODES
from tracknow_static.tracknow import clean, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tracknow_static.audit.groups import Group
    from tracknow_static.audit.page import PageAudit
    from tracknow_static.audit.site import SiteAudit, Totals
    from tracknow_static.page.findings import Finding

_COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}
_STATES = (
    ("current", "carries the script as it should", "carry the script as they should"),
    ("missing", "has no script", "have no script"),
    ("stale", "carries another script", "carry another script"),
    ("duplicate", "carries it more than once", "carry it more than once"),
    ("misplaced", "carries it in the wrong place", "carry it in the wrong place"),
    ("skipped", "cannot take it", "cannot take it"),
    ("excluded", "is excluded", "are excluded"),
    ("unread", "cannot be read", "cannot be read"),
)
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
_INDEX = {code: index for index, code in enumerate(CODES)}
# What the formats call our severities, where that is another word.
_GITHUB = {"info": "notice"}
_SARIF_LEVELS = {"info": "note"}


class Report:
    """Gathers an audit into groups, so that a menu's link on every page is one entry."""

    def __init__(self, site: str, *, verbose: bool) -> None:
        self._site = site
        self._verbose = verbose
        self._findings = Groups()
        self._surfaces = Groups()
        self._unread: list[str] = []

    def print(self, audit: SiteAudit) -> None:
        """Run the audit and print it."""
        for page in audit.pages():
            self._add(page)
        for finding in audit.site_findings():
            self._findings.add_finding(finding)
        print_groups(self._findings, self._where)
        self._print_surfaces()
        for line in self._unread:
            click.secho(f"cannot be read: {clean(line)}", fg="red", err=True)
        if left_out := self._findings.left_out + self._surfaces.left_out:
            click.echo(f"… and {left_out:,} more; --format json lists them all")
        _summary(audit)

    def _add(self, page: PageAudit) -> None:
        if page.state == "unread" and len(self._unread) < MOST:
            self._unread.append(f"{self._path(page.file)}: {page.reason}")
        if self._verbose:
            reason = f" ({page.reason})" if page.reason else ""
            click.echo(clean(f"{page.state:<10} {self._path(page.file)}{reason}"))
        for finding in page.findings:
            self._findings.add_finding(finding)
        for surface in page.surfaces:
            colour = "green" if surface.reaches == "always" else "yellow"
            key = (surface.kind, surface.url, surface.attribution, surface.price or "", colour)
            self._surfaces.add(key, page.file, surface.line)

    def _print_surfaces(self) -> None:
        if not self._surfaces:
            return
        click.secho("What leads to Stripe:", bold=True)
        for (kind, url, attribution, price, colour), group in self._surfaces:
            amount = f"   {price}" if price else ""
            click.echo(clean(f"  {kind:<13} {url or '(in the page)'}{amount}"))
            click.echo(f"    {click.style(attribution, fg=colour)}")
            click.echo(f"    {clean(self._where(group))}")
        click.echo()

    def _where(self, group: Group) -> str:
        return f"{self._path(group.file)}:{group.line}{group.aside}"

    def _path(self, file: str) -> str:
        return file if file.startswith("/") else os.path.normpath(f"{self._site}/{file}")


def print_groups(findings: Groups, where: Callable[[Group], str]) -> None:
    """Print groups of findings, the worst first; ``where`` returns a group's place as text."""
    for (severity, code, message), group in findings.by_severity():
        word = click.style(severity, fg=_COLOURS[severity], bold=severity == "error")
        click.echo(f"{clean(where(group))}: {word} {code}: {clean(message)}")
    if findings:
        click.echo()


def print_severities(numbers: Mapping[str, int]) -> None:
    """Print how many findings there are of each severity."""
    parts = []
    for severity, colour in _COLOURS.items():
        if number := numbers.get(severity):
            many = severity if severity == "info" else ""
            parts.append(click.style(counted(number, severity, many), fg=colour))
    click.echo(", ".join(parts) if parts else click.style("nothing to fix", fg="green"))


def print_pages(numbers: Mapping[str, int]) -> None:
    """Print how many pages there are, and how many of each state, without the line's end."""
    states = [
        counted(number, one, several)
        for state, one, several in _STATES
        if (number := numbers.get(state, 0))
    ]
    click.secho(counted(sum(numbers.values()), "page"), bold=True, nl=False)
    click.echo(f": {', '.join(states)}" if states else "", nl=False)


def _summary(audit: SiteAudit) -> None:
    totals = audit.totals
    print_pages(totals.pages)
    click.echo()
    surfaces = sum(totals.surfaces.values())
    if surfaces:
        lost = counted(totals.lost, "of them loses", "of them lose")
        aside = f"; {lost} the click id" if totals.lost else ""
        click.echo(f"{counted(surfaces, 'payment route')}{aside}")
    print_severities(totals.severities)


def _totals(totals: Totals) -> dict[str, Any]:
    return {
        "pages": dict(sorted(totals.pages.items())),
        "surfaces": dict(sorted(totals.surfaces.items())),
        "surfaces_that_lose_the_click_id": totals.lost,
        "errors": totals.severities["error"],
        "warnings": totals.severities["warning"],
        "infos": totals.severities["info"],
        "unread": totals.pages["unread"],
    }


def write_json(audit: SiteAudit, site: str, out: TextIO) -> None:
    """Write one object: ``pages``, then ``site_findings`` and ``summary``."""
    head = {
        "site": site,
        "settings": audit.project.source,
        "csp_hash": audit.script.csp_hash,
        "asset": audit.script.asset_path,
    }
    out.write(json.dumps(head, indent=2)[:-2] + ',\n  "pages": [')
    separator = "\n    "
    for page in audit.pages():
        out.write(separator + json.dumps(_page(page)))
        separator = ",\n    "
    rest = {
        "site_findings": [asdict(finding) for finding in audit.site_findings()],
        "summary": _totals(audit.totals),
    }
    out.write("\n  ],\n" + json.dumps(rest, indent=2)[2:] + "\n")


def _page(page: PageAudit) -> dict[str, Any]:
    return {
        "file": page.file,
        "state": page.state,
        "reason": page.reason,
        "surfaces": [surface._asdict() for surface in page.surfaces],
        "findings": [asdict(finding) for finding in page.findings],
    }


def write_github(findings: Iterable[Finding], site: str, out: TextIO) -> None:
    """Write workflow commands (docs.github.com, "Workflow commands for GitHub Actions").

    Of each kind GitHub shows ten a step: the same on several pages is one, and the worst come
    first.
    """
    for (severity, code, message), group in Groups(findings).by_severity():
        title = f"title={_property(f'tracknow {code}')}"
        aside = f" (here{group.aside})" if group.more else ""
        if _is_url(group.file):  # nothing in the repository to point at
            place, text = title, f"{group.file}: {message}{aside}"
        else:
            place = f"file={_property(_joined(site, group.file))},line={group.line},{title}"
            text = message + aside
        command = _GITHUB.get(severity, severity)
        out.write(f"::{command} {place}::{_data(text)}\n")


def _data(text: str) -> str:
    return clean(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _is_url(file: str) -> bool:
    return file.startswith(("https://", "http://"))


def _joined(site: str, file: str) -> str:
    if file.startswith(("/", "../")) or _is_url(file):
        return file
    return site if file == "." else f"{site.rstrip('/')}/{file}"


def write_sarif(findings: Iterable[Finding], site: str, out: TextIO) -> None:
    """Write a log of SARIF 2.1.0 with one run."""
    driver = {
        "name": "tracknow-static",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [
            {
                "id": code.name,
                "shortDescription": {"text": code.meaning},
                "help": {"text": code.fix or code.meaning},
                "defaultConfiguration": {"level": _SARIF_LEVELS.get(code.severity, code.severity)},
            }
            for code in CODES.values()
        ],
    }
    head = {"$schema": _SARIF, "version": "2.1.0"}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints"}
    out.write(json.dumps(head)[:-1] + ', "runs": [' + json.dumps(run)[:-1] + ', "results": [')
    separator = "\n"
    for finding in findings:
        out.write(separator + json.dumps(_result(finding, site)))
        separator = ",\n"
    out.write("\n]}]}\n")


WRITERS = {"github": write_github, "sarif": write_sarif}


def findings_of(audit: SiteAudit) -> Iterable[Finding]:
    """Yield all findings of an audit, page by page."""
    for page in audit.pages():
        yield from page.findings
    yield from audit.site_findings()


def _result(finding: Finding, site: str) -> dict[str, Any]:
    return {
        "ruleId": finding.code,
        "ruleIndex": _INDEX[finding.code],
        "level": _SARIF_LEVELS.get(finding.severity, finding.severity),
        "message": {"text": finding.message},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(site, finding.file)},
                    "region": {"startLine": finding.line},
                }
            }
        ],
    }


def _uri(site: str, file: str) -> str:
    return file if _is_url(file) else quote(_joined(site, file))
