"""What is the same on many pages, listed once: a menu's link, a finding in a footer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracknow_static.page.findings import on_more_pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.page.findings import Finding

MOST = 10_000  # groups that are kept apart; what comes after is only counted
_ORDER = {"error": 0, "warning": 1, "info": 2}


class Group:
    """The first place, and on how many pages more it is."""

    __slots__ = ("_last", "file", "line", "more")

    def __init__(self, file: str, line: int) -> None:
        self.file = self._last = file
        self.line = line
        self.more = 0

    def add(self, file: str) -> None:
        """Count one more place; pages come one after the other."""
        if file != self._last:
            self._last = file
            self.more += 1

    @property
    def aside(self) -> str:
        """On how many more pages, in words."""
        return f" {on_more_pages(self.more)}" if self.more else ""


class Groups:
    """Groups by key, in the order of their first place."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], Group] = {}
        self.left_out = 0

    def add(self, key: tuple[str, ...], file: str, line: int) -> None:
        """Add one place."""
        group = self._groups.get(key)
        if group is not None:
            group.add(file)
        elif len(self._groups) < MOST:
            self._groups[key] = Group(file, line)
        else:
            self.left_out += 1

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
