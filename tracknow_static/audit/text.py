"""The audit for people: what is wrong, grouped, then what leads to Stripe, then the summary."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from tracknow_static.audit.grouping import MOST, Groups

if TYPE_CHECKING:
    from tracknow_static.audit.grouping import Group
    from tracknow_static.audit.page import PageAudit
    from tracknow_static.audit.site import SiteAudit

_COLOURS = {"error": "red", "warning": "yellow", "note": "blue"}
_WORDS = {"error": "error", "warning": "warning", "note": "info"}
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

    def tell(self, audit: SiteAudit) -> None:
        """Run the audit and print it."""
        for page in audit.pages():
            self._take(page)
        for one in audit.of_the_site():
            self._findings.add_finding(one)
        self._say_findings()
        self._say_surfaces()
        for line in self._unread:
            click.secho(f"cannot be read: {line}", fg="red", err=True)
        if left_out := self._findings.left_out + self._surfaces.left_out:
            click.echo(f"… and {left_out:,} more; --format json holds them all")
        _summary(audit)

    def _take(self, page: PageAudit) -> None:
        if page.state == "unread" and len(self._unread) < MOST:
            self._unread.append(f"{self._path(page.file)}: {page.reason}")
        if self._verbose:
            reason = f" ({page.reason})" if page.reason else ""
            click.echo(f"{page.state:<10} {self._path(page.file)}{reason}")
        for one in page.findings:
            self._findings.add_finding(one)
        for surface in page.surfaces:
            colour = "green" if surface.kept else "yellow"
            key = (surface.kind, surface.url, surface.fate, surface.price or "", colour)
            self._surfaces.add(key, page.file, surface.line)

    def _say_findings(self) -> None:
        for (severity, code, message), group in self._findings.by_severity():
            word = click.style(_WORDS[severity], fg=_COLOURS[severity], bold=severity == "error")
            click.echo(f"{self._where(group)}: {word} {code}: {message}")
        if self._findings:
            click.echo()

    def _say_surfaces(self) -> None:
        if not self._surfaces:
            return
        click.secho("What leads to Stripe:", bold=True)
        for (kind, url, fate, price, colour), group in self._surfaces:
            click.echo(f"  {kind:<13} {url or '(in the page)'}{f'   {price}' if price else ''}")
            click.echo(f"    {click.style(fate, fg=colour)}")
            click.echo(f"    {self._where(group)}")
        click.echo()

    def _where(self, group: Group) -> str:
        return f"{self._path(group.file)}:{group.line}{group.aside}"

    def _path(self, file: str) -> str:
        return file if file.startswith("/") else os.path.normpath(f"{self._site}/{file}")


def _summary(audit: SiteAudit) -> None:
    totals = audit.totals
    pages = sum(totals.pages.values())
    said = [f"{totals.pages[state]:,} {words}" for state, words in _STATES if totals.pages[state]]
    click.secho(f"{pages:,} page{'s' * (pages != 1)}", bold=True, nl=False)
    click.echo(f": {', '.join(said)}" if said else "")
    surfaces = sum(totals.surfaces.values())
    if surfaces:
        lost = f"; {totals.lost:,} of them lose the click id" if totals.lost else ""
        click.echo(f"{surfaces:,} way{'s' * (surfaces > 1)} to a payment page{lost}")
    parts = []
    for name, word in _WORDS.items():
        if number := totals.severities[name]:
            plural = "s" * (number > 1 and name != "note")
            parts.append(click.style(f"{number:,} {word}{plural}", fg=_COLOURS[name]))
    click.echo(", ".join(parts) if parts else click.style("nothing to mend", fg="green"))
