"""One probe of one site: addresses, pages, the script's file, the 404 page, service workers."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from tracknow_static.audit.page import PageAuditor
from tracknow_static.audit.policy import Needs
from tracknow_static.browser.compose import compose
from tracknow_static.manifest import NAME, parse
from tracknow_static.page.findings import Finding, finding
from tracknow_static.page.process import PageProcessor, looks_like_page
from tracknow_static.probe.client import PAYMENT_PAGE, followed
from tracknow_static.probe.page import (
    judge_cookies,
    judge_encodings,
    judge_page,
    judge_script_file,
)
from tracknow_static.probe.redirects import (
    TEST_ID,
    is_intact,
    is_local,
    judge_hops,
    shown,
    variants,
    with_id,
)
from tracknow_static.probe.sitemap import Robots, Site, listed_pages, spread
from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.manifest import Manifest
    from tracknow_static.page.codes import Severity
    from tracknow_static.probe.client import Answer, Client
    from tracknow_static.settings import Settings

AT_ONCE = 4  # requests under way
_DEEP_PAGES = 3  # beside the start page, the pages whose other spellings are tried
_ENCODED_PAGES = 10  # pages that are asked for in every encoding
_WORKERS = ("sw.js", "service-worker.js", "serviceworker.js")
_REGISTERED = re.compile(rb"""serviceWorker\s*\.\s*register\(\s*["'`]([^"'`]+)""")
_PRECACHE = re.compile(rb"precache|workbox|cache\.addAll|caches\.open")
_PAGE_IN_CACHE = re.compile(rb"""["'`][^"'`]*(?:\.html|/)["'`]""")


def live_manifest(client: Client, url: str, settings: Settings) -> Manifest | None:
    """Return the manifest that the deployed site publishes beside the script's file, if any.

    Raises :class:`SettingsError` for one of a newer format.
    """
    address = urljoin(url, f"{settings.asset_dir}/{NAME}")
    answer = client.get(address)
    return parse(answer.body, address) if answer.status == 200 else None


@dataclass
class Probe:
    """Probes the site at ``url`` (its root, without query) with ``client``.

    ``public`` is the address that it was built for, if known. ``pages`` are addresses to ask for in
    place of the sitemap's; ``expects_edge`` is whether the host is to set the cookie on a landing.
    ``progress`` is called with each address that is done.
    """

    client: Client
    url: str
    settings: Settings
    source: str = ""
    public: str | None = None
    opted_out: tuple[str, ...] = ()
    most_pages: int = 50
    pages: tuple[str, ...] = ()
    expects_edge: bool = False
    ignore_robots: bool = False
    progress: Callable[[str], None] | None = None
    findings: list[Finding] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _auditor(self) -> PageAuditor:
        # The 404 page of a preview names the script's file as it will be on the public host.
        local = is_local(urlsplit(self.url).hostname or "")
        root = (self.public if local else None) or self.url
        script, opted_out = compose(self.settings), frozenset(self.opted_out)
        processor = PageProcessor(self.settings, script, urlsplit(root).path, opted_out)
        return PageAuditor(processor, Needs.of(processor, self.url), root)

    def run(self) -> None:
        """Probe everything; the results are in ``findings``, ``traces`` and ``states``."""
        self.client.payment_hosts = self._auditor.hosts
        start = self.client.get(with_id(self.url, self.settings.param))
        if start.problem or not start.is_page or start.status >= 400:
            what = start.problem or f"status {start.status}, {start.media_type or 'no type'}"
            self.findings.append(finding("TN691", self.url, 1, what))
            return
        robots = Robots("") if self.ignore_robots else Robots.of(self.client, self.url)
        site = Site(self.url, self.public)
        listed = self.pages or listed_pages(self.client, site, robots.sitemaps)
        if not listed:
            self.findings.append(finding("TN695", self.url, 1))
        if site.left_out:
            hosts = ", ".join(host or "no host" for host, _ in site.left_out.most_common(5))
            what = f"{counted(site.left_out.total(), 'page')} of {hosts}"
            self.findings.append(finding("TN694", self.url, 1, what))
        allowed = [page for page in listed if robots.allows(page)]
        if len(allowed) < len(listed):
            number = counted(len(listed) - len(allowed), "page")
            self.findings.append(finding("TN692", self.url, 1, number))
        chosen = spread([self.url, *allowed], self.most_pages)
        spellings = [spelling for page in chosen[: 1 + _DEEP_PAGES] for spelling in variants(page)]
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="probe") as pool:
            for found in pool.map(self._landing, spellings):
                self.findings += found
            for found in pool.map(self._page, range(len(chosen)), chosen):
                self.findings += found
            for found in pool.map(lambda check: check(), (self._missing_page, self._workers)):
                self.findings += found
        self._note_rest(len(chosen))

    def _land(self, url: str) -> Answer:
        """Ask for an address with the test id."""
        answer = self.client.get(with_id(url, self.settings.param))
        if self.progress:
            self.progress(url)
        return answer

    def _landing(self, url: str) -> list[Finding]:
        """Land on another spelling of a page's address."""
        answer = self._land(url)
        if answer.problem:
            return self._unanswered(url, answer)
        self.traces.append(shown(answer))
        if answer.status >= 400 and not answer.hops:
            return []  # a spelling that this site does not know
        return list(judge_hops(answer, self.settings.param))

    def _page(self, number: int, url: str) -> list[Finding]:
        """Land on a page, and look at what came."""
        answer = self._land(url)
        if answer.problem:
            return self._unanswered(url, answer, severity="warning")
        if answer.status >= 400:
            what = f"status {answer.status}"
            return [finding("TN603", url, 1, what, severity="warning")]
        self.traces.append(shown(answer))
        found = list(judge_hops(answer, self.settings.param))
        if not answer.is_page:
            if looks_like_page(answer.body):
                found.append(finding("TN617", url, 1, answer.media_type))
            return found
        audit, more = judge_page(answer, self._auditor, self.url)
        self.states[url] = audit.state
        found += more
        edge = self._edge_cookie(answer) if self.expects_edge else None
        found += judge_cookies(answer, self.settings, edge=edge)
        if number < _ENCODED_PAGES:
            found += judge_encodings(self.client, answer)
        if number == 0:
            found += judge_script_file(self.client, answer, self._auditor.processor.script.asset)
        return found

    def _unanswered(
        self, url: str, answer: Answer, severity: Severity | None = None
    ) -> list[Finding]:
        if self.client.is_over:
            return []  # reported for all at the end
        if answer.problem == PAYMENT_PAGE:
            fix = "Link to the payment page itself."
            return [finding("TN425", url, 1, shown(answer), fix=fix)]
        what = f"{answer.problem}: {shown(answer)}"
        # A name or a scheme that nobody answers on loses nobody; a broken redirect does.
        if answer.hops:
            return [finding("TN601", url, 1, what)]
        return [finding("TN603", url, 1, what, severity=severity)]

    def _edge_cookie(self, answer: Answer) -> str | None:
        if not is_intact(answer.url, self.settings.param):
            return None  # reported as a hop that loses the id
        domain = self.settings.cookie_domain
        host = urlsplit(answer.url).hostname or ""
        inside = domain and (host == domain or host.endswith(f".{domain}"))
        return (
            f"{self.settings.storage_name}={TEST_ID}; Max-Age={self.settings.window_days * 86_400}; "
            f"Path=/{f'; Domain={domain}' if inside else ''}; Secure; SameSite=Lax"
        )

    def _missing_page(self) -> list[Finding]:
        """Ask for a page that cannot be there: what a visitor with an old link lands on."""
        url = urljoin(self.url, f"{TEST_ID}/missing/")
        answer = self._land(url)
        if answer.problem or not answer.is_page:
            return []
        found = list(judge_hops(answer, self.settings.param))
        audit, more = judge_page(answer, self._auditor, self.url, path="404.html")
        if audit.state in ("missing", "skipped"):
            return [*found, finding("TN661", url, 1)]
        return found + more

    def _workers(self) -> list[Finding]:
        """Look for service workers that keep pages, which were perhaps kept without the script."""
        start = self.client.get(self.url)
        names = {match.decode("utf-8", "replace") for match in _REGISTERED.findall(start.body)}
        found = []
        for url in dict.fromkeys(followed(start.url, name) for name in [*sorted(names), *_WORKERS]):
            answer = self.client.get(url)
            if answer.status != 200 or answer.is_page:
                continue
            if _PRECACHE.search(answer.body) and _PAGE_IN_CACHE.search(answer.body):
                found.append(finding("TN671", url, 1))
        return found

    def _note_rest(self, wanted: int) -> None:
        """Report pages that there was no time for."""
        if self.client.is_over:
            what = f"{len(self.states)} of {counted(wanted, 'page')}"
            self.findings.append(finding("TN693", self.url, 1, what))
