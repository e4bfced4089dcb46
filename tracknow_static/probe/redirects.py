"""Does the query survive? Addresses that visitors come by, and what each redirect does to the id."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from tracknow_static.page.findings import Finding, finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.probe.client import Answer

# Upper and lower case, both signs that an id may have, and digits: what a hop does to it shows.
TEST_ID = "tn-Probe_0aZ"


def with_id(url: str, param: str) -> str:
    """Return a landing URL: ``url`` with the test id as its last parameter."""
    parts = urlsplit(url)
    pair = f"{param}={TEST_ID}"
    query = f"{parts.query}&{pair}" if parts.query else pair
    return urlunsplit(parts._replace(path=parts.path or "/", query=query))


def variants(url: str) -> list[str]:
    """Return other spellings of a page's address that a link may use.

    http and https, with and without www, with and without a slash at the end, ``index.html``, and
    the path in the other case. A host that is an IP address or localhost has no other scheme or
    name.
    """
    parts = urlsplit(url)
    paths = list(dict.fromkeys(_paths(parts.path or "/")))
    found = [parts._replace(path=path) for path in paths]
    host = parts.hostname or ""
    if parts.port is None and not is_local(host):
        other = host.removeprefix("www.") if host.startswith("www.") else f"www.{host}"
        schemes = ("http", "https")
        found += [
            parts._replace(scheme=scheme, netloc=name)
            for scheme in schemes
            for name in (host, other)
        ]
    spelled = dict.fromkeys(urlunsplit(variant) for variant in found)
    return [address for address in spelled if address != url]


def _paths(path: str) -> Iterator[str]:
    yield path
    if path.endswith("/"):
        yield f"{path}index.html"
        if path != "/":
            yield path.rstrip("/")
    elif path.endswith("/index.html"):
        yield path.removesuffix("index.html")
    elif "." not in path.rpartition("/")[2]:
        yield f"{path}/"
    if path.swapcase() != path:
        yield path.upper() if path != path.upper() else path.lower()


def is_local(host: str) -> bool:
    """Whether a host is an IP address or a name that is known on one machine or network alone."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost") or "." not in host
    return True


def is_intact(url: str, param: str) -> bool:
    """Whether the script would read the test id from the address."""
    query = urlsplit(url).query
    return f"{param}={TEST_ID}" in query.replace("?", "&").split("&")


def judge_hops(answer: Answer, param: str) -> Iterator[Finding]:
    """Yield a finding for the hop that loses the id, and for one that leaves the host.

    Every finding names the whole chain, so that its reader sees which rule to change.
    """
    first = answer.hops[0].url if answer.hops else answer.url
    chain = shown(answer)
    for hop in answer.hops:
        if not is_intact(hop.to, param):
            what = f"{_damage(hop.to, param)} by {hop.status} {hop.url} → {hop.to}"
            if len(answer.hops) > 1:
                what += f" (the whole way: {chain})"
            yield finding("TN601", first, 1, what)
            return
        if bare_host(hop.url) != bare_host(hop.to):
            yield finding("TN602", first, 1, f"{hop.status} {hop.url} → {hop.to}")


def shown(answer: Answer) -> str:
    """Return every hop with its status, in one line."""
    steps = [f"{hop.url} → {hop.status}" for hop in answer.hops]
    return " → ".join([*steps, f"{answer.url} {answer.status or answer.problem}"])


def bare_host(url: str) -> str:
    """Return the host of an address without "www.", or "" if it has none."""
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def _damage(url: str, param: str) -> str:
    parts = urlsplit(url)
    if f"{param}=" in parts.fragment:
        return "moved behind the fragment"
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    values = [value for name, value in pairs if name == param]
    if values:
        return f"changed to {values[0]!r}"
    names = [name for name, value in pairs if value == TEST_ID]
    if names:
        return f"renamed to {names[0]!r}"
    if TEST_ID.lower() in unquote(unquote(url)).lower():
        return "encoded into another parameter"
    return "dropped"
