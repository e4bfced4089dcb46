"""The audit of a whole site: page after page in a stream, then what concerns all of them."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tracknow_static.audit.codes import Scale, found
from tracknow_static.audit.headers import read_headers
from tracknow_static.audit.page import PageAudit, PageAuditor, lacking
from tracknow_static.audit.policy import Needs, Policy
from tracknow_static.browser.compose import compose
from tracknow_static.errors import SiteError
from tracknow_static.page.findings import Finding, printable
from tracknow_static.page.single import PagePass, is_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.audit.account import Comparison
    from tracknow_static.audit.headers import HeaderPolicy
    from tracknow_static.browser.compose import Script
    from tracknow_static.config import Project

_VARIANTS = 100  # different scripts that are told apart; no real site has so many


@dataclass
class Totals:
    """What an audit counts; nothing in it grows with the site."""

    pages: Counter[str] = field(default_factory=Counter)
    surfaces: Counter[str] = field(default_factory=Counter)
    severities: Counter[str] = field(default_factory=Counter)
    lost: int = 0

    @property
    def unread(self) -> int:
        """How many files and folders could not be read."""
        return self.pages["unread"]

    def add(self, page: PageAudit) -> None:
        """Count one page."""
        self.pages[page.state] += 1
        for surface in page.surfaces:
            self.surfaces[surface.kind] += 1
            self.lost += surface.fate.startswith("click id lost")
        self.count(page.findings)

    def count(self, findings: tuple[Finding, ...] | list[Finding]) -> None:
        """Count findings by severity."""
        self.severities.update(one.severity for one in findings)


class SiteAudit:
    """One audit of one site. Iterate over :meth:`pages`, then ask for :meth:`of_the_site`.

    Raises :class:`SiteError` when ``site_dir`` is no folder and :class:`SettingsError` when the
    project's ``severity`` names what does not exist.
    """

    def __init__(
        self, site_dir: str, project: Project, *, comparison: Comparison | None = None
    ) -> None:
        self.root = os.path.realpath(site_dir)
        if not Path(self.root).is_dir():
            raise SiteError(f"{printable(site_dir)}: no such folder. Build the site first.")
        self.script: Script = compose(project.settings)
        self.project = project
        self.totals = Totals()
        self._scale = Scale(project.severity, project.source)
        self._comparison = comparison
        url = project.site_url
        path = urlsplit(url).path if url else None
        self._pass = PagePass(project.settings, self.script, path)
        self.needs = Needs.of(self._pass, project.site_url)
        self._auditor = PageAuditor(self._pass, self.needs, url, comparison)
        self.headers, self._header_problems = read_headers(Path(self.root))
        self._variants: dict[str, tuple[int, str, str]] = {}
        self._covered: dict[tuple[int, str], None] = {}
        self.elements = False
        self.forms: dict[str, None] = {}
        self._carrying = False

    def pages(self) -> Iterator[PageAudit]:
        """Audit every page, in the order of their paths."""
        for path, problem in self._paths():
            page = self._page(path) if problem is None else _unread(path, problem)
            self.totals.add(page)
            yield page

    def _page(self, path: str) -> PageAudit:
        try:
            content = Path(self.root, path).read_bytes()
        except OSError as error:
            return _unread(path, error)
        page = self._auditor.audit(path, content)
        self._note(page)
        if page.findings:
            weighed = tuple(self._scale.weigh(page.findings))
            page = replace(page, findings=weighed)
        return page

    def _note(self, page: PageAudit) -> None:
        """Remember of a page what concerns the site: a bounded number of things."""
        if page.variant and (page.variant[0] in self._variants or len(self._variants) < _VARIANTS):
            mark, name = page.variant
            number, first, _ = self._variants.get(mark, (0, page.file, name))
            self._variants[mark] = (number + 1, first, name)
        carries = page.state not in ("excluded", "skipped")
        self._carrying = self._carrying or (carries and page.variant is not None)
        self.elements = self.elements or page.elements
        self.forms.update(dict.fromkeys(page.forms))
        for number, policy in enumerate(self.headers):
            wanted = ["script"] * carries + ["elements"] * page.elements
            wanted += [f"form {host}" for host in page.forms]
            for what in wanted:
                if (number, what) not in self._covered and policy.covers(page.path):
                    self._covered[number, what] = None

    def _paths(self) -> Iterator[tuple[str, OSError | None]]:
        """Give the path of every page, and of every folder that cannot be read, with the reason."""
        folders = [""]
        while folders:
            prefix = folders.pop()
            try:
                with os.scandir(f"{self.root}/{prefix}") as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                yield prefix or ".", error
                continue
            below = []
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != ".git":
                        below.append(f"{prefix}{entry.name}/")
                elif is_page(entry.name) and self._own(entry):
                    yield prefix + entry.name, None
            folders += reversed(below)

    def _own(self, entry: os.DirEntry[str]) -> bool:
        """Whether a page is audited here: a link to another page of the site is audited there."""
        if not entry.is_symlink():
            return entry.is_file(follow_symlinks=False)
        real = os.path.realpath(entry.path)
        return Path(real).is_file() and not real.startswith(self.root + os.sep)

    def of_the_site(self) -> list[Finding]:
        """Give what concerns the site as a whole, once all pages have been read."""
        findings = [
            *self._header_problems,
            *self._of_asset(),
            *self._of_variants(),
            *self._of_settings(),
            *self._of_headers(),
            *(self._comparison.of_the_site() if self._comparison else ()),
        ]
        weighed = self._scale.weigh(findings)
        self.totals.count(weighed)
        return weighed

    def _of_asset(self) -> Iterator[Finding]:
        path = self.script.asset_path
        if path is None or not self._carrying:
            return
        try:
            content = Path(self.root, path).read_bytes()
        except OSError:
            yield found("TN405", path, 1, "missing")
            return
        if content != self.script.asset:
            yield found("TN405", path, 1, "other content")

    def _of_variants(self) -> Iterator[Finding]:
        if len(self._variants) < 2:
            return
        ranked = sorted(self._variants.values(), key=lambda one: (-one[0], one[1]))
        parts = [
            f"{number:,} page{'s' * (number > 1)} such as {first} ({name})"
            for number, first, name in ranked[:5]
        ]
        yield found("TN406", ranked[-1][1], 1, "; ".join(parts))

    def _of_settings(self) -> Iterator[Finding]:
        """Say when the whole site was made with settings that this audit does not know."""
        stale, current = self.totals.pages["stale"], self.totals.pages["current"]
        if stale and not current and len(self._variants) == 1:
            source = self.project.source
            yield found("TN410", ".", 1, f"settings read from: {source}")

    def _of_headers(self) -> Iterator[Finding]:
        for number, what in self._covered:
            policy = self.headers[number]
            yield from _lacks(policy, what, self.needs)


def _unread(path: str, error: OSError) -> PageAudit:
    return PageAudit(printable(path), path, "unread", error.strerror or str(error))


def _lacks(header: HeaderPolicy, what: str, needs: Needs) -> Iterator[Finding]:
    for policy in Policy.all_of(header.text):
        if what == "script":
            code, lacks = "TN421", policy.script_lacks(needs)
        elif what == "elements":
            code, lacks = "TN422", policy.stripe_lacks()
        else:
            code, lacks = "TN423", policy.form_lacks(what.removeprefix("form "))
        for lack in lacks:
            yield lacking(code, header.file, header.line, lack)
