"""The findings of one project: with the severities that it wants, and the same ones listed once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast, get_args

from tracknow_static.errors import SettingsError
from tracknow_static.page.codes import CODES
from tracknow_static.page.findings import on_more_pages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tracknow_static.page.codes import Severity
    from tracknow_static.page.findings import Finding

_Setting = Literal["off", "info", "warning", "error"]

MOST = 10_000  # groups that are kept apart; what comes after is only counted
_ORDER = {"error": 0, "warning": 1, "info": 2}


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


@dataclass(slots=True)
class Group:
    """The first place, on how many pages more it is, and the last of them."""

    file: str
    line: int
    last: str
    more: int = 0

    @property
    def aside(self) -> str:
        """On how many more pages, in words."""
        return f" {on_more_pages(self.more)}" if self.more else ""


class Groups:
    """What is the same on many pages, a menu's link or a finding in a footer, listed once.

    Groups by key, in the order of their first place.
    """

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        self._groups: dict[tuple[str, ...], Group] = {}
        self.left_out = 0
        for finding in findings:
            self.add_finding(finding)

    def add(self, key: tuple[str, ...], file: str, line: int) -> None:
        """Add one place."""
        group = self._groups.get(key)
        if group is None and len(self._groups) < MOST:
            self._groups[key] = Group(file, line, file)
        elif group is None:
            self.left_out += 1
        elif file != group.last:  # pages come one after the other
            group.last = file
            group.more += 1

    def add_finding(self, finding: Finding) -> None:
        """Add a finding, under its severity, code and message."""
        key = (finding.severity, finding.code, finding.message)
        self.add(key, finding.file, finding.line)

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], Group]]:
        return iter(self._groups.items())

    def by_severity(self) -> list[tuple[tuple[str, ...], Group]]:
        """Return the groups of findings, the worst first."""
        return sorted(self, key=lambda item: _ORDER[item[0][0]])

    def __bool__(self) -> bool:
        return bool(self._groups)
