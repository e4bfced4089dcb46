"""Each payment link of a site compared with the Stripe account (``check --stripe``)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tracknow_static.page.contents import ELEMENTS
from tracknow_static.page.findings import finding

if TYPE_CHECKING:
    from collections.abc import Collection

    from tracknow_static.account.catalog import Catalog
    from tracknow_static.page.contents import Surface
    from tracknow_static.page.findings import Finding


class Comparison:
    """Compares the account's payment links with those of the site."""

    def __init__(self, catalog: Catalog, payment_hosts: Collection[str]) -> None:
        self._catalog = catalog
        self._missing = catalog.custom_domains - set(payment_hosts)
        self._reported: set[str] = set()
        self._elements = False
        self.links = len(catalog.links)
        self.mode = catalog.mode
        other = "TN453" if self.mode == "live" else "TN454"
        self._codes = {"unknown": "TN451", "deactivated": "TN452", "other-mode": other}

    @property
    def domains(self) -> frozenset[str]:
        """The account's own payment domains."""
        return self._catalog.custom_domains

    def compare(self, surface: Surface, file: str) -> tuple[str | None, tuple[Finding, ...]]:
        """Return the price of a surface, and the findings about it by the account."""
        if surface.kind in ELEMENTS:
            self._elements = True
            other = surface.test_mode != (self.mode == "test")
            return None, (finding("TN457", file, surface.line, surface.kind),) if other else ()
        verdict = self._catalog.look_up(surface.url)
        findings = []
        if code := self._codes.get(verdict.standing):
            findings.append(finding(code, file, surface.line, surface.url))
        host = urlsplit(surface.url).hostname or ""
        if host in self._missing:
            self._reported.add(host)
            findings.append(finding("TN455", file, surface.line, host))
        price = verdict.link.price if verdict.link else None
        return price, tuple(findings)

    def site_findings(self) -> list[Finding]:
        """Return what is not about a single page, once the site has been read."""
        findings = [
            finding("TN455", ".", 1, host) for host in sorted(self._missing - self._reported)
        ]
        if self._elements:
            findings.append(finding("TN456", ".", 1))
        return findings
