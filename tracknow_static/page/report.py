"""What one pass over a site did, page by page and in one line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from tracknow_static.tracknow import clean, counted

if TYPE_CHECKING:
    from tracknow_static.page.findings import Finding

Outcome = Literal["carries", "excluded", "skipped"]


class Failure(NamedTuple):
    """A file that could not be read or written, and why; it is as it was before."""

    file: str
    message: str

    def __str__(self) -> str:
        return clean(f"{self.file}: {self.message}")


class PageResult(NamedTuple):
    """What was done with one page.

    ``file`` is its path inside the site, ``changed`` whether its bytes are to change, ``reason``
    why it was skipped, ``surfaces`` kind and URL of what leads to a payment page, ``failure`` why
    nothing was done, ``copies_changed`` the number of compressed copies that follow the page.
    """

    file: str
    changed: bool = False
    outcome: Outcome = "carries"
    reason: str | None = None
    surfaces: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    failure: str | None = None
    copies_changed: int = 0


@dataclass
class SiteReport:
    """What one pass over a site did; with ``check`` or ``removing``, what it would do or undid.

    ``pages`` carry the script after the pass; ``changed`` and ``unchanged`` count files of all
    outcomes. ``links`` counts payment surfaces, without those of excluded pages. ``asset`` is the site-relative path of the script
    file, ``asset_changed`` whether it was not there as it is now; the same for ``manifest``.
    ``csp_hash`` is what a Content-Security-Policy needs for the inline script.
    """

    pages: int = 0
    changed: int = 0
    unchanged: int = 0
    copies_changed: int = 0
    excluded: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    links: int = 0
    pages_with_links: int = 0
    findings: list[Finding] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    asset: str | None = None
    asset_changed: bool = False
    old_assets: list[str] = field(default_factory=list)
    manifest: str | None = None
    manifest_changed: bool = False
    csp_hash: str | None = None
    check: bool = False
    removing: bool = False

    @property
    def clean(self) -> bool:
        """Whether the site was as it should be before the pass: nothing to change, no failure."""
        files = (
            self.asset_changed or self.manifest_changed or self.copies_changed or self.old_assets
        )
        return not (self.changed or files or self.failures)

    @property
    def empty(self) -> bool:
        """Whether no page was found."""
        return not (self.changed or self.unchanged or self.failures)

    @property
    def without_script(self) -> bool:
        """Whether there are pages, and none of them carries the script."""
        return not (self.pages or self.empty or self.removing or self.failures)

    def add(self, page: PageResult) -> None:
        """Count one page."""
        if page.failure is not None:
            self.failures.append(Failure(page.file, page.failure))
            return
        self.changed += page.changed
        self.unchanged += not page.changed
        self.copies_changed += page.copies_changed
        if page.outcome == "carries":
            self.pages += 1
        elif page.outcome == "excluded":
            self.excluded += 1
        else:
            self.skipped[page.reason or "unknown"] += 1
        if page.outcome != "excluded":
            self.links += len(page.surfaces)
            self.pages_with_links += bool(page.surfaces)
        self.findings.extend(page.findings)

    def summary(self) -> str:
        """Return the one line that a build ends with."""
        if self.removing:
            verb = "would lose" if self.check else "lost"
            parts = [f"{counted(self.changed, 'page')} {verb} the script"]
        elif self.check:
            total = self.changed + self.unchanged
            parts = [f"{self.changed} of {counted(total, 'page')} would change{self._aside()}"]
        else:
            carry = counted(self.pages, "page carries", "pages carry")
            parts = [f"{carry} the script{self._aside()}"]
        if self.links:
            where = counted(self.pages_with_links, "page")
            parts.append(f"{counted(self.links, 'payment link')} on {where}")
        if self.failures:
            parts.append(f"{counted(len(self.failures), 'file')} failed")
        return "tracknow: " + "; ".join(parts)

    def _aside(self) -> str:
        notes = []
        if self.excluded:
            notes.append(f"{self.excluded} excluded")
        if self.skipped:
            reasons = ", ".join(
                f"{number} {reason}" for reason, number in sorted(self.skipped.items())
            )
            notes.append(f"{sum(self.skipped.values())} skipped: {reasons}")
        return f" ({', '.join(notes)})" if notes else ""
