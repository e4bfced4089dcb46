"""The severity of each code in one project, from its configuration."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast, get_args

from tracknow_static.errors import SettingsError
from tracknow_static.page.codes import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tracknow_static.page.code import Severity
    from tracknow_static.page.findings import Finding

_Setting = Literal["off", "info", "warning", "error"]


class Severities:
    """What a project's ``severity`` table makes of findings.

    Raises :class:`SettingsError` for a code or a word that does not exist.
    """

    def __init__(self, table: Mapping[str, str], source: str = "") -> None:
        accepted = get_args(_Setting)
        problems = []
        for code, word in table.items():
            if code not in CODES:
                close = difflib.get_close_matches(code, CODES, n=1)
                meant = f" Did you mean {close[0]}?" if close else ""
                problems.append(f"severity.{code}: unknown code.{meant}")
            if word not in accepted:
                problem = f"{word!r} is not accepted. Accepted: {', '.join(accepted)}."
                problems.append(f"severity.{code}: {problem}")
        if problems:
            raise SettingsError(problems, where=source)
        self._table = dict(table)

    def apply(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return the findings that count, with the severity that the project gives them."""
        kept = []
        for finding in findings:
            severity = self._table.get(finding.code)
            if severity is None:
                kept.append(finding)
            elif severity != "off":
                kept.append(replace(finding, severity=cast("Severity", severity)))
        return kept
