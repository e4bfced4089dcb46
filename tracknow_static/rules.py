"""What an option may hold: one small rule for each shape of value.

A rule takes the raw value as YAML, TOML, Python or a command line give it and returns the checked,
normalised one, or raises :class:`RefusedError`. Standard library only (see ``settings``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# RFC 1123 labels, joined by dots, at least two of them; the last one is no number, so that an
# IPv4 address is no domain.
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})


class RefusedError(Exception):
    """A value breaks its rule; the text, if any, says what is odd about this one."""


@dataclass(frozen=True)
class Rule:
    """How one shape of value is read. ``accepts`` completes "Accepted: …"."""

    kind: str
    accepts: str
    parse: Callable[[object], object]
    choices: tuple[str, ...] = ()


def optional(rule: Rule) -> Rule:
    """Also allow nothing: ``None`` or an empty text."""

    def parse(raw: object) -> object:
        return None if raw is None or raw == "" else rule.parse(raw)

    return Rule(rule.kind, f"{rule.accepts}, or nothing", parse, rule.choices)


def _pattern(pattern: str, accepts: str) -> Rule:
    compiled = re.compile(pattern)

    def parse(raw: object) -> str:
        if isinstance(raw, str) and compiled.fullmatch(raw):
            return raw
        raise RefusedError

    return Rule("text", accepts, parse)


def name(longest: int) -> Rule:
    """Take a name that needs no escaping in a URL query, a cookie or a script."""
    return _pattern(
        rf"[A-Za-z0-9_-]{{1,{longest}}}",
        f"1 to {longest} characters of A-Z a-z 0-9 _ -",
    )


def label(longest: int) -> Rule:
    """Take a name in a consent manager: any printable text without quotes and angle brackets."""
    return _pattern(
        rf"[^\x00-\x1f\x7f\"'`<>&\\]{{1,{longest}}}",
        f"1 to {longest} printable characters without quotes, <, >, & and backslash",
    )


def nonce() -> Rule:
    """Take a nonce or the placeholder of one; it stands in a quoted attribute."""
    return _pattern(
        r"(?:(?![\"'`<>&])[!-~]){1,200}",
        "1 to 200 ASCII characters without spaces, quotes, <, > and &",
    )


def folder() -> Rule:
    """Take a folder inside the built site, as URL path segments."""
    segment = r"(?!\.)[A-Za-z0-9._-]+"
    return _pattern(
        rf"{segment}(?:/{segment})*",
        "a folder inside the site, such as assets or static/js "
        "(letters, digits, . _ -, no leading dot or slash)",
    )


def whole_number(least: int, most: int) -> Rule:
    """Take a whole number of a range, also as text from a command line."""

    def parse(raw: object) -> int:
        if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,9}", raw):
            raw = int(raw)
        if isinstance(raw, bool) or not isinstance(raw, int) or not least <= raw <= most:
            raise RefusedError
        return raw

    return Rule("number", f"a whole number from {least} to {most}", parse)


def flag() -> Rule:
    """Take true or false, also as text from an environment variable."""

    def parse(raw: object) -> bool:
        if isinstance(raw, bool):
            return raw
        if isinstance(raw, int) and raw in (0, 1):  # what YAML makes of TRACKNOW=0
            return raw == 1
        if isinstance(raw, str) and raw.lower() in _YES | _NO:
            return raw.lower() in _YES
        raise RefusedError

    return Rule("flag", "true or false", parse)


def choice(*choices: str) -> Rule:
    """Take one of a few words."""

    def parse(raw: object) -> str:
        if isinstance(raw, str) and raw in choices:
            return raw
        raise RefusedError

    return Rule("choice", " or ".join(choices), parse, choices)


def _host(raw: object) -> str:
    if not isinstance(raw, str):
        raise RefusedError
    host = raw.strip().lower().rstrip(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise RefusedError from None
    if not _DOMAIN.fullmatch(host):
        raise RefusedError("Give the host name alone, without scheme, port or path.")
    return host


def domain() -> Rule:
    """Take a domain for a cookie; a leading dot means the same (RFC 6265, 5.2.3)."""

    def parse(raw: object) -> str:
        return _host(raw.removeprefix(".") if isinstance(raw, str) else raw)

    return Rule("text", "a domain such as example.com", parse)


def _items(raw: object) -> list[object]:
    if isinstance(raw, str):
        return [item.strip() for item in raw.split(",") if item.strip()]
    if isinstance(raw, Iterable) and not isinstance(raw, (bytes, dict)):
        return list(raw)
    if raw is None:
        return []
    raise RefusedError


def hosts() -> Rule:
    """Take host names, as a list or separated by commas."""

    def parse(raw: object) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_host(item) for item in _items(raw)))

    return Rule("list", "host names such as pay.example.com", parse)


def globs() -> Rule:
    """Take globs over site paths, as a list or separated by commas."""

    def parse(raw: object) -> tuple[str, ...]:
        items = _items(raw)
        if not all(isinstance(item, str) and item for item in items):
            raise RefusedError
        return tuple(str(item).removeprefix("/") for item in items)

    return Rule("list", "globs such as drafts/** or */print.html", parse)


def consent(managers: tuple[str, ...]) -> Rule:
    """Take a known consent manager, or the DOM event that a home-made one fires."""
    event = re.compile(r"event:[A-Za-z0-9_.:-]{1,100}")

    def parse(raw: object) -> str | None:
        if raw is None or raw in ("", "none"):
            return None
        if isinstance(raw, str) and (raw in managers or event.fullmatch(raw)):
            return raw
        raise RefusedError

    return Rule("text", f"none, {', '.join(managers)} or event:NAME", parse)
