"""What is done with one page: bytes and the page's path in, bytes and a result out; no files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from tracknow_static.page.candidates import worth_reading
from tracknow_static.page.contents import PageContents
from tracknow_static.page.findings import finding, judge, printable
from tracknow_static.page.reader import read
from tracknow_static.page.report import PageResult
from tracknow_static.page.splice import Spliced, remove, transform
from tracknow_static.tracknow import PAYMENT_HOSTS

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    from tracknow_static.browser.compose import Script
    from tracknow_static.settings import Settings

_XML_SUFFIXES = (".xhtml", ".xht")
_SUFFIXES = (".html", ".htm", *_XML_SUFFIXES)
# What a site's other files end in. A file with no such suffix is looked into: Pelican can write
# pages without any, and hosts with languages call theirs index.html.de.
_NO_PAGES = re.compile(
    r"\.(?:css|[mc]?js|map|wasm|json(?:ld)?|webmanifest|xml|xslt?|rss|atom|[ct]sv|ya?ml|toml|ini|log"
    r"|pdf|epub|ps|docx?|xlsx?|pptx?|od[ts]|ics|vcf|inv|buildinfo|doctree|pickle|tmp|lock|sig|asc"
    r"|png|jpe?g|gif|webp|avif|svgz?|ico|bmp|tiff?|heic|psd|ai|eps|woff2?|ttf|otf|eot"
    r"|mp[34]|m4[av]|og[gva]|opus|wav|flac|webm|mov|avi|gz|br|zst|zip|tar|tgz|bz2|xz|7z|rar"
    r"|whl|jar|exe|dmg|deb|rpm|apk|iso|bin|pem|key|py|ipynb|[chr]|go|rs|java|tsx?|jsx|s[ac]ss|less"
    r"|sh|sql|db)"
)
# Sources of pages, and pages that a server runs: published, but not as they are.
_SOURCES = re.compile(
    r"\.(?:md|markdown|rst|adoc|txt|j2|jinja2?|tmpl|tpl|hbs|mustache|ejs|erb|liquid|njk|vue|svelte"
    r"|mht(?:ml)?|eml|php|aspx?|jsp|shtml)"
)
_DOCUMENT = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s|<!--.*?-->)*<(?:!doctype\s+html|html[\s>])", re.IGNORECASE | re.DOTALL
)
_GZIP = b"\x1f\x8b"
# The page that servers show at any depth: relative URLs in it lead nowhere.
_ANYWHERE = "404.html"
_WHOLE_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def is_page(name: str) -> bool:
    """Whether a file is a page, by its name."""
    return name.lower().endswith(_SUFFIXES)


def may_be_page(name: str) -> Literal["page", "source"] | None:
    """Whether a file with another suffix is a page if it :func:`looks_like_page`, or its source."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - it is a name
    if _NO_PAGES.fullmatch(suffix):
        return None
    return "source" if _SOURCES.fullmatch(suffix) else "page"


def looks_like_page(start: bytes) -> bool:
    """Whether the first bytes of a file are those of an HTML document."""
    return _DOCUMENT.match(start) is not None


def is_xml(path: str) -> bool:
    """Whether a page is XML, which the rules of HTML do not fit."""
    return path.lower().endswith(_XML_SUFFIXES)


@dataclass(frozen=True)
class PageProcessor:
    """Everything that the work on one page depends on, apart from the page.

    ``root_url`` is the path or URL under which the site is served; ``opted_out`` contains paths of
    pages that are to carry no script. With ``removing`` every script of ours is removed.
    """

    settings: Settings
    script: Script
    root_url: str | None = None
    opted_out: frozenset[str] = frozenset()
    removing: bool = False

    @cached_property
    def hosts(self) -> frozenset[str]:
        """The hosts whose links the script decorates."""
        return PAYMENT_HOSTS.union(self.settings.payment_hosts)

    @cached_property
    def _excluded(self) -> GitIgnoreSpec | None:
        return path_spec(self.settings.exclude) if self.settings.exclude else None

    def base(self, path: str) -> str:
        """Return the URL prefix that leads from the page at ``path`` to the root of the site."""
        if path.rpartition("/")[2] == _ANYWHERE:
            return (self.root_url or "").rstrip("/") + "/"
        return "../" * path.count("/")

    def excludes(self, path: str) -> bool:
        """Whether the page at ``path`` is to carry no script."""
        return path in self.opted_out or bool(self._excluded and self._excluded.match_file(path))

    @cached_property
    def _tags(self) -> dict[str, bytes]:
        return {}

    def tag(self, base: str) -> bytes:
        """Return the script's insertion for pages from which ``base`` leads to the root."""
        tag = self._tags.get(base)
        if tag is None:
            tag = self._tags[base] = self.script.tags(base)
        return tag

    def transform(self, path: str, page: bytes, *, base: str | None = None) -> Spliced:
        """Return the page at ``path`` as it should be; ``base`` replaces its usual one."""
        if is_xml(path):
            return Spliced(page, page, changed=False, skipped="XHTML")
        if page.startswith(_GZIP):
            return Spliced(page, page, changed=False, skipped="gzip data")
        base = self.base(path) if base is None else base
        spliced = transform(page, self.tag(base), relative=not _WHOLE_URL.match(base))
        return (
            replace(spliced, skipped=_fragment(page)) if spliced.skipped == "fragment" else spliced
        )

    def process(self, path: str, page: bytes) -> tuple[bytes, PageResult]:
        """Return the page at ``path``, a slash-separated path inside the site, as it should be."""
        file = path if path.isascii() else printable(path)
        if self.removing or self.excludes(path):
            bare = page if is_xml(path) else remove(page)
            changed = bare != page
            contents = PageContents() if self.removing else self._read(Spliced(bare, bare, changed))
            return bare, PageResult(file, changed, "excluded", surfaces=_listed(contents))
        spliced = self.transform(path, page)
        contents = self._read(spliced)
        found = judge(contents, file, self.settings, skipped=spliced.skipped)
        if spliced.late:
            found.append(finding("TN303", file, 1))
        return spliced.page, PageResult(
            file,
            changed=spliced.changed,
            outcome="skipped" if spliced.skipped else "carries",
            reason=spliced.skipped,
            surfaces=_listed(contents),
            findings=tuple(found),
        )

    def _read(self, spliced: Spliced) -> PageContents:
        # The bare page is put to the test, since our own script names Stripe's hosts.
        if not worth_reading(spliced.bare, self.hosts):
            return PageContents()
        # With a tag of several lines, findings name those of the page as it will be.
        several = b"\n" in self.tag("")
        return read(spliced.page if several else spliced.bare, self.hosts)


def _listed(contents: PageContents) -> tuple[tuple[str, str], ...]:
    return tuple((surface.kind, surface.url) for surface in contents.surfaces)


def _fragment(page: bytes) -> str:
    """Return the word for a page that is no document."""
    start = page[:1000].strip()
    if not start and not page.strip():
        return "empty file"
    return "verification file" if start.startswith(b"google-site-verification:") else "fragment"


def path_spec(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    """Return a matcher of paths by the rules of .gitignore."""
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns)
