"""Content-Security-Policy headers in the configuration files of the usual hosts.

``_headers`` (Netlify, Cloudflare Pages) in the site; ``netlify.toml`` and ``vercel.json`` in the
site, in its parent folder, or where the command is run.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknow_static.page.findings import Finding, finding, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = "content-security-policy"
_MOST = 1 << 20  # bytes of a file of settings


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
    readers = {"_headers": _underscore, "netlify.toml": _netlify, "vercel.json": _vercel}
    for name, text in host_texts(site, tuple(readers), problems):
        try:
            read = readers[name.rpartition("/")[2]]
            policies += [HeaderPolicy(name, *policy) for policy in read(text)]
        except (ValueError, RecursionError) as error:
            problems.append(_unreadable(name, error))
    return policies, problems


def host_texts(
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


_Found = tuple[int, "re.Pattern[str]", str]


def _underscore(text: str) -> Iterator[_Found]:
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


def _netlify(text: str) -> Iterator[_Found]:
    lines = _lines(text)
    for rule in tables(tomllib.loads(text).get("headers")):
        values = rule.get("values")
        for name, value in values.items() if isinstance(values, dict) else ():
            if name.lower() == _HEADER:
                texts = value if isinstance(value, list) else [value]
                joined = ",".join(" ".join(str(text).split()) for text in texts)
                yield next(lines, 1), _splat(str(rule.get("for", "/*"))), joined


def _vercel(text: str) -> Iterator[_Found]:
    lines = _lines(text)
    data = json.loads(text)
    for rule in tables(data.get("headers") if isinstance(data, dict) else None):
        for header in tables(rule.get("headers")):
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


def tables(value: Any) -> list[dict[str, Any]]:
    """Return the tables in what should be a list of them."""
    return [table for table in value if isinstance(table, dict)] if isinstance(value, list) else []
