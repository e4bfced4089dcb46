"""The audit for programs: JSON, workflow commands of GitHub Actions, SARIF; streamed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import quote

from tracknow_static import __version__
from tracknow_static.audit.groups import Groups
from tracknow_static.page.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracknow_static.audit.page import PageAudit
    from tracknow_static.audit.site import SiteAudit
    from tracknow_static.page.findings import Finding

_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
_INDEX = {code: index for index, code in enumerate(CODES)}
# What the formats call our severities, where that is another word.
_GITHUB = {"info": "notice"}
_SARIF_LEVELS = {"info": "note"}


def totals(audit: SiteAudit) -> dict[str, Any]:
    """Return the counts of an audit as plain values."""
    counted = audit.totals
    return {
        "pages": dict(sorted(counted.pages.items())),
        "surfaces": dict(sorted(counted.surfaces.items())),
        "surfaces_that_lose_the_click_id": counted.lost,
        "errors": counted.severities["error"],
        "warnings": counted.severities["warning"],
        "infos": counted.severities["info"],
        "unread": counted.unread,
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
        "summary": totals(audit),
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
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


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
