"""The audit of a whole site: page after page in a stream, then what concerns all of them."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tracknow_static import __version__
from tracknow_static.audit.groups import Severities
from tracknow_static.audit.host_files import read_headers, read_redirects
from tracknow_static.audit.page import PageAudit, PageAuditor, lacking
from tracknow_static.audit.policy import Needs, Policy
from tracknow_static.browser.compose import compose
from tracknow_static.edge.files import outdated
from tracknow_static.manifest import find
from tracknow_static.page.findings import Finding, finding, printable
from tracknow_static.page.process import PageProcessor, is_page
from tracknow_static.page.splice import remove
from tracknow_static.page.walk import site_root, walk
from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.audit.host_files import HeaderPolicy
    from tracknow_static.audit.stripe_account import Comparison
    from tracknow_static.config import Project
    from tracknow_static.manifest import Manifest
    from tracknow_static.page.walk import Entry

_PROBLEMS = 1_000  # findings about files that are no pages
_VARIANTS = 100  # different scripts that are kept apart; no real site has that many
# An entry of Workbox's precache manifest, in either order, with or without quotes:
# developer.chrome.com/docs/workbox/modules/workbox-precaching
_KEY = r"""["']?%s["']?\s*:\s*["']([^"']+)["']"""
_ENTRY = re.compile(
    rf"\{{\s*(?:{_KEY % 'url'}\s*,\s*{_KEY % 'revision'}|{_KEY % 'revision'}\s*,\s*{_KEY % 'url'})"
)


@dataclass
class Totals:
    """What an audit counts; nothing in it grows with the site."""

    pages: Counter[str] = field(default_factory=Counter)
    surfaces: Counter[str] = field(default_factory=Counter)
    severities: Counter[str] = field(default_factory=Counter)
    lost: int = 0

    def add(self, page: PageAudit) -> None:
        """Count one page."""
        if page.state != "script":
            self.pages[page.state] += 1
        for surface in page.surfaces:
            self.surfaces[surface.kind] += 1
            self.lost += surface.reaches == "never"
        self.count(page.findings)

    def count(self, findings: tuple[Finding, ...] | list[Finding]) -> None:
        """Count findings by severity."""
        self.severities.update(entry.severity for entry in findings)


class SiteAudit:
    """One audit of one site. Iterate over :meth:`pages`, then ask for :meth:`site_findings`.

    Raises :class:`SiteError` when ``site_dir`` is no folder and :class:`SettingsError` when the
    project's ``severity`` names what does not exist.
    """

    def __init__(
        self,
        site_dir: str,
        project: Project,
        manifest: Manifest | None = None,
        comparison: Comparison | None = None,
    ) -> None:
        self.root = site_root(site_dir)
        self.script = compose(project.settings)
        self.project = project
        self._manifest = manifest
        self.totals = Totals()
        self._severities = Severities(project.severity, project.source)
        self._comparison = comparison
        url = project.site_url
        path = urlsplit(url).path if url else None
        opted_out = frozenset(manifest.opted_out if manifest else ())
        self._processor = PageProcessor(project.settings, self.script, path, opted_out)
        self._others = [folder for folder in find(self.root) if folder]
        self.needs = Needs.of(self._processor, project.site_url)
        self._auditor = PageAuditor(self._processor, self.needs, url, comparison)
        self.hosts = self._auditor.hosts
        self.headers, self._header_problems = read_headers(Path(self.root))
        self._variants: dict[str, tuple[int, str, str]] = {}
        self._covered: dict[tuple[int, str], None] = {}
        self._problems: list[Finding] = []
        self.elements = False
        self.forms: dict[str, None] = {}
        self._carrying = False

    def pages(self) -> Iterator[PageAudit]:
        """Audit every page, folder by folder in the order of their names."""
        for entry in walk(self.root, self._processor, self._others):
            if entry.kind == "other":
                script = self._script_file(entry.path)
                if script:
                    self.totals.add(script)
                    yield script
            elif entry.kind == "source":
                self._problems.append(finding("TN304", printable(entry.path), 1))
            else:
                page = _unread(entry.path, entry.error) if entry.error else self._page(entry)
                self.totals.add(page)
                yield page

    def _page(self, entry: Entry) -> PageAudit:
        try:
            content = Path(self.root, entry.path).read_bytes()
            copies = [
                (suffix, Path(self.root, entry.path + suffix).read_bytes())
                for suffix in entry.copies
            ]
        except OSError as error:
            return _unread(entry.path, error)
        page = self._auditor.audit(entry.path, content, copies)
        self._note(page)
        if page.findings:
            page = replace(page, findings=tuple(self._severities.apply(page.findings)))
        return page

    def _script_file(self, path: str) -> PageAudit | None:
        """Look into a script for payment addresses, and for a precache made before our script."""
        name = path.rpartition("/")[2]
        if not name.endswith((".js", ".mjs")) or self.script.asset_pattern.fullmatch(name):
            return None
        try:
            content = Path(self.root, path).read_bytes()
        except OSError:  # no page: it cannot be without the script
            return None
        if len(self._problems) < _PROBLEMS:
            self._problems += _stale_precache(Path(self.root), path, content)
        audit = self._auditor.script_file(path, content)
        if audit and audit.findings:
            audit = replace(audit, findings=tuple(self._severities.apply(audit.findings)))
        return audit

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

    def site_findings(self) -> list[Finding]:
        """Return what concerns the site as a whole, once all pages have been read."""
        findings = [
            *self._of_pages(),
            *self._problems,
            *(finding("TN415", printable(folder), 1) for folder in self._others),
            *self._header_problems,
            *read_redirects(Path(self.root), self.hosts),
            *self._of_asset(),
            *self._of_edge_files(),
            *self._of_variants(),
            *self._of_settings(),
            *self._of_headers(),
            *(self._comparison.site_findings() if self._comparison else ()),
        ]
        weighed = self._severities.apply(findings)
        self.totals.count(weighed)
        return weighed

    def _of_asset(self) -> Iterator[Finding]:
        path = self.script.asset_path
        if path is None or not self._carrying:
            return
        try:
            content = Path(self.root, path).read_bytes()
        except OSError:
            yield finding("TN405", path, 1, "missing")
            return
        if content != self.script.asset:
            yield finding("TN405", path, 1, "other content")

    def _of_edge_files(self) -> Iterator[Finding]:
        """Yield a finding for each edge file beside the site, or here, that is out of date."""
        root = Path(self.root)
        for folder in dict.fromkeys((root, root.parent, Path.cwd())):
            try:
                for host, path in outdated(folder, self.project.settings):
                    name = os.path.relpath(folder / path, root).replace(os.sep, "/")
                    yield finding("TN442", printable(name), 1, host)
            except ModuleNotFoundError:
                return  # without the extra nobody can have made one here

    def _of_pages(self) -> Iterator[Finding]:
        pages = self.totals.pages
        if not pages.total():
            yield finding("TN413", ".", 1, "no HTML page found")
        elif pages["skipped"] and not pages.keys() - {"skipped", "excluded"}:
            yield finding("TN413", ".", 1, "none of the pages can carry the script")

    def _of_variants(self) -> Iterator[Finding]:
        if len(self._variants) < 2:
            return
        ranked = sorted(self._variants.values(), key=lambda variant: (-variant[0], variant[1]))
        parts = [
            f"{counted(number, 'page')} such as {first} ({name})"
            for number, first, name in ranked[:5]
        ]
        yield finding("TN406", ranked[-1][1], 1, "; ".join(parts))

    def _of_settings(self) -> Iterator[Finding]:
        """Yield a finding when the whole site was made with settings that this audit lacks."""
        stale, current = self.totals.pages["stale"], self.totals.pages["current"]
        if stale and not current and len(self._variants) == 1:
            built = self._manifest.version if self._manifest else __version__
            if built != __version__:
                about = f"built with version {built}, and this is {__version__}"
                yield finding("TN410", ".", 1, about, fix="Build or inject the site again.")
            else:
                yield finding("TN410", ".", 1, f"settings read from: {self.project.source}")
        elif stale and self._manifest is None:
            yield finding("TN414", ".", 1, f"settings read from: {self.project.source}")

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


def _stale_precache(site: Path, path: str, script: bytes) -> Iterator[Finding]:
    """Yield a finding for a worker whose revision of a page is that of the page without script.

    Workbox's revisions are MD5 sums. ``path`` is the worker's, relative to ``site``.
    """
    if b"precache" not in script or b"revision" not in script:
        return
    stale = [
        url
        for url, revision in _entries(script.decode("utf-8", "replace"))
        if is_page(url) and _is_older(site, path, url, revision)
    ]
    if stale:
        more = f" and {len(stale) - 1:,} more" if len(stale) > 1 else ""
        yield finding("TN441", printable(path), 1, f"{stale[0]}{more}")


def _entries(script: str) -> Iterator[tuple[str, str]]:
    for match in _ENTRY.finditer(script):
        url, revision, revision_first, url_last = match.groups()
        yield (url, revision) if url else (url_last, revision_first)


def _is_older(site: Path, worker: str, url: str, revision: str) -> bool:
    base = site if url.startswith("/") else (site / worker).parent
    try:
        page = (base / url.lstrip("/")).read_bytes()
    except (OSError, ValueError):
        return False
    bare = remove(page)
    return bare != page and hashlib.md5(bare, usedforsecurity=False).hexdigest() == revision
