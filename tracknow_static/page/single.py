"""What is done with one page: bytes and the page's path in, bytes and findings out; no files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from tracknow_static.page import links
from tracknow_static.page.findings import Finding, finding, judge, printable
from tracknow_static.page.globs import compile_globs
from tracknow_static.page.splice import Spliced, remove, transform
from tracknow_static.page.surfaces import NOTHING, Inspection, inspect, read_page, worth_reading

if TYPE_CHECKING:
    import re
    from collections.abc import Collection

    from tracknow_static.page.splice import Tagged
    from tracknow_static.settings import Settings

Outcome = Literal["carries", "excluded", "skipped"]

_XML_SUFFIXES = (".xhtml", ".xht")
_SUFFIXES = (".html", ".htm", *_XML_SUFFIXES)
_CACHED = 20_000  # inspections kept by one cache, about 500 bytes each


def is_page(name: str) -> bool:
    """Say by a file's name whether it is a page."""
    return name.lower().endswith(_SUFFIXES)


class InspectionCache:
    """What pages were found to hold, by content: a rebuild reads changed pages only."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], Inspection] = {}

    def inspect(self, page: bytes, hosts: frozenset[str]) -> Inspection:
        """Give the inspection of a page, kept or made now."""
        key = (len(page), hash(page))  # what it could confuse is a report of a preview
        known = self._kept.get(key)
        if known is None:
            if len(self._kept) >= _CACHED:
                self._kept.clear()
            known = self._kept[key] = inspect(page, hosts)
        return known


@dataclass(frozen=True)
class PageResult:
    """One page after the pass.

    ``file`` is its path inside the site, ``page`` its new bytes, ``changed`` whether they differ
    from the old ones, ``reason`` why it was skipped.
    """

    file: str
    page: bytes
    changed: bool
    outcome: Outcome
    reason: str | None = None
    links: int = 0
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class PagePass:
    """Everything that the work on one page depends on, beside the page.

    ``root_url`` is the path or URL under which the site is served; ``opted_out`` holds paths of
    pages that are to carry no script; ``absolute`` globs of pages that a server shows at any
    depth, whose URLs therefore begin at ``root_url``. With ``removing`` every script of ours is
    taken out.
    """

    settings: Settings
    script: Tagged
    root_url: str | None = None
    opted_out: frozenset[str] = frozenset()
    absolute: tuple[str, ...] = ("404.html",)
    removing: bool = False

    @cached_property
    def _hosts(self) -> frozenset[str]:
        return links.all_hosts(self.settings.payment_hosts)

    @cached_property
    def _excluded(self) -> re.Pattern[str] | None:
        return compile_globs(self.settings.exclude)

    @cached_property
    def _anywhere(self) -> re.Pattern[str] | None:
        return compile_globs(self.absolute)

    def base(self, path: str) -> str:
        """Give the URL prefix that leads from the page at ``path`` to the root of the site."""
        if self._anywhere and self._anywhere.fullmatch(path):
            return (self.root_url or "").rstrip("/") + "/"
        return "../" * path.count("/")

    def excludes(self, path: str) -> bool:
        """Say whether the page at ``path`` is to carry no script."""
        return path in self.opted_out or bool(self._excluded and self._excluded.fullmatch(path))

    @cached_property
    def _tags(self) -> dict[str, bytes]:
        return {}

    def tags(self, base: str) -> bytes:
        """Give the script's insertion for pages from which ``base`` leads to the root."""
        tag = self._tags.get(base)
        if tag is None:
            tag = self._tags[base] = self.script.tags(base)
        return tag

    def _inspect(self, spliced: Spliced, cache: InspectionCache | None) -> Inspection:
        # The bare page is put to the test, since our own script names Stripe's hosts.
        bare = spliced.bare
        if b"\n" not in self.tags(""):
            return cache.inspect(bare, self._hosts) if cache else inspect(bare, self._hosts)
        # A tag of several lines: findings name those of the page as it will be.
        worth = worth_reading(bare, self._hosts)
        return read_page(spliced.page, self._hosts) if worth else NOTHING

    def run(self, path: str, page: bytes, cache: InspectionCache | None = None) -> PageResult:
        """Do the work on the page at ``path``, a slash-separated path inside the site."""
        file = path if path.isascii() else printable(path)
        xml = path.lower().endswith(_XML_SUFFIXES)
        if self.removing or self.excludes(path):
            bare = page if xml else remove(page)
            return PageResult(file, bare, bare != page, "excluded")
        if xml:
            spliced = Spliced(page, page, changed=False, skipped="XHTML")
        else:
            spliced = transform(page, self, self.base(path))
        reason = spliced.skipped
        inspection = self._inspect(spliced, cache)
        found = judge(
            *(inspection, file),
            test_links=self.settings.test_links,
            existing_reference=self.settings.existing_reference,
            skipped=reason,
        )
        if spliced.late:
            found.append(finding("TN303", file, 1))
        outcome: Outcome = "skipped" if reason else "carries"
        count = len(inspection.surfaces)
        return PageResult(
            *(file, spliced.page, spliced.changed, outcome, reason, count, tuple(found))
        )


def process_page(
    page: bytes,
    path: str,
    settings: Settings,
    *,
    root_url: str | None = None,
    opted_out: Collection[str] = (),
    absolute: Collection[str] = ("404.html",),
) -> PageResult:
    """Do the work on one page in memory, before it is ever written; see :class:`PagePass`."""
    from tracknow_static.browser.compose import compose

    whole = PagePass(settings, compose(settings), root_url, frozenset(opted_out), tuple(absolute))
    return whole.run(path, page)
