"""What an option may hold: one small rule for each shape of value.

A rule takes the raw value as YAML, TOML, Python, a command line or an environment variable gives
it and returns the checked, normalised one, or raises :class:`InvalidValueError`. Importing this
module needs the standard library only; a rule that takes more imports it when it checks a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracknow_static.tracknow import is_event_type, is_namespace

if TYPE_CHECKING:
    from collections.abc import Callable

# RFC 1123 labels, joined by dots, at least two of them; the last one is not a number, so that an
# IPv4 address is not a domain.
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_ADDRESS = re.compile(
    r"(?:\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]|(?=.{1,253}:)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*)"
    r":([0-9]{1,5})"
)
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9]{1,64}")
_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]{2,500}")
_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})
_PORT_MAX = 65535
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


def seconds(least: float, most: float) -> Rule:
    """Accept a length of time in seconds."""

    def parse(raw: object) -> float:
        try:
            value = float(str(raw))
        except ValueError:
            raise InvalidValueError from None
        if not math.isfinite(value) or not least <= value <= most:
            raise InvalidValueError
        return value

    return Rule("number", f"seconds from {least:g} to {most:g}", parse)


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


def _list(item: Callable[[str], str], accepts: str, *, least: int = 0) -> Rule:
    """Accept a list, or a text with commas; each entry counts once, the order stays."""

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
    return _list(_domain, "host names such as pay.example.com")


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

    return _list(item, "globs such as drafts/** or */print.html")


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
                raise InvalidValueError(f"{key!r} is no name of such an attribute.")
            if not value.fullmatch(text) or "charset" in text.lower():
                raise InvalidValueError(
                    f"The value of {key} holds quotes, <, >, &, the word charset, "
                    "other than ASCII characters, or more than 200."
                )
            found[key] = text
        return tuple(found.items())

    return Rule("list", "attributes such as data-cfasync=false, named data-… or class", parse)


def _attribute(raw: object) -> tuple[str, str]:
    if not isinstance(raw, str):
        raise InvalidValueError
    key, _, given = raw.partition("=")
    return key.strip(), given.strip()


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


def signing_secrets() -> Rule:
    """Accept signing secrets of Stripe's webhook endpoints, between commas or white space."""

    def parse(raw: object) -> tuple[str, ...]:
        secrets = tuple(dict.fromkeys(part for part in re.split(r"[,\s]+", str(raw)) if part))
        if not secrets:
            raise InvalidValueError("It is empty.")
        for secret in secrets:
            if not _SECRET.fullmatch(secret):
                raise InvalidValueError(_wrong_secret(secret))
        return secrets

    return Rule("list", "signing secrets (whsec_…), separated by commas", parse)


def _wrong_secret(secret: str) -> str:
    """Return what is wrong with a secret, without showing it."""
    if secret[0] in "\"'" or secret[-1] in "\"'":
        return "It is in quotes: leave them out."
    if re.match(r"[A-Za-z_][A-Za-z0-9_]*=(?!=*\Z)", secret):
        return "It is a line NAME=value: give the value alone."
    if secret.startswith("we_"):
        return "It is the id of a webhook endpoint, not its signing secret."
    if secret.startswith(("sk_", "rk_", "pk_")):
        return "It is an API key, not the signing secret of an endpoint."
    if not secret.startswith("whsec_"):
        return "It does not start with whsec_."
    return (
        "It is too short, too long, or holds other characters than letters, digits and + / = _ -."
    )


def database() -> Rule:
    """Accept the SQLAlchemy URL of a database that keeps what it stores, in a supported driver."""

    def parse(raw: object) -> str:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        text = re.sub(r"\Apostgres(?=\+|:)", "postgresql", str(raw))
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            raise InvalidValueError from None
        if url.drivername in ("sqlite", "sqlite+pysqlite"):
            _check_sqlite(url.database or "", dict(url.query))
        elif url.drivername in ("postgresql", "postgresql+psycopg"):
            _check_postgresql(dict(url.query))
        elif url.get_backend_name() in ("sqlite", "postgresql"):
            raise InvalidValueError("Leave the driver out.")
        else:
            raise InvalidValueError
        return text

    accepts = "sqlite:////absolute/path.sqlite3 or postgresql://user:password@host/database"
    return Rule("text", accepts, parse)


def _check_sqlite(path: str, query: dict[str, object]) -> None:
    if not path or ":memory:" in path or query.get("mode") == "memory":
        raise InvalidValueError(
            "A database in memory loses events that Stripe will not send again."
        )
    if not path.startswith("/"):
        raise InvalidValueError("The path is relative: with four slashes it is absolute.")
    if query:
        raise InvalidValueError(f"SQLite takes no parameters here: leave {', '.join(query)} out.")


def _check_postgresql(query: dict[str, object]) -> None:
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import make_conninfo
    except ImportError:
        need = "pip install 'tracknow-static[postgres]'"
        raise InvalidValueError(
            f"PostgreSQL needs psycopg, which is not installed: {need}"
        ) from None
    try:
        make_conninfo(**{name: str(value) for name, value in query.items()})
    except ProgrammingError as error:
        raise InvalidValueError(f"Wrong parameter: {str(error).strip()}.") from None


def destinations() -> Rule:
    """Accept URLs of destinations, normalised as browsers do (WHATWG)."""

    def item(text: str) -> str:
        import ada_url

        try:
            url = ada_url.URL(text)
        except ValueError:
            raise InvalidValueError(f"{text!r} is not a URL.") from None
        if url.protocol not in ("https:", "http:"):
            raise InvalidValueError(f"{text!r} has another scheme.")
        if url.username or url.password:
            shown = text.rsplit("@", 1)[-1]
            raise InvalidValueError(f"{shown!r} has a user name or password before it.")
        if url.hash:
            raise InvalidValueError(f"{text!r} has a fragment, which is never sent.")
        return str(url.href)

    accepts = "https URLs without user name and fragment, separated by commas"
    return _list(item, accepts, least=1)


def _only(valid: Callable[[str], object], what: str) -> Callable[[str], str]:
    def item(text: str) -> str:
        if not valid(text):
            raise InvalidValueError(f"{text!r} is not {what}.")
        return text

    return item


def event_types() -> Rule:
    """Accept Stripe's names of event types; whether Stripe knows them, Stripe decides."""
    accepts = "event types such as charge.succeeded, separated by commas"
    return _list(_only(is_event_type, "an event type"), accepts, least=1)


def accounts() -> Rule:
    """Accept ids of connected accounts."""
    accepts = "account ids (acct_…), separated by commas"
    return _list(_only(_ACCOUNT.fullmatch, "an account id"), accepts, least=1)


def address() -> Rule:
    """Accept HOST:PORT, with an IPv6 address in brackets."""

    def parse(raw: object) -> str:
        found = _ADDRESS.fullmatch(str(raw))
        if not found or int(found[1]) > _PORT_MAX:
            raise InvalidValueError
        return str(raw)

    return Rule("text", "HOST:PORT such as 127.0.0.1:8787 or [::1]:8787", parse)
