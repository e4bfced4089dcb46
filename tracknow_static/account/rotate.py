"""``tracknow-static stripe rotate``: a new signing secret, with both accepted meanwhile.

Stripe's API tells a secret only when an endpoint is made. A rotation is therefore a second
endpoint, which says in its metadata whose place it takes: made in one request, so that a run that
is interrupted leaves either no rotation or a whole one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from tracknow_static.account import options, show
from tracknow_static.account.carry_out import RETRIED, Consent, create_with_secret, look
from tracknow_static.account.failures import EXIT_CODES, AccountError
from tracknow_static.account.plan import Plan, Rotation, Step, find_rotation
from tracknow_static.account.targets import Target
from tracknow_static.exit_codes import ATTENTION, CONFLICT

if TYPE_CHECKING:
    from pathlib import Path

    from tracknow_static.account.endpoints import Endpoint
    from tracknow_static.account.secret_file import SecretFile
    from tracknow_static.account.stripe_api import Account


@dataclass(frozen=True)
class _Run:
    """One run of the command: the account as it is, and how to proceed."""

    account: Account
    endpoints: list[Endpoint]
    rotation: Rotation
    file: SecretFile
    consent: Consent


@click.command(epilog=EXIT_CODES)
@options.namespace
@options.relay_url
@click.option(
    "--finish",
    "second_half",
    is_flag=True,
    help="Second half: delete the old endpoint and forget its secret.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Finish although Stripe is still trying older events on the old endpoint.",
)
@options.secret_file
@options.show_secret
@options.mode
@options.dry_run
@options.yes
@options.as_json
@options.spoken
def rotate(
    namespace: str | None,
    relay_url: str | None,
    second_half: bool,
    force: bool,
    secret_file: Path | None,
    show_secret: bool,
    mode: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Give the relay a new signing secret, with both accepted meanwhile.

    Stripe's API tells a secret only when an endpoint is made. So this makes a second endpoint and
    puts its secret before the old one in the file, which the relay reads again when it changes.
    Each event then comes twice, and the relay recognises it by its id. When the relay accepts
    the new endpoint's events, --finish deletes the old endpoint and its secret.
    """
    account, target, endpoints = look(namespace, relay_url, mode)
    consent = Consent(account.key.mode, dry_run, yes, as_json)
    rotation = find_rotation(endpoints, target)
    file = options.the_file(secret_file, consent.mode, endpoints)
    run = _Run(account, endpoints, rotation, file, consent)
    if second_half:
        _finish(run, force=force)
    else:
        _start(run, show_secret=show_secret)


def _start(run: _Run, *, show_secret: bool) -> None:
    current, old, file = run.rotation.current, run.rotation.old, run.file
    if old:
        text = (
            f"A rotation is under way: {current.id} replaces {old.id}. When the relay accepts the "
            "events of the new one: tracknow-static stripe rotate --finish"
        )
        raise AccountError(text, CONFLICT)
    text = f"make a second endpoint for {current.url}, to replace {current.id}"
    why = (f"events: {', '.join(current.events)}", f"its secret goes first into {file.path}")
    plan = Plan((Step("create", text, why=why),))
    if not run.consent.agree(plan):
        run.consent.finish(plan, changed=False)
        return
    new, secret, attention = create_with_secret(
        *(run.account, Target("relay", current.url), current.events, run.endpoints, file),
        replaces=current,
    )
    shown_secret = secret if show_secret else None
    if not run.consent.as_json:
        show.done(new, file, shown_secret)
        click.echo("The relay accepts both secrets once it has read the file again. Then:")
        click.echo("  tracknow-static stripe rotate --finish")
    facts: dict[str, object] = {"endpoint": new.as_json(), "secret_file": str(file.path)}
    run.consent.finish(plan, attention, changed=True, facts=facts, secret=shown_secret)


def _finish(run: _Run, *, force: bool) -> None:
    new, old, file = run.rotation.current, run.rotation.old, run.file
    if old is None:
        raise AccountError("There is no rotation to finish.", ATTENTION)
    if file.holds(new.fingerprint) == "no":
        text = f"Refused: {file.path} does not hold the secret of {new.id}, which would stay alone."
        raise AccountError(text, CONFLICT)
    if not new.enabled:
        text = f"Refused: {new.id}, which would stay alone, is disabled. Run setup to enable it."
        raise AccountError(text, CONFLICT)
    if not force:
        _refuse_waiting(run.account, new, old)
    plan = Plan((Step("delete", f"delete {old.id} ({old.url})", old),))
    agreed = run.consent.agree(plan)
    attention = []
    if agreed:
        run.account.delete(old.id)
        forgotten = file.forget(old.fingerprint) if old.fingerprint else 0
        if not forgotten:
            attention.append(
                f"{file.path}: which secret belonged to {old.id} is unknown, so none was removed."
            )
        if not run.consent.as_json:
            show.removed([old], file if forgotten else None)
    run.consent.finish(plan, attention, changed=agreed)


def _refuse_waiting(account: Account, new: Endpoint, old: Endpoint) -> None:
    """Refuse while Stripe tries events from before the new endpoint: only the old one gets them."""
    types = tuple(event for event in old.events if event != "*")
    since = int(time.time()) - RETRIED
    waiting = account.undelivered(types, since, before=new.created, most=10)
    if waiting:
        ids = ", ".join(event.id for event in waiting[:3])
        text = (
            f"Refused: Stripe is still trying events older than {new.id} ({ids}), which "
            f"only {old.id} can deliver. Wait until status shows none, or use --force."
        )
        raise AccountError(text, CONFLICT)
