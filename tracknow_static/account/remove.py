"""``tracknow-static stripe remove``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from tracknow_static.account import options, show
from tracknow_static.account.carry_out import agree, finish
from tracknow_static.account.failures import EXIT_CODES, AccountError
from tracknow_static.account.key import obtain
from tracknow_static.account.plan import Plan, plan_remove
from tracknow_static.account.stripe_api import Account

if TYPE_CHECKING:
    from pathlib import Path

    from tracknow_static.account.endpoints import Endpoint

_RETRIED = 3 * 86_400  # Stripe tries a live event for three days


@click.command(epilog=EXIT_CODES)
@options.namespace
@options.relay_url
@click.option(
    "--id",
    "ids",
    multiple=True,
    metavar="ID",
    help="Delete this endpoint, even if it was made by hand. Repeatable.",
)
@options.secret_file
@options.mode
@options.dry_run
@options.yes
@options.as_json
@options.spoken
def remove(
    namespace: str | None,
    relay_url: str | None,
    ids: tuple[str, ...],
    secret_file: Path | None,
    mode: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Undo setup: delete the endpoints it made, and their secrets from the file.

    Endpoints made by hand stay, unless named by --id. Stripe stops trying what a deleted endpoint
    has not accepted; the plan says when there is such an event.
    """
    key = obtain(mode)
    target = options.the_target(namespace, relay_url, live=key.livemode)
    account = Account(key)
    endpoints = account.endpoints()
    plan = plan_remove(endpoints, target, ids)
    gone = [step.endpoint for step in plan.steps if step.endpoint]
    plan = Plan(plan.steps, (*plan.attention, *_waiting(account, gone)))
    file = None
    if any(one.fingerprint for one in gone):
        file = options.found_file(secret_file, key.mode, endpoints)
        if file:
            file.read()  # a file that cannot be read is said before anything is deleted
    if not as_json:
        show.attention(plan.attention)
    agreed = agree(plan, key.mode, dry_run=dry_run, yes=yes, as_json=as_json)
    forgotten = 0
    if agreed:
        for endpoint in gone:
            account.delete(endpoint.id)
            if file and endpoint.fingerprint:
                forgotten += file.forget(endpoint.fingerprint)
        if not as_json:
            show.removed(gone, file if forgotten else None)
    facts: dict[str, object] = {
        "mode": key.mode,
        "changed": agreed,
        "secrets_removed": forgotten,
    }
    if as_json:
        finish(plan, (), as_json=True, facts=facts)
    elif plan.attention:
        click.get_current_context().exit(1)


def _waiting(account: Account, gone: list[Endpoint]) -> list[str]:
    types = tuple(dict.fromkeys(t for one in gone for t in one.events if t != "*"))
    if not types:
        return []
    try:
        events = account.undelivered(types, int(time.time()) - _RETRIED, most=10)
    except AccountError:
        return []  # the key may not look; deleting does not need it
    if not events:
        return []
    more = "at least " if len(events) == 10 else ""
    return [
        (
            f"{more}{len(events)} event(s) are not delivered to every endpoint yet, the newest is "
            f"{events[0].id}. Stripe stops trying them on an endpoint that is deleted."
        )
    ]
