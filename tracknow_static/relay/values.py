"""What the relay's variables may hold: rules of the kinds that ``rules`` has no need of."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import ada_url
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tracknow_static.relay.signing_secrets import Secrets, UnusableSecretError
from tracknow_static.rules import RefusedError, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

# "-tracking" has to fit into the same label of 63 characters (RFC 1035, 2.3.4).
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,52}[a-z0-9])?")
_TYPE = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+")
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9]{1,64}")
_PORT_MAX = 65535


def namespace() -> Rule:
    """Take the merchant's namespace: one DNS label that "-tracking" still fits into."""

    def parse(raw: object) -> str:
        text = str(raw).lower()
        if not _NAMESPACE.fullmatch(text):
            hint = "Give the namespace alone, without scheme and domain." if "." in text else ""
            raise RefusedError(hint)
        return text

    return Rule("text", "the NAME in NAME-tracking.tracknow.info (letters, digits, -)", parse)


def secrets() -> Rule:
    """Take signing secrets, or the path of the file that holds them."""

    def parse(raw: object) -> Secrets:
        try:
            return Secrets(file=raw) if isinstance(raw, Path) else Secrets.from_text(str(raw))
        except UnusableSecretError as error:
            raise RefusedError(str(error)) from None

    return Rule("list", "signing secrets (whsec_…), separated by commas", parse)


def database() -> Rule:
    """Take the URL of a database that keeps what it was told to keep."""

    def parse(raw: object) -> str:
        try:
            url = make_url(str(raw))
        except (ArgumentError, ValueError):
            raise RefusedError from None
        backend = url.get_backend_name()
        if backend == "postgres":
            return str(raw).replace("postgres", "postgresql", 1)
        if backend == "sqlite" and (not url.database or ":memory:" in url.database):
            raise RefusedError("A database in memory forgets what Stripe was told is safe.")
        if backend not in ("sqlite", "postgresql"):
            raise RefusedError
        return str(raw)

    return Rule(
        "text",
        "sqlite:////absolute/path.sqlite3 or postgresql://user:password@host/database",
        parse,
    )


def _separated(item: Callable[[str], str], accepts: str) -> Rule:
    def parse(raw: object) -> tuple[str, ...]:
        items = [item(part.strip()) for part in str(raw).split(",") if part.strip()]
        if not items:
            raise RefusedError
        return tuple(dict.fromkeys(items))

    return Rule("list", accepts, parse)


def destinations() -> Rule:
    """Take the URLs of destinations, normalised as browsers do (WHATWG)."""

    def item(text: str) -> str:
        try:
            url = ada_url.URL(text)
        except ValueError:
            raise RefusedError(f"{text!r} is no URL.") from None
        if url.protocol not in ("https:", "http:"):
            raise RefusedError(f"{text!r} has another scheme.")
        if url.username or url.password:
            raise RefusedError(f"{text.rsplit('@', 1)[-1]!r} carries a user name or password.")
        if url.hash:
            raise RefusedError(f"{text!r} has a fragment, which is never sent.")
        return str(url.href)

    return _separated(item, "https URLs without user name and fragment, separated by commas")


def event_types() -> Rule:
    """Take Stripe's names of event types."""

    def item(text: str) -> str:
        if not _TYPE.fullmatch(text):
            raise RefusedError(f"{text!r} is no type.")
        return text

    return _separated(item, "types such as charge.succeeded, separated by commas")


def accounts() -> Rule:
    """Take ids of connected accounts."""

    def item(text: str) -> str:
        if not _ACCOUNT.fullmatch(text):
            raise RefusedError(f"{text!r} is no account id.")
        return text

    return _separated(item, "account ids (acct_…), separated by commas")


def address() -> Rule:
    """Take HOST:PORT; an IPv6 host stands in brackets."""

    def parse(raw: object) -> str:
        host, colon, port = str(raw).rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        ok = colon and bare and ("[" in host) == (":" in bare) and port.isascii() and port.isdigit()
        if not ok or not 0 <= int(port) <= _PORT_MAX:
            raise RefusedError
        return str(raw)

    return Rule("text", "HOST:PORT such as 127.0.0.1:8787 or [::1]:8787", parse)


def seconds(least: float, most: float) -> Rule:
    """Take a length of time in seconds."""

    def parse(raw: object) -> float:
        try:
            value = float(str(raw))
        except ValueError:
            raise RefusedError from None
        if not math.isfinite(value) or not least <= value <= most:
            raise RefusedError
        return value

    return Rule("number", f"seconds from {least:g} to {most:g}", parse)
