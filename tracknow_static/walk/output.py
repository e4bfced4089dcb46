"""The walk's report: progress while it runs, then text, JSON, annotations or SARIF."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import click

from tracknow_static.audit.groups import Groups
from tracknow_static.audit.output import WRITERS, print_groups
from tracknow_static.page.findings import Finding, finding
from tracknow_static.tracknow import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tracknow_static.walk.walker import RouteResult

_CODES = {"missing": "TN701", "changed": "TN702", "unexpected": "TN703"}
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
    """Collects results; ``lines`` are the lines of payment surfaces by page, kind and address."""

    site: str
    lines: Mapping[tuple[str, str, str], int]
    output_format: str
    verbose: bool = False
    results: list[RouteResult] = field(default_factory=list)

    def add(self, result: RouteResult) -> None:
        """Add one result, and show how far the walk is."""
        self.results.append(result)
        if self.output_format == "text" and sys.stderr.isatty():
            route = result.route
            click.echo(
                f"\r\x1b[K{len(self.results)} {route.page}: {route.action}"[:110],
                nl=False,
                err=True,
            )

    @property
    def findings(self) -> list[Finding]:
        """The results that are not as expected, as findings."""
        return [entry for result in self.results if (entry := self._finding(result))]

    def _finding(self, result: RouteResult) -> Finding | None:
        route = result.route
        line = self.lines.get((route.page, route.kind, route.url), 1)
        what = f"{route.kind} {route.url}".strip() + f", {route.action}, {result.scene}"
        if result.result is None:
            return finding("TN704", route.page, line, f"{what}: {result.reason}")
        if result.result in ("exact", "own-reference"):
            return None
        if route.kind == "landing":
            return finding("TN711", route.page, line, result.asked)
        asked = result.asked or result.reason
        return finding(
            _CODES[result.result],
            route.page,
            line,
            f"{what}: {asked} in place of {result.expected}",
        )

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
        whole = {
            "site": self.site,
            "routes": routes,
            "findings": [asdict(entry) for entry in findings],
            "other_hosts": {host: number for host, number in sorted(others.items()) if number},
            "summary": self._counts(),
        }
        click.echo(json.dumps(whole, indent=2))

    def _counts(self) -> dict[str, int]:
        counted = Counter(result.result or "not-reached" for result in self.results)
        return dict(sorted(counted.items()))

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
        pages = len({result.route.page for result in self.results})
        click.secho(f"{len(taken)} routes on {pages} pages taken", bold=True, nl=False)
        click.echo(f": {right} as expected, {len(taken) - right} not")
        if others := {host: number for host, number in others.items() if number}:
            named = ", ".join(f"{host} ({number})" for host, number in sorted(others.items()))
            click.echo(f"The pages also asked other hosts, which got no answer: {named}")
