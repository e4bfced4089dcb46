"""The audit as text: findings in groups, then what leads to Stripe, then the summary."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from tracknow_static.audit.groups import MOST, Groups
from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tracknow_static.audit.groups import Group
    from tracknow_static.audit.page import PageAudit
    from tracknow_static.audit.site import SiteAudit

_COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}
_STATES = (
    ("current", "carry the script as they should"),
    ("missing", "have no script"),
    ("stale", "carry another script"),
    ("duplicate", "carry it more than once"),
    ("misplaced", "carry it in the wrong place"),
    ("skipped", "cannot take it"),
    ("excluded", "are excluded"),
    ("unread", "cannot be read"),
)


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
            click.secho(f"cannot be read: {line}", fg="red", err=True)
        if left_out := self._findings.left_out + self._surfaces.left_out:
            click.echo(f"… and {left_out:,} more; --format json lists them all")
        _summary(audit)

    def _add(self, page: PageAudit) -> None:
        if page.state == "unread" and len(self._unread) < MOST:
            self._unread.append(f"{self._path(page.file)}: {page.reason}")
        if self._verbose:
            reason = f" ({page.reason})" if page.reason else ""
            click.echo(f"{page.state:<10} {self._path(page.file)}{reason}")
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
            click.echo(f"  {kind:<13} {url or '(in the page)'}{f'   {price}' if price else ''}")
            click.echo(f"    {click.style(attribution, fg=colour)}")
            click.echo(f"    {self._where(group)}")
        click.echo()

    def _where(self, group: Group) -> str:
        return f"{self._path(group.file)}:{group.line}{group.aside}"

    def _path(self, file: str) -> str:
        return file if file.startswith("/") else os.path.normpath(f"{self._site}/{file}")


def print_groups(findings: Groups, where: Callable[[Group], str]) -> None:
    """Print groups of findings, the worst first; ``where`` returns a group's place as text."""
    for (severity, code, message), group in findings.by_severity():
        word = click.style(severity, fg=_COLOURS[severity], bold=severity == "error")
        click.echo(f"{where(group)}: {word} {code}: {message}")
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


def _summary(audit: SiteAudit) -> None:
    totals = audit.totals
    pages = sum(totals.pages.values())
    states = [f"{totals.pages[state]:,} {words}" for state, words in _STATES if totals.pages[state]]
    click.secho(f"{pages:,} page{'s' * (pages != 1)}", bold=True, nl=False)
    click.echo(f": {', '.join(states)}" if states else "")
    surfaces = sum(totals.surfaces.values())
    if surfaces:
        lost = f"; {totals.lost:,} of them lose the click id" if totals.lost else ""
        click.echo(f"{surfaces:,} payment route{'s' * (surfaces > 1)}{lost}")
    print_severities(totals.severities)
