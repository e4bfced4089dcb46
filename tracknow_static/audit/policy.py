"""Content-Security-Policy: what a policy allows, and what has to be added for this project.

The rules are those of https://www.w3.org/TR/CSP3/; Stripe's sources those of
docs.stripe.com/security/guide#content-security-policy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.audit.site import SiteAudit
    from tracknow_static.page.findings import Finding
    from tracknow_static.page.process import PageProcessor

STRIPE_JS = "https://js.stripe.com"

_POLICY_CODES = ("TN421", "TN422", "TN423", "TN424")
_MOST = 1_000  # findings about policies that are kept apart

_FALLBACK = {
    "script-src-elem": ("script-src-elem", "script-src", "default-src"),
    "frame-src": ("frame-src", "child-src", "default-src"),
    "form-action": ("form-action",),
}
_HASH = re.compile(r"'sha(?:256|384|512)-[A-Za-z0-9+/=_-]+'", re.IGNORECASE)
_NONCE = re.compile(r"'nonce-[A-Za-z0-9+/=_{}%$.-]+'", re.IGNORECASE)

_STRICT = (
    "'strict-dynamic' makes 'self' void: set the option integrity, and allow the hash, or the "
    "option nonce."
)


class Lack(NamedTuple):
    """What a policy lacks: the directive that refuses, what to do about it, and what it misses."""

    directive: str
    advice: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Needs:
    """What the script of a site needs of a policy.

    ``hash_`` is the inline part's source expression without quotes, ``file`` whether there is a
    file, ``nonce`` the value in the tags, ``site`` the host that the site is served from, if known.
    """

    hash_: str | None
    file: bool
    nonce: str | None
    site: str | None
    integrity: str | None = None

    @classmethod
    def of(cls, processor: PageProcessor, site_url: str | None) -> Needs:
        """Return those of a site's script and settings."""
        match = re.search(rb'integrity="([^"]+)"', processor.tag(""))
        return cls(
            hash_=processor.script.csp_hash,
            file=processor.script.asset_path is not None,
            nonce=processor.settings.nonce,
            site=urlsplit(site_url or "").hostname,
            integrity=match[1].decode() if match else None,
        )

    def script_sources(self) -> list[str]:
        """Return the sources that script-src has to contain."""
        if self.nonce:
            return [f"'nonce-{self.nonce}'"]
        sources = []
        if self.hash_:
            sources.append(f"'{self.hash_}'")
        if self.file:
            sources.append("'self'")
        return sources


class Policy:
    """One policy, parsed. Directives and keywords are compared without case."""

    def __init__(self, text: str) -> None:
        self._directives: dict[str, list[str]] = {}
        for part in text.split(";"):
            name, *sources = part.split() or [""]
            if name:  # of two directives with one name the first counts
                self._directives.setdefault(name.lower(), sources)

    @classmethod
    def all_of(cls, header: str) -> list[Policy]:
        """Return the policies of a header: a comma separates them, and all of them count."""
        return [cls(part) for part in header.split(",") if part.strip()]

    def script_lacks(self, needs: Needs) -> Iterator[Lack]:
        """Yield what the policy lacks for the script of this project."""
        if "sandbox" in self._directives:
            flags = {flag.lower() for flag in self._directives["sandbox"]}
            if "allow-scripts" not in flags:
                yield Lack("sandbox", "Add allow-scripts to sandbox.")
        governing = self._governing("script-src-elem")
        if governing is None:
            return
        name, sources = governing
        low = {source.lower() for source in sources}
        if needs.nonce and f"'nonce-{needs.nonce}'" in sources:
            return
        strict = "'strict-dynamic'" in low
        add = []
        if needs.hash_ and not _inline_allowed(sources, low, needs.hash_):
            add.append(f"'{needs.hash_}'")
        if needs.file and not _file_allowed(sources, low, needs, strict=strict):
            if strict and not needs.integrity:
                yield Lack(name, _STRICT)
            else:
                add.append(f"'{needs.integrity}'" if strict else "'self'")
        yield from self._add(name, sources, add, "script-src")

    def stripe_lacks(self) -> Iterator[Lack]:
        """Yield what the policy lacks for Stripe's buy button and pricing table."""
        for directive in ("script-src-elem", "frame-src"):
            governing = self._governing(directive)
            if governing is None:
                continue
            name, sources = governing
            low = {source.lower() for source in sources}
            if directive == "script-src-elem" and "'strict-dynamic'" in low:
                continue  # decided by a nonce that only the page's author knows
            if not _host_allowed(low, "js.stripe.com"):
                wanted = "script-src" if directive == "script-src-elem" else directive
                yield from self._add(name, sources, [STRIPE_JS], wanted)

    def form_lacks(self, host: str) -> Iterator[Lack]:
        """Yield what the policy lacks for a form to a payment page."""
        governing = self._governing("form-action")
        if governing and not _host_allowed({source.lower() for source in governing[1]}, host):
            yield from self._add(*governing, [f"https://{host}"], "form-action")

    def _governing(self, directive: str) -> tuple[str, list[str]] | None:
        for name in _FALLBACK[directive]:
            if name in self._directives:
                return name, self._directives[name]
        return None

    def _add(self, name: str, sources: list[str], add: list[str], wanted: str) -> Iterator[Lack]:
        if not add:
            return
        if name == "default-src":  # a directive of its own leaves the rest of the policy as it is
            kept = [source for source in sources if source.lower() != "'none'"]
            whole = " ".join(dict.fromkeys((*kept, *add)))
            yield Lack(name, f"Add a directive: {wanted} {whole}", tuple(add))
            return
        void = " in place of 'none'" if [source.lower() for source in sources] == ["'none'"] else ""
        yield Lack(name, f"Add to {name}{void}: {' '.join(add)}", tuple(add))


def _inline_allowed(sources: list[str], low: set[str], hash_: str) -> bool:
    if f"'{hash_}'" in sources:
        return True
    # A hash, a nonce or strict-dynamic makes unsafe-inline void (CSP3, 6.7.3.2).
    void = "'strict-dynamic'" in low or any(
        _HASH.fullmatch(source) or _NONCE.fullmatch(source) for source in sources
    )
    return "'unsafe-inline'" in low and not void


def _file_allowed(sources: list[str], low: set[str], needs: Needs, *, strict: bool) -> bool:
    if needs.integrity and f"'{needs.integrity}'" in sources:
        return True
    if strict:
        return False
    if low & {"'self'", "*", "https:"}:
        return True
    if needs.site:
        return _host_allowed(low, needs.site)
    # Where the site is served from is unknown: any host may be its own.
    return any(
        not source.startswith("'") and not source.endswith(":") and "stripe.com" not in source
        for source in low
    )


def _host_allowed(low: set[str], host: str) -> bool:
    """Whether host sources let https://``host`` through (CSP3, 6.7.2.6 to 6.7.2.8)."""
    for source in low:
        if source in ("*", "https:"):
            return True
        scheme, mark, rest = source.rpartition("://")
        if mark and scheme not in ("http", "https"):
            continue
        name, _, port = rest.partition("/")[0].partition(":")
        if port not in ("", "443", "*"):
            continue
        if name == host or (name.startswith("*.") and host.endswith(name[1:])):
            return True
    return False


def advice(audit: SiteAudit) -> tuple[dict[str, list[str]], list[Finding]]:
    """Read the site; return the sources it needs by directive, and findings about its policies."""
    lacks: dict[tuple[str, str], Finding] = {}
    carrying = False
    for page in audit.pages():
        carrying = carrying or page.state not in ("excluded", "skipped", "unread")
        for finding in page.findings:
            if finding.code in _POLICY_CODES and len(lacks) < _MOST:
                lacks.setdefault((finding.code, finding.message), finding)
    for finding in audit.site_findings():
        if finding.code in _POLICY_CODES:
            lacks[finding.file, finding.message] = finding
    wanted: dict[str, list[str]] = {}
    if carrying:
        wanted["script-src"] = audit.needs.script_sources()
    if audit.elements:
        wanted.setdefault("script-src", []).append(STRIPE_JS)
        wanted["frame-src"] = [STRIPE_JS]
    if audit.forms:
        # Without this directive every form is allowed; with it these have to be in it.
        wanted["form-action"] = ["'self'", *(f"https://{host}" for host in audit.forms)]
    return wanted, list(lacks.values())
