"""A probe's results as text or JSON, and as `check` writes GitHub's annotations and SARIF."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tracknow_static.audit.groups import Groups
from tracknow_static.audit.output import WRITERS, print_groups, print_pages, print_severities
from tracknow_static.tracknow import clean, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracknow_static.page.findings import Finding
    from tracknow_static.probe.run import Probe


def print_probe(
    probe: Probe, findings: Sequence[Finding], output_format: str, *, verbose: bool
) -> None:
    """Print a probe that has run; ``findings`` are those that count in this project."""
    if output_format == "json":
        _print_json(probe, findings)
    elif output_format == "text":
        _print_text(probe, findings, verbose=verbose)
    else:
        WRITERS[output_format](findings, probe.url, sys.stdout)


def _print_json(probe: Probe, findings: Sequence[Finding]) -> None:
    severities = Counter(finding.severity for finding in findings)
    whole = {
        "url": probe.url,
        "settings": probe.source,
        "pages": probe.states,
        "redirects": probe.traces,
        "findings": [asdict(finding) for finding in findings],
        "summary": {
            "pages": len(probe.states),
            "errors": severities["error"],
            "warnings": severities["warning"],
            "infos": severities["info"],
        },
    }
    click.echo(json.dumps(whole, indent=2))


def _print_text(probe: Probe, findings: Sequence[Finding], *, verbose: bool) -> None:
    if verbose:
        for trace in probe.traces:
            click.echo(clean(trace))
        for url, state in probe.states.items():
            click.echo(clean(f"{state:<10} {url}"))
        click.echo()
    print_groups(Groups(findings), lambda group: f"{group.file}{group.aside}")
    print_pages(Counter(probe.states.values()))
    click.echo(f"; {counted(len(probe.traces), 'landing')} tried")
    print_severities(Counter[str](finding.severity for finding in findings))
