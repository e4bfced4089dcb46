"""What the configuration files of the usual hosts set: policy headers, redirects to payment pages.

``_headers`` and ``_redirects`` (Netlify, Cloudflare Pages) in the site; ``netlify.toml`` and
``vercel.json`` in the site, in its parent folder, or where the command is run.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknow_static.page import links
from tracknow_static.page.findings import Finding, finding, printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_HEADER = "content-security-policy"
_MOST = 1 << 20  # bytes of a file of settings
_DIRECT = "Link to the payment page itself"
_CARRIED = "or, for links that carry the id themselves,"


@dataclass(frozen=True)
class HeaderPolicy:
    """A policy header: where it is written, for which paths, and its text."""

    file: str
    line: int
    paths: re.Pattern[str]
    text: str

    def covers(self, page: str) -> bool:
        """Whether the page at a path inside the site is served with this header."""
        return any(self.paths.fullmatch(url) for url in _urls(page))


def _urls(page: str) -> Iterator[str]:
    yield f"/{page}"
    if page == "index.html" or page.endswith("/index.html"):
        folder = page.removesuffix("index.html")
        yield f"/{folder}"
        yield f"/{folder}".rstrip("/") or "/"
    elif page.endswith(".html"):
        yield f"/{page.removesuffix('.html')}"


def read_headers(site: Path) -> tuple[list[HeaderPolicy], list[Finding]]:
    """Return all policies in the hosts' files, and findings about files that cannot be read."""
    policies: list[HeaderPolicy] = []
    problems: list[Finding] = []
    readers = {
        "_headers": _headers_file,
        "netlify.toml": _netlify_headers,
        "vercel.json": _vercel_headers,
    }
    for name, text in _host_texts(site, tuple(readers), problems):
        try:
            read = readers[name.rpartition("/")[2]]
            policies += [HeaderPolicy(name, *policy) for policy in read(text)]
        except (ValueError, RecursionError) as error:
            problems.append(_unreadable(name, error))
    return policies, problems


def _host_texts(
    site: Path, names: tuple[str, ...], problems: list[Finding]
) -> Iterator[tuple[str, str]]:
    """Yield name and text of the hosts' files that there are.

    Those with an underscore are looked for in the site alone. ``problems`` takes a finding for
    each file that cannot be read.
    """
    folders = list(dict.fromkeys((site.resolve(), site.resolve().parent, Path.cwd())))
    for wanted in names:
        for folder in folders[:1] if wanted.startswith("_") else folders:
            name = _named(folder / wanted, site.resolve())
            try:
                if (folder / wanted).is_file():
                    with (folder / wanted).open("rb") as file:
                        yield name, file.read(_MOST).decode("utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                problems.append(_unreadable(name, error))


def _unreadable(name: str, error: Exception) -> Finding:
    reason = str(error).partition("\n")[0] if isinstance(error, ValueError) else "unreadable"
    return finding("TN424", name, 1, reason)


def _named(path: Path, site: Path) -> str:
    for folder, prefix in ((site, ""), (site.parent, "../")):
        if path.parent == folder:
            return printable(prefix + path.name)
    return printable(path)


# Line, paths, text of a policy.
_Header = tuple[int, "re.Pattern[str]", str]


def _headers_file(text: str) -> Iterator[_Header]:
    """Read ``_headers``: a path at the margin, its headers below it, indented."""
    paths: re.Pattern[str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace():
            path = re.sub(r"https?://[^/]*", "", line.strip()) or "/"
            paths = _splat(path)
            continue
        name, colon, value = line.strip().partition(":")
        if paths and colon and name.strip().lower() == _HEADER:
            yield number, paths, value.strip()


def _splat(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\*|:[A-Za-z]\w*)", path)
    whole = "".join(
        ".*" if part == "*" else "[^/]+" if part.startswith(":") else re.escape(part)
        for part in parts
    )
    return re.compile(whole.removesuffix("/.*") + "(?:/.*)?" if path.endswith("/*") else whole)


def _lines(text: str) -> Iterator[int]:
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(rf"{_HEADER}(?!-)", line, re.IGNORECASE):
            yield number


def _netlify_headers(text: str) -> Iterator[_Header]:
    lines = _lines(text)
    for rule in _tables(tomllib.loads(text).get("headers")):
        values = rule.get("values")
        for name, value in values.items() if isinstance(values, dict) else ():
            if name.lower() == _HEADER:
                texts = value if isinstance(value, list) else [value]
                joined = ",".join(" ".join(str(text).split()) for text in texts)
                yield next(lines, 1), _splat(str(rule.get("for", "/*"))), joined


def _vercel_headers(text: str) -> Iterator[_Header]:
    lines = _lines(text)
    for rule in _vercel_rules(text, "headers"):
        for header in _tables(rule.get("headers")):
            if str(header.get("key", "")).lower() == _HEADER:
                source = _source(str(rule.get("source", "/(.*)")))
                yield next(lines, 1), source, str(header.get("value", ""))


def _source(source: str) -> re.Pattern[str]:
    """Return an expression for a source of vercel.json (path-to-regexp), or one for all paths."""
    expression = re.sub(r":\w+\*", ".*", source)
    expression = re.sub(r":\w+(\([^)]*\))", r"\1", expression)
    expression = re.sub(r":\w+", "[^/]+", expression)
    try:
        return re.compile(expression)
    except re.error:
        return re.compile(".*")


def read_redirects(site: Path, hosts: Collection[str]) -> Iterator[Finding]:
    """Yield a finding for each redirect to one of the payment ``hosts``: a click id is lost on it.

    The id is in the visitor's browser, and the browser script adds it to payment addresses only.
    What passes on is a query that the link to the redirect carries itself.
    """
    readers = {
        "_redirects": _redirects_file,
        "netlify.toml": _netlify_redirects,
        "vercel.json": _vercel_redirects,
    }
    # Files that cannot be read are reported with their headers.
    for name, text in _host_texts(site, tuple(readers), []):
        try:
            for line, source, target, fix in readers[name.rpartition("/")[2]](text):
                if links.is_payment_url(target, hosts=hosts):
                    about = f"{source} to {target}"
                    yield finding("TN425", name, line, about, fix=f"{_DIRECT}, {_CARRIED} {fix}.")
        except (ValueError, RecursionError):
            continue


# Line, source, target, what passes the id on.
_Redirect = tuple[int, str, str, str]


def _redirects_file(text: str) -> Iterator[_Redirect]:
    """Read ``_redirects`` (docs.netlify.com/manage/routing/redirects): from, query, to, status."""
    for number, line in enumerate(text.splitlines(), 1):
        source, *rest = line.split("#", 1)[0].split() or [""]
        target = next((word for word in rest if word.startswith(("http:", "https:", "/"))), "")
        if target and not _passes(target):
            fix = f"on Netlify: {source} click_id=:id {_with_reference(target)} 302"
            yield number, source, target, fix


def _netlify_redirects(text: str) -> Iterator[_Redirect]:
    for rule in _tables(tomllib.loads(text).get("redirects")):
        source, target = str(rule.get("from", "")), str(rule.get("to", ""))
        if not _passes(target):
            fix = f'query = {{click_id = ":id"}} and to = "{_with_reference(target)}"'
            yield _line(text, target), source, target, fix


def _vercel_redirects(text: str) -> Iterator[_Redirect]:
    for rule in _vercel_rules(text, "redirects"):
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


def _tables(value: Any) -> list[dict[str, Any]]:
    """Return the tables in what should be a list of them."""
    return [table for table in value if isinstance(table, dict)] if isinstance(value, list) else []


def _vercel_rules(text: str, name: str) -> list[dict[str, Any]]:
    data = json.loads(text)
    return _tables(data.get(name) if isinstance(data, dict) else None)
