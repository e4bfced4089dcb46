"""``tracknow-static stripe remove``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from tracknow_static.account import options, show
from tracknow_static.account.carry_out import RETRIED, Consent, look
from tracknow_static.account.failures import EXIT_CODES, AccountError
from tracknow_static.account.plan import Plan, plan_remove

if TYPE_CHECKING:
    from pathlib import Path

    from tracknow_static.account.endpoints import Endpoint
    from tracknow_static.account.stripe_api import Account


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
    account, target, endpoints = look(namespace, relay_url, mode)
    consent = Consent(account.key.mode, dry_run, yes, as_json)
    plan = plan_remove(endpoints, target, ids)
    gone = [step.endpoint for step in plan.steps if step.endpoint]
    plan = Plan(plan.steps, (*plan.attention, *_waiting(account, gone)))
    file = None
    if any(one.fingerprint for one in gone):
        file = options.found_file(secret_file, consent.mode, endpoints)
        if file:
            file.read()  # a file that cannot be read is said before anything is deleted
    if not as_json:
        show.attention(plan.attention)
    agreed = consent.agree(plan)
    forgotten = 0
    if agreed:
        for endpoint in gone:
            account.delete(endpoint.id)
            if file and endpoint.fingerprint:
                forgotten += file.forget(endpoint.fingerprint)
        if not as_json:
            show.removed(gone, file if forgotten else None)
    facts: dict[str, object] = {"secrets_removed": forgotten}
    consent.finish(plan, changed=agreed, facts=facts, said_before=True)


def _waiting(account: Account, gone: list[Endpoint]) -> list[str]:
    types = tuple(dict.fromkeys(t for one in gone for t in one.events if t != "*"))
    if not types:
        return []
    try:
        events = account.undelivered(types, int(time.time()) - RETRIED, most=10)
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
