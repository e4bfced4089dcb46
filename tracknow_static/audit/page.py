"""The audit of one page: does it carry the script, and do its payment surfaces carry the click id."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

import ada_url

from tracknow_static.audit.attribution import attribution
from tracknow_static.audit.policy import Lack, Needs, Policy
from tracknow_static.page import links
from tracknow_static.page.contents import ELEMENTS, MARKUP, PageContents
from tracknow_static.page.copies import MissingCodecError, decompress
from tracknow_static.page.findings import Finding, finding, judge, printable
from tracknow_static.page.process import is_xml
from tracknow_static.page.reader import read, read_script
from tracknow_static.page.splice import Spliced, elements_of_ours, remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tracknow_static.audit.attribution import Reaches
    from tracknow_static.audit.stripe_account import Comparison
    from tracknow_static.page.contents import Redirect, Surface
    from tracknow_static.page.process import PageProcessor

State = Literal[
    "current",
    "missing",
    "stale",
    "duplicate",
    "misplaced",
    "excluded",
    "skipped",
    "unread",
    "script",
]

_CODES: dict[State, str] = {
    "missing": "TN401",
    "stale": "TN402",
    "duplicate": "TN403",
    "misplaced": "TN404",
}
_NOWHERE = "page.invalid"  # the host of links.ANYWHERE
_PREFIX = re.compile(rb'src="[^"]*/')
_STUB = 4096  # bytes of a page that is nothing but a redirect; a larger one does other things


class SurfaceAudit(NamedTuple):
    """A payment surface, whether the click id gets through, and its price if the account knows it."""

    kind: str
    line: int
    url: str
    reaches: Reaches
    attribution: str
    price: str | None = None


@dataclass(frozen=True)
class PageAudit:
    """One page. ``reason``: why it is skipped or unread; ``variant``: which script it carries.

    ``elements`` is whether Stripe's own elements are on it, ``forms`` to which payment hosts it
    has forms; ``redirects`` whether the page does nothing but send its visitor on.
    """

    file: str
    path: str
    state: State
    reason: str | None = None
    surfaces: tuple[SurfaceAudit, ...] = ()
    findings: tuple[Finding, ...] = ()
    variant: tuple[str, str] | None = None
    elements: bool = False
    forms: tuple[str, ...] = ()
    redirects: bool = False


class _Page(NamedTuple):
    """A page under audit: as it should be, what it contains, and the scripts of ours on it."""

    file: str
    state: State
    spliced: Spliced
    contents: PageContents
    ours: tuple[bytes, ...]

    @property
    def passes_query_on(self) -> bool:
        """Whether it is a stub whose redirect keeps the query, and so the click id."""
        return any(redirect.keeps_query for redirect in self.contents.redirects)

    @property
    def is_stub(self) -> bool:
        """Whether it is so small that it may be nothing but a redirect."""
        return len(self.spliced.bare) <= _STUB

    @property
    def carries(self) -> bool:
        """Whether the page is to carry the script."""
        return self.state not in ("excluded", "skipped")


@dataclass(frozen=True)
class PageAuditor:
    """Audits pages; ``needs`` is what the script needs of a policy.

    ``processor`` knows the path that the site is served under, ``root_url`` the whole URL.
    """

    processor: PageProcessor
    needs: Needs
    root_url: str | None = None
    comparison: Comparison | None = None
    _expected: dict[str, tuple[bytes, ...]] = field(default_factory=dict)

    @cached_property
    def hosts(self) -> frozenset[str]:
        """The hosts of payment pages, those of the Stripe account included."""
        return self.processor.hosts | (self.comparison.domains if self.comparison else frozenset())

    def audit(
        self, path: str, content: bytes, copies: Iterable[tuple[str, bytes]] = ()
    ) -> PageAudit:
        """Audit the page at ``path``, a slash-separated path inside the site.

        ``copies`` are its compressed copies, each with its suffix.
        """
        page = self._page(path, content)
        surfaces = page.contents.surfaces
        findings = [
            *self._of_state(page),
            *judge(
                page.contents,
                page.file,
                self.processor.settings,
                skipped=page.spliced.skipped if page.state == "skipped" else None,
                carries=page.state != "excluded",
            ),
            *self._of_markup(page),
            *_of_others(page),
            *_of_copies(page.file, content, copies),
        ]
        audited = []
        for surface in surfaces:
            price = None
            if self.comparison:
                price, more = self.comparison.compare(surface, page.file)
                findings += more
            audited.append(self._surface(surface, page.state, price))
        findings.sort(key=lambda entry: (entry.line, entry.code))
        return PageAudit(
            file=page.file,
            path=path,
            state=page.state,
            reason=page.spliced.skipped,
            surfaces=tuple(audited),
            findings=tuple(findings),
            variant=_variant(page.ours),
            elements=any(surface.kind in ELEMENTS for surface in surfaces),
            forms=tuple(_form_hosts(page.contents)),
            redirects=page.is_stub and bool(page.contents.redirects),
        )

    def script_file(self, path: str, content: bytes) -> PageAudit | None:
        """Audit a script file of the site; None if it mentions no payment address."""
        surfaces = read_script(content, self.hosts)
        if not surfaces:
            return None
        file = printable(path)
        return PageAudit(
            file=file,
            path=path,
            state="script",
            surfaces=tuple(self._surface(surface, "script", None) for surface in surfaces),
            findings=tuple(judge(PageContents(surfaces), file, self.processor.settings)),
        )

    def _page(self, path: str, content: bytes) -> _Page:
        spliced = self._spliced(path, content)
        base = self.processor.base(path)
        if spliced.replaced and (spliced.changed or spliced.skipped):
            ours = elements_of_ours(content)
        else:
            ours = self._elements(base) if spliced.replaced else ()
        state = self._state(path, content, spliced, ours)
        stub = (b"location",) if len(spliced.bare) <= _STUB else ()
        contents = read(content, self.hosts, markup=(*MARKUP, *stub))
        if not stub:
            contents.redirects = [entry for entry in contents.redirects if not entry.by_script]
        return _Page(printable(path), state, spliced, contents, ours)

    def _spliced(self, path: str, content: bytes) -> Spliced:
        if self.processor.excludes(path) and not is_xml(path):
            bare = remove(content)
            return Spliced(bare, bare, changed=bare != content, replaced=bare != content)
        spliced = self.processor.transform(path, content)
        if spliced.changed and self.processor.base(path).startswith("/") and self.root_url:
            # A page shown at any depth may name its file by the site's whole URL as well.
            whole = self.processor.transform(path, content, base=self.root_url)
            return spliced if whole.changed else whole
        return spliced

    def _state(self, path: str, content: bytes, spliced: Spliced, ours: tuple[bytes, ...]) -> State:
        if self.processor.excludes(path):
            return "excluded"
        if spliced.skipped:
            return "skipped"
        if spliced.page == content:
            return "current"
        if not ours:
            return "missing"
        expected = self._elements(self.processor.base(path))
        if ours == expected:
            return "misplaced"
        return "duplicate" if len(ours) > len(expected) else "stale"

    def _elements(self, base: str) -> tuple[bytes, ...]:
        if base not in self._expected:
            self._expected[base] = elements_of_ours(self.processor.tag(base))
        return self._expected[base]

    def _of_state(self, page: _Page) -> Iterator[Finding]:
        surfaces, skipped = page.contents.surfaces, page.spliced.skipped
        if page.state in _CODES and not (page.state == "missing" and page.passes_query_on):
            yield finding(_CODES[page.state], page.file, 1)
        if page.state == "excluded" and surfaces:
            yield finding("TN408", page.file, surfaces[0].line)
        if page.state == "excluded" and page.ours:
            yield finding("TN409", page.file, 1)
        if skipped and skipped != "fragment" and not surfaces:
            yield finding("TN407", page.file, 1, skipped)
        if page.spliced.late:
            yield finding("TN303", page.file, 1)

    def _of_markup(self, page: _Page) -> Iterator[Finding]:
        # What matters is the order once the page is as it should be.
        contents = page.contents
        if page.spliced.changed and (contents.policies or contents.base):
            contents = read(page.spliced.page, self.hosts, markup=MARKUP)
        script = contents.script_offset if page.carries else None
        yield from self._of_policies(page.file, contents, script)
        base = contents.base
        if base and base.text.strip() not in ("", ".", "./"):
            misleads = script is not None and base.offset < script and self.needs.file
            yield finding("TN432" if misleads else "TN431", page.file, base.line, base.text)
        carries = page.carries and bool(page.ours)
        # A stub has a refresh and a script to the same address: one finding.
        redirects = {_host(redirect.target): redirect for redirect in page.contents.redirects[::-1]}
        for host, redirect in sorted(redirects.items(), key=lambda item: item[1].line):
            # Those to payment pages are among the surfaces.
            if host not in self.hosts and not page.passes_query_on:
                yield from self._of_redirect(page.file, redirect, carries=carries)

    def _of_policies(
        self, file: str, contents: PageContents, script: int | None
    ) -> Iterator[Finding]:
        for policy in contents.policies:
            parsed = Policy(policy.text)
            # A policy counts for what comes after it. (https://www.w3.org/TR/CSP3/#meta-element)
            if script is not None and policy.offset < script:
                for lack in parsed.script_lacks(self.needs):
                    yield lacking("TN421", file, policy.line, lack)
            if any(surface.kind in ELEMENTS for surface in contents.surfaces):
                for lack in parsed.stripe_lacks():
                    yield lacking("TN422", file, policy.line, lack)
            for host in _form_hosts(contents):
                for lack in parsed.form_lacks(host):
                    yield lacking("TN423", file, policy.line, lack)

    def _of_redirect(self, file: str, redirect: Redirect, *, carries: bool) -> Iterator[Finding]:
        host = _host(redirect.target)
        if not carries:
            yield finding("TN411", file, redirect.line)
        elif host and not self._shares(host):
            unsure = self.needs.site is None
            fix = "Give --site-url, so that the site's own host is known." if unsure else ""
            severity: Literal["info"] | None = "info" if unsure else None
            yield finding("TN412", file, redirect.line, host, fix=fix, severity=severity)

    def _shares(self, host: str) -> bool:
        """Whether a click id stored here is visible on ``host``; unknown hosts are presumed not."""
        domain = self.processor.settings.cookie_domain
        if domain and (host == domain or host.endswith(f".{domain}")):
            return True
        return self.needs.site is not None and host == self.needs.site

    def _surface(self, surface: Surface, state: State, price: str | None) -> SurfaceAudit:
        known_host = not surface.url or urlsplit(surface.url).hostname in self.processor.hosts
        result = attribution(surface, state, self.processor.settings, known_host=known_host)
        return SurfaceAudit(
            kind=surface.kind,
            line=surface.line,
            url=surface.url,
            reaches=result.reaches,
            attribution=result.text,
            price=price,
        )


def _of_others(page: _Page) -> Iterator[Finding]:
    """Yield findings about other tools that write a reference, on pages that sell."""
    if not page.contents.surfaces:
        return
    for name, line in {name: line for line, name in page.contents.vendors[::-1]}.items():
        yield finding("TN202", page.file, line, name)
    for line in page.contents.writers:
        yield finding("TN203", page.file, line)


def _of_copies(file: str, content: bytes, copies: Iterable[tuple[str, bytes]]) -> Iterator[Finding]:
    for suffix, copy in copies:
        try:
            page = decompress(copy, suffix)
        except MissingCodecError as module:
            fix = f"Install {module}, so that it can be read."
            yield finding("TN503", file + suffix, 1, fix=fix)
            continue
        if page is not None and remove(page) == remove(content):
            if page != content:
                yield finding("TN501", file + suffix, 1)
        else:
            yield finding("TN502", file + suffix, 1)


def lacking(code: str, file: str, line: int, lack: Lack) -> Finding:
    """Return the finding about a policy that lacks something."""
    return finding(code, file, line, lack.directive, fix=lack.advice)


def _variant(ours: tuple[bytes, ...]) -> tuple[str, str] | None:
    """Return a mark of the script that a page carries, the same at every depth, and its file."""
    if not ours:
        return None
    bare = sorted({_PREFIX.sub(b'src="', element) for element in ours})
    name = re.search(rb'src="([^"]*)"', b"".join(bare))
    mark = hashlib.blake2b(b"".join(bare), digest_size=8).hexdigest()
    return mark, name[1].decode("ascii", "replace") if name else "inline"


def _form_hosts(contents: PageContents) -> Iterator[str]:
    forms = (surface for surface in contents.surfaces if surface.kind == "form")
    hosts = (urlsplit(form.url).hostname for form in forms)
    yield from dict.fromkeys(host for host in hosts if host)


def _host(target: str) -> str:
    """Return the host of an address that names one, else ""."""
    try:
        return ada_url.URL(target.strip(), links.ANYWHERE).hostname.replace(_NOWHERE, "")
    except ValueError:
        return ""
