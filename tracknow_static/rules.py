"""What an option may hold: one small rule for each shape of value.

A rule takes the raw value as YAML, TOML, Python, a command line or an environment variable gives
it and returns the checked, normalised one, or raises :class:`InvalidValueError`. Importing this
module needs the standard library only; a rule that takes more imports it when it checks a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracknow_static.tracknow import is_namespace

if TYPE_CHECKING:
    from collections.abc import Callable

# RFC 1123 labels, joined by dots, at least two of them; the last one is not a number, so that an
# IPv4 address is not a domain.
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})
# In a tag near the start of a page the word would disturb the search for the page's encoding.
_NO_CHARSET = r"(?i:(?!.*charset))"


class InvalidValueError(Exception):
    """A value breaks its rule; the text, if any, names what is wrong with this value."""


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
        raise InvalidValueError

    return Rule("text", accepts, parse)


def name(longest: int) -> Rule:
    """Accept a name that needs no escaping in a URL query, a cookie or a script."""
    return _pattern(
        rf"[A-Za-z0-9_-]{{1,{longest}}}",
        f"1 to {longest} characters of A-Z a-z 0-9 _ -",
    )


def label(longest: int) -> Rule:
    """Accept a name in a consent manager: printable text without quotes and angle brackets."""
    return _pattern(
        rf"[^\x00-\x1f\x7f\"'`<>&\\]{{1,{longest}}}",
        f"1 to {longest} printable characters without quotes, <, >, & and backslash",
    )


def nonce() -> Rule:
    """Accept a nonce or its placeholder, for a quoted attribute."""
    return _pattern(
        rf"{_NO_CHARSET}(?:(?![\"'`<>&])[!-~]){{1,200}}",
        "1 to 200 ASCII characters without spaces, quotes, <, >, & and the word charset",
    )


def folder() -> Rule:
    """Accept a folder inside the built site, as URL path segments."""
    segment = r"(?!\.)[A-Za-z0-9._-]+"
    return _pattern(
        rf"{_NO_CHARSET}{segment}(?:/{segment})*",
        "a folder inside the site, such as assets or static/js "
        "(letters, digits, . _ -, no leading dot or slash, not the word charset)",
    )


def whole_number(least: int, most: int) -> Rule:
    """Accept a whole number of a range, also as text."""

    def parse(raw: object) -> int:
        if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,9}", raw):
            raw = int(raw)
        if isinstance(raw, bool) or not isinstance(raw, int) or not least <= raw <= most:
            raise InvalidValueError
        return raw

    return Rule("number", f"a whole number from {least} to {most}", parse)


def flag() -> Rule:
    """Accept true or false, also as text."""

    def parse(raw: object) -> bool:
        if isinstance(raw, bool):
            return raw
        if isinstance(raw, int) and raw in (0, 1):  # what YAML makes of TRACKNOW=0
            return raw == 1
        if isinstance(raw, str) and raw.lower() in _YES | _NO:
            return raw.lower() in _YES
        raise InvalidValueError

    return Rule("flag", "true or false", parse)


def choice(*choices: str) -> Rule:
    """Accept one of a few words."""

    def parse(raw: object) -> str:
        if isinstance(raw, str) and raw in choices:
            return raw
        raise InvalidValueError

    return Rule("choice", " or ".join(choices), parse, choices)


def _items(raw: object) -> list[object]:
    if isinstance(raw, str):
        return [item.strip() for item in raw.split(",") if item.strip()]
    if isinstance(raw, Iterable) and not isinstance(raw, (bytes, dict)):
        return list(raw)
    if raw is None:
        return []
    raise InvalidValueError


def list_of(item: Callable[[str], str], accepts: str, *, least: int = 0) -> Rule:
    """Accept a list, or a text with commas, of what ``item`` returns for an entry.

    Each entry counts once; the order stays.
    """

    def parse(raw: object) -> tuple[str, ...]:
        items = _items(raw)
        if len(items) < least:
            raise InvalidValueError
        found = []
        for entry in items:
            if not isinstance(entry, str):
                raise InvalidValueError
            found.append(item(entry))
        return tuple(dict.fromkeys(found))

    return Rule("list", accepts, parse)


def _domain(raw: object) -> str:
    if not isinstance(raw, str):
        raise InvalidValueError
    host = raw.strip().lower().rstrip(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise InvalidValueError from None
    if not _DOMAIN.fullmatch(host):
        raise InvalidValueError("Give the host name alone, without scheme, port or path.")
    return host


def domain() -> Rule:
    """Accept a domain for a cookie; a leading dot means the same (RFC 6265, 5.2.3)."""

    def parse(raw: object) -> str:
        return _domain(raw.removeprefix(".") if isinstance(raw, str) else raw)

    return Rule("text", "a domain such as example.com", parse)


def hosts() -> Rule:
    """Accept host names, as a list or separated by commas."""
    return list_of(_domain, "host names such as pay.example.com")


def globs() -> Rule:
    """Accept globs over site paths, as a list or separated by commas."""

    def item(glob: str) -> str:
        from pathspec import GitIgnoreSpec

        if not glob:
            raise InvalidValueError
        try:
            GitIgnoreSpec.from_lines([glob])
        except (re.error, ValueError) as error:
            raise InvalidValueError(f"{glob!r} is not a valid glob: {error}.") from None
        return glob.removeprefix("/")

    return list_of(item, "globs such as drafts/** or */print.html")


def attributes() -> Rule:
    """Accept attributes of a script tag, as a table, a list or a text with commas.

    The checked value is a tuple of names and values. Only names that change nothing in how a
    browser runs the script are accepted; values are inside quotes.
    """
    name = re.compile(r"data-(?!tracknow\Z)[a-z0-9]+(?:[._-][a-z0-9]+)*|class")
    value = re.compile(r"(?:(?![\"'`<>&])[ -~]){0,200}")

    def parse(raw: object) -> tuple[tuple[str, str], ...]:
        pairs = raw.items() if isinstance(raw, dict) else map(_attribute, _items(raw))
        found: dict[str, str] = {}
        for key, given in pairs:
            text = str(given).lower() if isinstance(given, bool) else str(given)
            if not name.fullmatch(str(key)):
                raise InvalidValueError(f"{key!r} is not such an attribute.")
            if not value.fullmatch(text) or "charset" in text.lower():
                raise InvalidValueError(
                    f"The value of {key} may hold up to 200 ASCII characters without quotes, <, >, "
                    "& and the word charset."
                )
            found[str(key)] = text
        return tuple(found.items())

    return Rule("list", "attributes such as data-cfasync=false, named data-… or class", parse)


def _attribute(raw: object) -> tuple[object, object]:
    if isinstance(raw, str):
        key, _, given = raw.partition("=")
        return key.strip(), given.strip()
    if isinstance(raw, (list, tuple)) and len(raw) == 2:  # a checked value, also out of JSON
        return raw[0], raw[1]
    raise InvalidValueError


def consent(managers: tuple[str, ...]) -> Rule:
    """Accept a known consent manager, or the DOM event that another one fires."""
    event = re.compile(r"event:[A-Za-z0-9_.:-]{1,100}")

    def parse(raw: object) -> str | None:
        if raw is None or raw in ("", "none"):
            return None
        if isinstance(raw, str) and (raw in managers or event.fullmatch(raw)):
            return raw
        raise InvalidValueError

    return Rule("text", f"none, {', '.join(managers)} or event:NAME", parse)


def namespace() -> Rule:
    """Accept the merchant's Tracknow namespace; capital letters become small."""

    def parse(raw: object) -> str:
        text = str(raw).strip().lower()
        if is_namespace(text):
            return text
        if "." in text or text.endswith("-tracking"):
            raise InvalidValueError("Give NAME alone, without scheme, -tracking and domain.")
        raise InvalidValueError

    accepts = "the NAME in NAME-tracking.tracknow.info (1 to 54 letters, digits and hyphens)"
    return Rule("text", accepts, parse)
