"""What several commands take: times, filters of events, and the merchant's site."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import click

from tracknow_static.errors import SettingsError
from tracknow_static.relay.operate.output import echo, time_of
from tracknow_static.relay.sales.site import Site
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.filters import STATES
from tracknow_static.relay.store.model import KEPT_REASONS, without_query

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.account.key import ApiKey
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.database import Database

_AGE = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


class Age(click.ParamType[float]):
    """A length of time in seconds, such as ``2h``."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read the text."""
        if isinstance(value, float):
            return value
        age = _AGE.fullmatch(str(value).strip())
        if age:
            return float(int(age[1]) * _UNITS[age[2]])
        return self.fail(f"{value!r} is not accepted. Accepted: 45m, 2h, 3d.", param, ctx)


class When(click.ParamType[float]):
    """A point in time as Unix seconds: an age such as ``2h``, or a date with or without a time."""

    name = "when"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read the text; a time without zone is UTC."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        age = _AGE.fullmatch(text)
        now = dt.datetime.now(dt.UTC)
        if age:
            return now.timestamp() - int(age[1]) * _UNITS[age[2]]
        with contextlib.suppress(ValueError, OverflowError):
            found = dt.datetime.fromisoformat(text.upper())  # it knows "Z", not "z"
            found = found if found.tzinfo else found.replace(tzinfo=dt.UTC)
            return found.timestamp()
        return self.fail(
            f"{text!r} is not accepted. Accepted: an age such as 45m, 2h, 3d, "
            "or a date such as 2026-03-31 or 2026-03-31T18:00Z (UTC).",
            param,
            ctx,
        )


def check_period(since: float | None, until: float | None) -> None:
    """Raise :class:`SettingsError` when a period ends before it begins."""
    if since is not None and until is not None and until < since:
        problem = f"--until: {time_of(until)} is before --since, {time_of(since)}."
        raise SettingsError([f"{problem} Accepted: a time after --since."])


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that select events; their values make a :class:`Filter`."""
    options = (
        click.option("--state", type=click.Choice(STATES), help="State of the delivery."),
        click.option(
            "--skipped-because",
            type=click.Choice(KEPT_REASONS),
            help="Reason for which an event is not forwarded.",
        ),
        click.option(
            "--type",
            "types",
            multiple=True,
            metavar="TYPE",
            help="Type, such as charge.succeeded (repeatable).",
        ),
        click.option(
            "--since", type=When(), help="Received at or after: 2h, 3d, 2026-03-31T18:00Z."
        ),
        click.option("--until", type=When(), help="Received before."),
        click.option(
            "--reference",
            metavar="ID",
            help="Click id; charges that belong to it are found too.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def known_destination(database: Database, text: str) -> str:
    """Return the destination that a user means: its URL, whole or without the query.

    Raises :class:`SettingsError` when none or several are meant.
    """
    urls = [entry.destination for entry in queries.status(database).destinations]
    if text in urls:
        return text
    found = [url for url in urls if without_query(url) == text]
    if len(found) == 1:
        return found[0]
    accepted = ", ".join(map(without_query, urls)) or "none is known"
    raise SettingsError([f"destination: {text!r} is not accepted. Accepted: {accepted}."])


site_option = click.option(
    "--site",
    "place",
    metavar="URL-OR-PATH",
    help="Your site, or its tracknow.json: finds out why a sale has no click id, with a "
    "STRIPE_API_KEY that has Payment Links: Read. Default: TRACKNOW_RELAY_SITE.",
)


def site_of(config: RelayConfig, place: str | None) -> Site:
    """Return the merchant's site; the API key is read when a sale asks for it."""
    return Site(place or config.site, api_key)


def api_key() -> ApiKey:
    """Return the API key, for a command that works without one.

    Raises :class:`AccountError` or :class:`SettingsError`.
    """
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.stripe_api import key_of

    return key_of(RelayConfig.from_environ(needs_secrets=False))


def print_missing(site: Site) -> None:
    """Print what keeps the reasons coarse, if anything does."""
    if site.missing:
        echo(site.missing, err=True)
