"""What one live page holds: the script, the headers, and the same page in every encoding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tracknow_static.audit.page import lacking
from tracknow_static.audit.policy import Policy
from tracknow_static.page.findings import finding
from tracknow_static.page.splice import elements_of_ours
from tracknow_static.probe.client import followed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.audit.page import PageAudit, PageAuditor
    from tracknow_static.page.codes import Severity
    from tracknow_static.page.findings import Finding
    from tracknow_static.probe.client import Answer, Client
    from tracknow_static.settings import Settings

ENCODINGS = ("gzip", "br", "zstd")

_STATES = {"missing": "TN611", "stale": "TN612", "duplicate": "TN614", "misplaced": "TN615"}
_TYPE = re.compile(rb"""\btype\s*=\s*["']?([^\s"'>]+)""", re.IGNORECASE)
# What a tag of ours becomes where something on the way changes it.
_CHANGED = re.compile(rb"<script\b[^>]*\bdata-tracknow\b[^>]*>", re.IGNORECASE)
_RUNNING_TYPES = (b"text/javascript", b"module", b"application/javascript")
_CACHES = ("cf-cache-status", "x-cache", "x-vercel-cache", "x-nf-cache-status", "cache-status")
_SHARED = re.compile(r"\b(?:public|s-maxage=[1-9])", re.IGNORECASE)


def path_in_site(url: str, root: str) -> str:
    """Return the path that a page has inside the built site: /guide/ is guide/index.html."""
    path = unquote(urlsplit(url).path)
    inside = path.removeprefix(urlsplit(root).path.rstrip("/")).lstrip("/")
    if not inside or inside.endswith("/"):
        return f"{inside}index.html"
    return inside if "." in inside.rpartition("/")[2] else f"{inside}.html"


def judge_page(
    answer: Answer, auditor: PageAuditor, root: str, *, path: str | None = None
) -> tuple[PageAudit, list[Finding]]:
    """Audit a live page; ``path`` is its path in the site where the address does not show it."""
    url = answer.url
    audit = auditor.audit(path or path_in_site(url, root), answer.body)
    found = []
    if audit.state == "skipped":
        severity: Severity | None = None if answer.body.strip() else "error"
        found.append(finding("TN616", url, 1, audit.reason or "", severity=severity))
    if code := _STATES.get(audit.state):
        kind = _changed_type(answer.body)
        if audit.state in ("missing", "stale", "misplaced") and kind:
            found.append(finding("TN613", url, 1, f"type={kind}"))
        else:
            found.append(finding(code, url, 1, _what(answer.body) if code == "TN612" else ""))
    found += _of_policies(answer, audit, auditor)
    referrer = answer.headers.get("referrer-policy", "")
    if "no-referrer" in [token.strip().lower() for token in referrer.split(",")][-1:]:
        found.append(finding("TN634", url, 1, f"Referrer-Policy: {referrer}"))
    return audit, found


def _changed_type(body: bytes) -> str:
    for tag in _CHANGED.findall(body):
        match = _TYPE.search(tag)
        if match and match[1].lower() not in _RUNNING_TYPES:
            return match[1].decode("ascii", "replace")
    return ""


def _what(body: bytes) -> str:
    names = re.findall(rb'src="([^"]*)"', b"".join(elements_of_ours(body)))
    return names[0].decode("ascii", "replace") if names else "the inline part differs"


def _of_policies(answer: Answer, audit: PageAudit, auditor: PageAuditor) -> Iterator[Finding]:
    if audit.state in ("excluded", "skipped"):
        return
    for header in answer.headers.get_list("content-security-policy"):
        for policy in Policy.all_of(header):
            for lack in policy.script_lacks(auditor.needs):
                yield lacking("TN631", answer.url, 1, lack)
            if audit.elements:
                for lack in policy.stripe_lacks():
                    yield lacking("TN632", answer.url, 1, lack)
            for host in audit.forms:
                for lack in policy.form_lacks(host):
                    yield lacking("TN633", answer.url, 1, lack)


def judge_cookies(answer: Answer, settings: Settings, *, edge: str | None) -> Iterator[Finding]:
    """Yield findings about ``Set-Cookie`` on the answer to a landing.

    ``edge`` is the cookie that an edge file would set, or None where none is expected.
    """
    name = f"{settings.storage_name}="
    ours = [text for text in answer.headers.get_list("set-cookie") if text.startswith(name)]
    if ours and (cache := _from_cache(answer)):
        yield finding("TN641", answer.url, 1, cache)
    if edge is None:
        return
    wanted = _attributes(edge)
    if not ours:
        yield finding("TN642", answer.url, 1, "no Set-Cookie header")
    elif all(_attributes(text) != wanted for text in ours):
        yield finding("TN642", answer.url, 1, f"{ours[0]!r} in place of {edge!r}")


def _attributes(cookie: str) -> set[str]:
    parts = [part.strip() for part in cookie.split(";")]
    kept = {part.lower() for part in parts[1:] if not part.lower().startswith("expires=")}
    return {parts[0], *kept}


def _from_cache(answer: Answer) -> str:
    for header in _CACHES:
        if re.search(r"\bhit\b", answer.headers.get(header, ""), re.IGNORECASE):
            return f"{header}: {answer.headers[header]}"
    caching = answer.headers.get("cache-control", "")
    return f"cache-control: {caching}" if _SHARED.search(caching) else ""


def judge_encodings(client: Client, page: Answer) -> Iterator[Finding]:
    """Ask for a page in each encoding; yield a finding for one that differs in its script.

    A host that answers in another encoding than the one asked for is within its rights.
    """
    plain = elements_of_ours(page.body)
    for encoding in ENCODINGS:
        answer = client.get(page.url, encoding=encoding)
        if client.is_over:
            return
        if answer.problem or answer.status != page.status:
            what = answer.problem or f"status {answer.status} in place of {page.status}"
            yield finding("TN651", page.url, 1, f"{encoding}: {what}")
        elif answer.headers.get("content-encoding") and elements_of_ours(answer.body) != plain:
            has = "without the script" if plain else "with a script that the plain page lacks"
            if plain and elements_of_ours(answer.body):
                has = "with another script"
            yield finding("TN651", page.url, 1, f"{encoding}: {has}")


_SCRIPT_TYPE = re.compile(
    r"(?:text|application)/(?:javascript|ecmascript)|application/x-javascript"
)


def judge_script_file(client: Client, page: Answer, content: bytes | None) -> Iterator[Finding]:
    """Ask for the script files that a page names; yield what keeps a browser from running them.

    ``content`` is what the settings produce, or None where they are not known.
    """
    for source in re.findall(rb'src="([^"]*)"', b"".join(elements_of_ours(page.body))):
        url = followed(page.url, source.decode("ascii", "replace"))
        file = client.get(url)
        if client.is_over:
            return
        if file.problem or file.status != 200:
            yield finding("TN621", url, 1, file.problem or f"status {file.status}")
            continue
        if file.is_page:
            yield finding("TN621", url, 1, f"the answer is a page: {file.url}")
            continue
        if urlsplit(file.url).netloc != urlsplit(page.url).netloc and not _is_shared(file):
            yield finding("TN621", url, 1, f"another host without CORS: {file.url}")
        if content is not None and file.body != content:
            yield finding("TN622", url, 1)
        if not _SCRIPT_TYPE.fullmatch(file.media_type):
            blocked = "nosniff" in file.headers.get("x-content-type-options", "").lower()
            yield finding(
                "TN623",
                url,
                1,
                file.media_type or "no type",
                severity="error" if blocked else "warning",
            )
        caching = file.headers.get("cache-control", "").lower()
        if "no-store" in caching or "max-age=0" in caching:
            yield finding("TN624", url, 1, f"cache-control: {caching}")


def _is_shared(file: Answer) -> bool:
    policy = file.headers.get("cross-origin-resource-policy", "cross-origin").lower()
    return policy == "cross-origin" or bool(file.headers.get("access-control-allow-origin"))
