"""What the relay's variables may hold, beyond the shapes of value that ``rules`` knows."""

from __future__ import annotations

import math
import re
import warnings
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

from tracknow_static.rules import InvalidValueError, Rule, list_of
from tracknow_static.tracknow import LONGEST_REFERENCE, is_event_type

if TYPE_CHECKING:
    from collections.abc import Callable

_ADDRESS = re.compile(
    r"(?:\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]|(?=.{1,253}:)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*)"
    r":([0-9]{1,5})"
)
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9]{1,64}")
_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]{2,500}")
_PORT_MAX = 65535
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
_LONGEST_PATTERN = 200
# Ways to match that a pattern may try on one text: a few milliseconds at the most.
_MOST_WAYS = 50_000
_ONE_CHARACTER = (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN)
# Whoever guesses gets some thousand tries a day from each address: that has to be hopeless.
_PASSWORD_LEAST, _PASSWORD_MOST = 12, 200


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


def alert_urls() -> Rule:
    """Accept Apprise URLs, between white space, or commas before the next one's scheme.

    A line that begins with # is a comment. Which services there are, Apprise knows: it is not
    imported here.
    """

    def parse(raw: object) -> tuple[str, ...]:
        lines = [line for line in str(raw).splitlines() if not line.lstrip().startswith("#")]
        parts = re.split(rf"\s+|,+(?={_SCHEME}|\s|\Z)", "\n".join(lines))
        urls = tuple(dict.fromkeys(part for part in parts if part))
        if not urls:
            raise InvalidValueError("It is empty.")
        for number, url in enumerate(urls, 1):
            if not re.match(rf"{_SCHEME}.", url):
                raise InvalidValueError(f"Part {number} of it does not start with a scheme.")
        return urls

    accepts = "Apprise URLs such as mailtos://… or slack://…, separated by commas or white space"
    return Rule("list", accepts, parse)


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


def api_key() -> Rule:
    """Accept a secret or restricted key of Stripe's API."""

    def parse(raw: object) -> object:
        from tracknow_static.account.key import ApiKey
        from tracknow_static.errors import AccountError

        try:
            return ApiKey.parse(str(raw))
        except AccountError as error:
            raise InvalidValueError(str(error)) from None

    return Rule("text", "an API key (rk_live_…, sk_live_…, rk_test_… or sk_test_…)", parse)


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


def password() -> Rule:
    """Accept a password that cannot be guessed over the network."""

    def parse(raw: object) -> str:
        text = str(raw)
        if not text.isprintable():
            raise InvalidValueError("It holds a character that cannot be typed.")
        if not _PASSWORD_LEAST <= len(text) <= _PASSWORD_MOST:
            raise InvalidValueError(f"It has {len(text)} characters.")
        return text

    accepts = f"{_PASSWORD_LEAST} to {_PASSWORD_MOST} characters"
    return Rule("text", accepts, parse)


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
    return list_of(item, accepts, least=1)


def _only(valid: Callable[[str], object], what: str) -> Callable[[str], str]:
    def item(text: str) -> str:
        if not valid(text):
            raise InvalidValueError(f"{text!r} is not {what}.")
        return text

    return item


def event_types() -> Rule:
    """Accept Stripe's names of event types; whether Stripe knows them, Stripe decides."""
    accepts = "event types such as charge.succeeded, separated by commas"
    return list_of(_only(is_event_type, "an event type"), accepts, least=1)


def accounts() -> Rule:
    """Accept ids of connected accounts."""
    accepts = "account ids (acct_…), separated by commas"
    return list_of(_only(_ACCOUNT.fullmatch, "an account id"), accepts, least=1)


def address() -> Rule:
    """Accept HOST:PORT, with an IPv6 address in brackets."""

    def parse(raw: object) -> str:
        found = _ADDRESS.fullmatch(str(raw))
        if not found or int(found[1]) > _PORT_MAX:
            raise InvalidValueError
        return str(raw)

    return Rule("text", "HOST:PORT such as 127.0.0.1:8787 or [::1]:8787", parse)


def click_id_pattern() -> Rule:
    """Accept a regular expression that is fast on every text of a reference's length."""

    def parse(raw: object) -> re.Pattern[str]:
        text = str(raw)
        if len(text) > _LONGEST_PATTERN:
            raise InvalidValueError(f"It is longer than {_LONGEST_PATTERN} characters.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                pattern = re.compile(text)
                ways = _ways(_parser.parse(text))
        except (re.error, OverflowError, RecursionError, Warning) as error:
            raise InvalidValueError(f"It is not valid: {error}.") from None
        if ways > _MOST_WAYS:
            raise InvalidValueError(
                "It could take too long: use fewer of * + ? | and give lengths, such as {8,64}."
            )
        return pattern

    return Rule("text", "a regular expression (Python's) that matches a whole click id", parse)


def _ways(parsed: Any) -> int:
    """Return an upper bound for how many ways a pattern tries to match, at most one too many."""
    product = 1
    for op, argument in parsed:
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
            ways = _repeated(*argument)
        elif op is ops.BRANCH:
            ways = sum(map(_ways, argument[1]))
        elif op in (ops.SUBPATTERN, ops.ASSERT, ops.ASSERT_NOT):
            ways = _ways(argument[-1])
        elif op in (*_ONE_CHARACTER, ops.AT):
            ways = 1
        else:
            raise InvalidValueError("It refers to its own groups, or holds what is as rare.")
        product = min(product * ways, _MOST_WAYS + 1)
    return product


def _repeated(least: int, most: int, parsed: Any) -> int:
    least, most = min(least, LONGEST_REFERENCE), min(most, LONGEST_REFERENCE)
    choices = most - least + 1
    if len(parsed) == 1 and parsed[0][0] in _ONE_CHARACTER:
        return choices
    if parsed.getwidth()[0] == 0:  # could be repeated without end where it is
        return _MOST_WAYS + 1
    ways = _ways(parsed)
    return int(ways ** (most + 1)) if ways > 1 else choices * max(most, 1)


def site() -> Rule:
    """Accept the place of a site's inventory; whether it is one, its content decides."""

    def parse(raw: object) -> str:
        text = str(raw)
        scheme, separator, _ = text.partition("://")
        if separator and scheme.lower() not in ("https", "http"):
            raise InvalidValueError("It has another scheme.")
        if len(text) > 2_000 or not text.isprintable():
            raise InvalidValueError
        return text

    return Rule("text", "the URL of your site, or the URL or path of its tracknow.json", parse)
