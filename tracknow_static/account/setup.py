"""``tracknow-static stripe setup``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from tracknow_static.account import options, show
from tracknow_static.account.carry_out import Consent, about_secret, create_with_secret, look
from tracknow_static.account.failures import EXIT_CODES
from tracknow_static.account.plan import plan_setup
from tracknow_static.tracknow import EVENT_TYPES

if TYPE_CHECKING:
    from pathlib import Path


@click.command(epilog=EXIT_CODES)
@options.namespace
@options.relay_url
@click.option(
    "--also",
    multiple=True,
    metavar="EVENT",
    callback=options.event_types,
    help="One more event type, such as checkout.session.async_payment_succeeded. Repeatable.",
)
@click.option(
    "--not-a-relay",
    multiple=True,
    metavar="ID",
    help="This endpoint ends in /stripe/webhook but forwards nothing to Tracknow. Repeatable.",
)
@options.secret_file
@options.show_secret
@options.mode
@options.dry_run
@options.yes
@options.as_json
@options.spoken
def setup(
    namespace: str | None,
    relay_url: str | None,
    also: tuple[str, ...],
    not_a_relay: tuple[str, ...],
    secret_file: Path | None,
    show_secret: bool,
    mode: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Make or mend the event destination, as the guide of Tracknow describes it.

    Exactly charge.succeeded and checkout.session.completed, snapshot payloads, and what --also
    adds. Run it again at will: what is right stays as it is. The signing secret goes into the
    relay's secret file (mode 0600); Tracknow itself asks for none.
    """
    if not namespace and not relay_url:
        namespace = os.environ.get("TRACKNOW_NAMESPACE")
    if not namespace and not relay_url:
        raise click.UsageError("Where shall the events go? Give --namespace or --relay-url.")
    account, target, endpoints = look(namespace, relay_url, mode)
    assert target is not None  # noqa: S101 - one of both is given
    consent = Consent(account.key.mode, dry_run, yes, as_json)
    relay = target.kind == "relay"
    file = options.the_file(secret_file, consent.mode, endpoints) if relay else None
    events = tuple(dict.fromkeys((*EVENT_TYPES, *also)))
    plan = plan_setup(target, events, endpoints, not_a_relay=not_a_relay)
    agreed = consent.agree(plan)
    attention: list[str] = []
    endpoint, secret = plan.endpoint, None
    if agreed:
        step = plan.steps[0]
        if step.endpoint is not None:
            endpoint = account.update(step.endpoint.id, **step.changes)
        elif file is not None:
            endpoint, secret, attention = create_with_secret(
                *(account, target, events, endpoints, file)
            )
        else:
            endpoint, secret = account.create(target, events, endpoints)
    written = file if secret else None
    if endpoint is not None and file is not None and not secret:
        attention += about_secret(endpoint, file)
    shown_secret = secret if show_secret else None
    if not as_json:
        show.done(endpoint if agreed else None, written, shown_secret)
    facts: dict[str, object] = {
        "endpoint": endpoint.as_json() if endpoint else None,
        "secret_file": str(file.path) if file else None,
    }
    consent.finish(plan, attention, changed=agreed, facts=facts, secret=shown_secret)
