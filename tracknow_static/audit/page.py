"""The audit of one page: does it carry the script, and what becomes of what leads to Stripe."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import ada_url

from tracknow_static.audit.codes import found
from tracknow_static.audit.fate import fate, keeps
from tracknow_static.audit.markup import NOTHING as NO_MARKUP
from tracknow_static.audit.markup import Markup, Redirect, read_markup, worth_marking
from tracknow_static.audit.policy import Lack, Needs, Policy
from tracknow_static.page import links
from tracknow_static.page.findings import Finding, finding, judge, printable
from tracknow_static.page.splice import Spliced, remove, transform
from tracknow_static.page.surfaces import NOTHING, Inspection, Surface, read_page, worth_reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.audit.account import Comparison
    from tracknow_static.page.single import PagePass

State = Literal[
    "current", "missing", "stale", "duplicate", "misplaced", "excluded", "skipped", "unread"
]

_XML = (".xhtml", ".xht")
_CODES: dict[State, str] = {
    "missing": "TN401",
    "stale": "TN402",
    "duplicate": "TN403",
    "misplaced": "TN404",
}
_ELEMENTS = ("buy-button", "pricing-table")
_NOWHERE = "page.invalid"  # the host of links.ANYWHERE
_PREFIX = re.compile(rb'src="[^"]*/')


@dataclass(frozen=True)
class SurfaceAudit:
    """A payment surface, what the browser makes of it, and its price when the account knows it."""

    kind: str
    line: int
    url: str
    fate: str
    kept: bool
    price: str | None = None


@dataclass(frozen=True)
class PageAudit:
    """One page. ``reason`` says why it is skipped or unread, ``variant`` which script it carries.

    ``elements`` says whether Stripe's own elements are on it, ``forms`` to which payment hosts it
    has forms.
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


@dataclass(frozen=True)
class PageAuditor:
    """Audits pages; ``needs`` is what the script asks of a policy.

    ``page_pass`` knows the path that the site is served under, ``root_url`` the whole URL.
    """

    page_pass: PagePass
    needs: Needs
    root_url: str | None = None
    comparison: Comparison | None = None
    _expected: dict[str, tuple[bytes, ...]] = field(default_factory=dict)

    @cached_property
    def _hosts(self) -> frozenset[str]:
        own = self.comparison.domains if self.comparison else ()
        return links.all_hosts((*self.page_pass.settings.payment_hosts, *own))

    @cached_property
    def _decorated(self) -> frozenset[str]:
        return links.all_hosts(self.page_pass.settings.payment_hosts)

    def audit(self, path: str, page: bytes) -> PageAudit:
        """Audit the page at ``path``, a slash-separated path inside the site."""
        file = printable(path)
        spliced = self._spliced(path, page)
        markup = self._markup(path, page, spliced)
        state = self._state(path, page, spliced, markup)
        inspection = NOTHING
        if worth_reading(spliced.bare, self._hosts):
            inspection = read_page(page, self._hosts)
        findings = [
            *self._of_state(file, state, spliced, markup, inspection),
            *self._of_surfaces(file, state, spliced, inspection),
            *self._of_markup(file, state, spliced, markup, inspection),
        ]
        surfaces = []
        for surface in inspection.surfaces:
            price = None
            if self.comparison:
                price, more = self.comparison.compare(surface, file)
                findings += more
            surfaces.append(self._surface(surface, state, price))
        findings.sort(key=lambda one: (one.line, one.code))
        return PageAudit(
            *(file, path, state, spliced.skipped, tuple(surfaces), tuple(findings)),
            variant=_variant(markup),
            elements=any(one.kind in _ELEMENTS for one in inspection.surfaces),
            forms=tuple(_form_hosts(inspection)),
        )

    def _spliced(self, path: str, page: bytes) -> Spliced:
        if path.lower().endswith(_XML):
            return Spliced(page, page, changed=False, skipped="XHTML")
        if self.page_pass.excludes(path):
            bare = remove(page)
            return Spliced(bare, bare, changed=bare != page, replaced=bare != page)
        base = self.page_pass.base(path)
        spliced = transform(page, self.page_pass, base)
        if spliced.changed and base.startswith("/") and self.root_url:
            # A page shown at any depth may name its file by the site's whole URL as well.
            whole = transform(page, self.page_pass, self.root_url)
            return spliced if whole.changed else whole
        return spliced

    def _markup(self, path: str, page: bytes, spliced: Spliced) -> Markup:
        if worth_marking(spliced.bare):
            return read_markup(page)
        if spliced.changed and spliced.replaced:
            return read_markup(page, ours_only=True)
        if spliced.changed or spliced.skipped or self.page_pass.excludes(path):
            return NO_MARKUP
        return Markup(ours=self._elements(self.page_pass.base(path)))

    def _state(self, path: str, page: bytes, spliced: Spliced, markup: Markup) -> State:
        if self.page_pass.excludes(path):
            return "excluded"
        if spliced.skipped:
            return "skipped"
        if spliced.page == page:
            return "current"
        if not markup.ours:
            return "missing"
        expected = self._elements(self.page_pass.base(path))
        if markup.ours == expected:
            return "misplaced"
        return "duplicate" if len(markup.ours) > len(expected) else "stale"

    def _elements(self, base: str) -> tuple[bytes, ...]:
        if base not in self._expected:
            self._expected[base] = read_markup(self.page_pass.tags(base)).ours
        return self._expected[base]

    def _of_state(
        self, file: str, state: State, spliced: Spliced, markup: Markup, inspection: Inspection
    ) -> Iterator[Finding]:
        if state in _CODES:
            yield found(_CODES[state], file, 1)
        if state == "excluded" and inspection.surfaces:
            yield found("TN408", file, inspection.surfaces[0].line)
        if state == "excluded" and markup.ours:
            yield found("TN409", file, 1)
        if spliced.skipped and spliced.skipped != "fragment" and not inspection.surfaces:
            yield found("TN407", file, 1, spliced.skipped)
        if spliced.late:
            yield finding("TN303", file, 1)

    def _of_surfaces(
        self, file: str, state: State, spliced: Spliced, inspection: Inspection
    ) -> list[Finding]:
        settings = self.page_pass.settings
        return judge(
            *(inspection, file),
            test_links=settings.test_links,
            existing_reference=settings.existing_reference,
            skipped=None if state == "excluded" else spliced.skipped,
            carries=state != "excluded",
        )

    def _of_markup(
        self, file: str, state: State, spliced: Spliced, markup: Markup, inspection: Inspection
    ) -> Iterator[Finding]:
        carries = state not in ("excluded", "skipped")
        # Where things stand once the page is as it should be.
        then = read_markup(spliced.page) if markup.policies or markup.base else markup
        ours = then.first_of_ours if carries else None
        yield from self._of_policies(file, then, ours, inspection)
        if then.base and then.base.href.strip() not in ("", ".", "./"):
            late = ours is not None and then.base.offset < ours and self.needs.file
            yield found("TN432" if late else "TN431", file, then.base.line, then.base.href)
        for redirect in markup.redirects:
            if _host(redirect.target) not in self._hosts:  # those are among the surfaces
                yield from self._of_redirect(file, redirect, carries=carries and bool(markup.ours))

    def _of_policies(
        self, file: str, markup: Markup, ours: int | None, inspection: Inspection
    ) -> Iterator[Finding]:
        for policy in markup.policies:
            parsed = Policy(policy.text)
            # A policy counts for what stands after it. (https://www.w3.org/TR/CSP3/#meta-element)
            if ours is not None and policy.offset < ours:
                for lack in parsed.script_lacks(self.needs):
                    yield lacking("TN421", file, policy.line, lack)
            if any(one.kind in _ELEMENTS for one in inspection.surfaces):
                for lack in parsed.stripe_lacks():
                    yield lacking("TN422", file, policy.line, lack)
            for host in _form_hosts(inspection):
                for lack in parsed.form_lacks(host):
                    yield lacking("TN423", file, policy.line, lack)

    def _of_redirect(self, file: str, redirect: Redirect, *, carries: bool) -> Iterator[Finding]:
        host = _host(redirect.target)
        if not carries:
            yield found("TN411", file, redirect.line)
        elif host and not self._shares(host):
            unsure = self.needs.site is None
            remedy = "Give --site-url, so that the site's own host is known." if unsure else ""
            yield found(
                *("TN412", file, redirect.line, host, remedy),
                severity="note" if unsure else None,
            )

    def _shares(self, host: str) -> bool:
        """Whether a click id kept here is seen on ``host``; unknown hosts are not presumed so."""
        domain = self.page_pass.settings.cookie_domain
        if domain and (host == domain or host.endswith(f".{domain}")):
            return True
        return self.needs.site is not None and host == self.needs.site

    def _surface(self, surface: Surface, state: State, price: str | None) -> SurfaceAudit:
        decorated = not surface.url or urlsplit(surface.url).hostname in self._decorated
        settings = self.page_pass.settings
        return SurfaceAudit(
            *(surface.kind, surface.line, surface.url),
            fate=fate(surface, state, settings, decorated=decorated),
            kept=keeps(surface, state, settings, decorated=decorated),
            price=price,
        )


def lacking(code: str, file: str, line: int, lack: Lack) -> Finding:
    """Make the finding of a policy that lacks something."""
    return found(code, file, line, lack.directive, lack.advice)


def _variant(markup: Markup) -> tuple[str, str] | None:
    """Give a mark of the script that a page carries, the same at every depth, and its file."""
    if not markup.ours:
        return None
    bare = sorted({_PREFIX.sub(b'src="', one) for one in markup.ours})
    name = re.search(rb'src="([^"]*)"', b"".join(bare))
    mark = hashlib.blake2b(b"".join(bare), digest_size=8).hexdigest()
    return mark, name[1].decode("ascii", "replace") if name else "inline"


def _form_hosts(inspection: Inspection) -> Iterator[str]:
    hosts = (urlsplit(one.url).hostname for one in inspection.surfaces if one.kind == "form")
    yield from dict.fromkeys(host for host in hosts if host)


def _host(target: str) -> str:
    """Give the host of an address that names one, else ""."""
    try:
        return ada_url.URL(target.strip(), links.ANYWHERE).hostname.replace(_NOWHERE, "")
    except ValueError:
        return ""
