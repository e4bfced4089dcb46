"""The walk's report: progress while it runs, then text, JSON, annotations or SARIF."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import click

from tracknow_static.audit.groups import Groups
from tracknow_static.audit.output import WRITERS, print_groups
from tracknow_static.page.codes import CODES
from tracknow_static.page.findings import Finding, finding, printable
from tracknow_static.tracknow import clean, counted
from tracknow_static.walk.walker import MISSING_PAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tracknow_static.audit.page import PageAudit
    from tracknow_static.page.codes import Severity
    from tracknow_static.walk.walker import RouteResult

_CODES = {"missing": "TN701", "changed": "TN702", "unexpected": "TN703"}
# What helps where an id is missing because the page has no script.
_FIXES = {
    "missing": CODES["TN401"].fix,
    "skipped": CODES["TN301"].fix,
    "excluded": "The page is in the option exclude: remove it there if it is to sell for affiliates.",
}
_WORDS = {
    "exact": "exactly this address",
    "own-reference": "keeps its own reference",
    "missing": "the click id is missing",
    "changed": "something else changed",
    "unexpected": "carries an id without consent",
    None: "never reached",
}


@dataclass
class Report:
    """Collects results; ``pages`` are what the audit of the site found."""

    site: str
    pages: Sequence[PageAudit]
    output_format: str
    verbose: bool = False
    results: list[RouteResult] = field(default_factory=list)

    @cached_property
    def _states(self) -> dict[str, str]:
        return {page.path: page.state for page in self.pages}

    @cached_property
    def _lines(self) -> dict[tuple[str, str, str], int]:
        """The line of each payment surface, by page, kind and address."""
        found: dict[tuple[str, str, str], int] = {}
        for page in self.pages:
            for surface in page.surfaces:
                found.setdefault((page.path, surface.kind, surface.url), surface.line)
        return found

    def add(self, result: RouteResult) -> None:
        """Add one result, and show how far the walk is."""
        self.results.append(result)
        if self.output_format == "text" and sys.stderr.isatty():
            route = result.route
            line = clean(f"{len(self.results)} {route.page}: {route.action}")
            click.echo(f"\r\x1b[K{line[:100]}", nl=False, err=True)

    @property
    def findings(self) -> list[Finding]:
        """The results that are not as expected, as findings."""
        return [entry for result in self.results if (entry := self._finding(result))]

    def _finding(self, result: RouteResult) -> Finding | None:
        route = result.route
        path = "404.html" if route.page == MISSING_PAGE else route.page
        file = printable(path)
        line = self._lines.get((route.page, route.kind, route.url), 1)
        what = f"{route.kind} {route.url}".strip() + f", {route.action}, {result.scene}"
        if result.result is None:
            return finding("TN704", file, line, f"{what}: {result.reason}")
        if result.result in ("exact", "own-reference"):
            return None
        state = self._states.get(path, "") if result.result == "missing" else ""
        fix = _FIXES.get(state, "")
        if route.kind == "landing":
            return finding("TN711", file, line, result.asked, fix=fix)
        what = f"{what}: {result.asked or result.reason} in place of {result.expected}"
        severity: Severity | None = "info" if state == "excluded" else None
        return finding(_CODES[result.result], file, line, what, fix=fix, severity=severity)

    def print(self, findings: Sequence[Finding], others: Mapping[str, int]) -> None:
        """Print everything; ``findings`` are those that count, ``others`` hosts that were asked."""
        if self.output_format == "json":
            self._print_json(findings, others)
        elif self.output_format == "text":
            self._print_text(findings, others)
        else:
            WRITERS[self.output_format](findings, self.site, sys.stdout)

    def _print_json(self, findings: Sequence[Finding], others: Mapping[str, int]) -> None:
        routes = [{**result.route._asdict(), **result._asdict()} for result in self.results]
        for route in routes:
            del route["route"]
            route["page"] = printable(str(route["page"]))
        whole = {
            "site": self.site,
            "routes": routes,
            "findings": [asdict(entry) for entry in findings],
            "other_hosts": {host: number for host, number in sorted(others.items()) if number},
            "summary": self._counts(),
        }
        click.echo(json.dumps(whole, indent=2))

    def _counts(self) -> dict[str, int]:
        numbers = Counter(result.result or "not-reached" for result in self.results)
        return dict(sorted(numbers.items()))

    def _print_text(self, findings: Sequence[Finding], others: Mapping[str, int]) -> None:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", nl=False, err=True)
        if self.verbose:
            for result in self.results:
                route = result.route
                words = _WORDS[result.result]
                line = f"{route.page}: {route.kind}, {route.action}, {result.scene}: {words}"
                click.echo(clean(line))
                click.echo(f"    {clean(result.asked or result.reason)}")
            click.echo()
        site = self.site.rstrip("/")
        print_groups(
            Groups(findings), lambda group: f"{site}/{group.file}:{group.line}{group.aside}"
        )
        taken = [result for result in self.results if result.result is not None]
        right = sum(result.result in ("exact", "own-reference") for result in taken)
        pages = counted(len({result.route.page for result in taken}), "page")
        click.secho(f"{counted(len(taken), 'route')} on {pages} taken", bold=True, nl=False)
        left = len(self.results) - len(taken)
        aside = f"; {counted(left, 'route')} not reached" if left else ""
        click.echo(f": {right} as expected, {len(taken) - right} not{aside}")
        if others := {host: number for host, number in others.items() if number}:
            named = ", ".join(f"{host} ({number})" for host, number in sorted(others.items()))
            click.echo(f"The pages also asked other hosts, which got no answer: {named}")
