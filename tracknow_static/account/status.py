"""``tracknow-static stripe status``."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from tracknow_static.account import options, show
from tracknow_static.account.carry_out import about_secret, look
from tracknow_static.account.endpoints import Endpoint, replaced
from tracknow_static.account.failures import EXIT_CODES, AccountError
from tracknow_static.account.plan import thin_text
from tracknow_static.exit_codes import ATTENTION
from tracknow_static.tracknow import EVENT_TYPES

if TYPE_CHECKING:
    from pathlib import Path

    from tracknow_static.account.stripe_api import Account, Undelivered
    from tracknow_static.account.targets import Target

_DAY = 86_400
_MOST = 100


@click.command(epilog=EXIT_CODES)
@options.namespace
@options.relay_url
@click.option(
    "--days",
    type=click.IntRange(1, 30),
    default=7,
    show_default=True,
    help="How far back to look for undelivered events (Stripe keeps 30 days).",
)
@options.secret_file
@options.mode
@options.as_json
@options.spoken
def status(
    namespace: str | None,
    relay_url: str | None,
    days: int,
    secret_file: Path | None,
    mode: str | None,
    as_json: bool,
) -> None:
    """Show the endpoints, their state, and recent events that were not delivered."""
    account, target, endpoints = look(namespace, relay_url, mode)
    file = options.found_file(secret_file, account.key.mode, endpoints)
    attention = _about_endpoints(endpoints, target)
    rows: list[tuple[Endpoint, str | None]] = []
    for endpoint in endpoints:
        state = None
        if file and endpoint.kind == "relay":
            state = file.holds(endpoint.fingerprint)
            if state != "yes" and endpoint.ours:
                attention += about_secret(endpoint, file)
        rows.append((endpoint, state))
    events, said = _undelivered(account, endpoints, days)
    attention += said
    if as_json:
        facts = {
            "mode": account.key.mode,
            "endpoints": [{**one.as_json(), "secret_in_file": state} for one, state in rows],
            "undelivered": None if events is None else [event.as_json() for event in events],
            "attention": attention,
        }
        click.echo(json.dumps(facts, indent=2))
    else:
        show.endpoints(rows, account.key.mode)
        show.undelivered(events or [])
        show.attention(attention)
    if attention:
        sys.exit(ATTENTION)


def _undelivered(
    account: Account, endpoints: list[Endpoint], days: int
) -> tuple[list[Undelivered] | None, list[str]]:
    """Give the undelivered events, None when they cannot be had, and what to say about them."""
    concerned = [one for one in endpoints if one.ours or one.kind]
    types = dict.fromkeys((*EVENT_TYPES, *(t for one in concerned for t in one.events if t != "*")))
    try:
        events = account.undelivered(tuple(types), int(time.time()) - days * _DAY, most=_MOST)
    except AccountError as error:
        return None, [str(error)]
    if not events:
        return [], []
    count = f"{len(events)}{'+' if len(events) == _MOST else ''}"
    return events, [
        (
            f"{count} event(s) of the last {days} days are not delivered to every endpoint. "
            "Stripe goes on trying a live event for three days."
        )
    ]


def _about_endpoints(endpoints: list[Endpoint], target: Target | None) -> list[str]:
    found = []
    leaving = replaced(endpoints)
    concerned = [one for one in endpoints if one.kind and (not target or one.same_url(target.url))]
    if not concerned:
        found.append("No endpoint sends sales to Tracknow: run `tracknow-static stripe setup`.")
    for one in concerned:
        missing = [] if "*" in one.events else [e for e in EVENT_TYPES if e not in one.events]
        if one.thin:
            found.append(thin_text(one))
            continue
        if not one.enabled:
            found.append(f"{one.id} is disabled: run setup again to enable it.")
        if missing and one.enabled:
            found.append(f"{one.id} does not get {', '.join(missing)}: run setup again.")
        if one.id in leaving:
            found.append(f"{one.id} is being replaced: `tracknow-static stripe rotate --finish`.")
    counting = [one for one in endpoints if one.counts_sales and one.kind]
    counting = [one for one in counting if one.id not in leaving]
    if len(counting) > 1:
        ids = ", ".join(one.id for one in counting)
        found.append(f"Sales may count more than once: {ids} each report them. Keep one.")
    return found
