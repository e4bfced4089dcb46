"""Redirects of the usual hosts that lead to payment pages: a click id is lost on them.

The id is in the visitor's browser, and the browser script adds it to payment addresses only. What
passes on is a query that the link to the redirect carries itself.
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

from tracknow_static.audit.host_files import host_texts, tables
from tracknow_static.page import links
from tracknow_static.page.findings import Finding, finding

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_DIRECT = "Link to the payment page itself"
_CARRIED = "or, for links that carry the id themselves,"


def read_redirects(site: Path, hosts: Collection[str]) -> Iterator[Finding]:
    """Yield a finding for each redirect to one of the payment ``hosts``."""
    readers = {"_redirects": _underscore, "netlify.toml": _netlify, "vercel.json": _vercel}
    # Files that cannot be read are reported with their headers.
    for name, text in host_texts(site, tuple(readers), []):
        try:
            for line, source, target, fix in readers[name.rpartition("/")[2]](text):
                if links.is_payment_url(target, hosts=hosts):
                    about = f"{source} to {target}"
                    yield finding("TN425", name, line, about, fix=f"{_DIRECT}, {_CARRIED} {fix}.")
        except (ValueError, RecursionError):
            continue


_Found = tuple[int, str, str, str]


def _underscore(text: str) -> Iterator[_Found]:
    """Read ``_redirects`` (docs.netlify.com/manage/routing/redirects): from, query, to, status."""
    for number, line in enumerate(text.splitlines(), 1):
        source, *rest = line.split("#", 1)[0].split() or [""]
        target = next((word for word in rest if word.startswith(("http:", "https:", "/"))), "")
        if target and not _passes(target):
            fix = f"on Netlify: {source} click_id=:id {_with_reference(target)} 302"
            yield number, source, target, fix


def _netlify(text: str) -> Iterator[_Found]:
    for rule in tables(tomllib.loads(text).get("redirects")):
        source, target = str(rule.get("from", "")), str(rule.get("to", ""))
        if not _passes(target):
            fix = f'query = {{click_id = ":id"}} and to = "{_with_reference(target)}"'
            yield _line(text, target), source, target, fix


def _vercel(text: str) -> Iterator[_Found]:
    data: Any = json.loads(text)
    for rule in tables(data.get("redirects") if isinstance(data, dict) else None):
        source, target = str(rule.get("source", "")), str(rule.get("destination", ""))
        if not _passes(target):
            has = '"has": [{"type": "query", "key": "click_id", "value": "(?<id>.+)"}]'
            fix = f'{has} and "destination": "{_with_reference(target)}"'
            yield _line(text, target), source, target, fix


def _passes(target: str) -> bool:
    """Whether the redirect writes a part of the query into the reference."""
    return "client_reference_id=:" in target


def _with_reference(target: str) -> str:
    return f"{target}{'&' if '?' in target else '?'}client_reference_id=:id"


def _line(text: str, target: str) -> int:
    return text.count("\n", 0, max(0, text.find(target))) + 1
