"""``tracknow-static stripe``: its four commands."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from tracknow_static.account import output, plan
from tracknow_static.account.run import Run, changing, common, secret_option, secret_problem
from tracknow_static.account.targets import Target
from tracknow_static.errors import AccountError
from tracknow_static.exit_codes import (
    ATTENTION,
    CONFLICT,
    FAILED,
    INTERRUPTED,
    KEY,
    STRIPE,
    epilog,
)
from tracknow_static.tracknow import EVENT_TYPES, SALE_EVENT_TYPES, counted, is_event_type

if TYPE_CHECKING:
    from tracknow_static.account.secret_file import SecretFile
    from tracknow_static.account.stripe_api import Undelivered
    from tracknow_static.account.targets import Endpoint

_DAY = 86_400
_MOST = 100
_EPILOG = epilog(
    FAILED,
    KEY,
    STRIPE,
    CONFLICT,
    INTERRUPTED,
    attention="done, but something needs your attention; or nothing was found, or you declined",
)


def _event_types(
    _context: click.Context, _option: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    for event in value:
        if not is_event_type(event):
            raise click.BadParameter(f"{event!r} is not an event type such as charge.refunded.")
    return value


@click.group(epilog=_EPILOG)
def stripe() -> None:
    """Set up how Stripe reports sales to Tracknow.

    The API key comes from STRIPE_API_KEY, from the file named by STRIPE_API_KEY_FILE, or from a
    hidden prompt. A restricted key needs Webhook Endpoints: Write, and Events: Read for status.
    """


@stripe.command(epilog=_EPILOG)
@common
@click.option(
    "--also",
    multiple=True,
    metavar="EVENT",
    callback=_event_types,
    help="One more event type, such as checkout.session.async_payment_succeeded. Repeatable.",
)
@click.option(
    "--not-a-relay",
    multiple=True,
    metavar="ID",
    help="This endpoint ends in /stripe/webhook but forwards nothing to Tracknow. Repeatable.",
)
@secret_option
@changing
def setup(
    *, also: tuple[str, ...], not_a_relay: tuple[str, ...], show_secret: bool, **chosen: Any
) -> None:
    """Create or fix the webhook endpoint that Tracknow's guide describes.

    It gets charge.succeeded and checkout.session.completed as snapshot payloads, and the types of
    --also. A relay also gets refunds, disputes, renewals and delayed payments, which it keeps for
    its ledger of sales and does not forward. You can run this again at any time: nothing changes once everything is set
    up. The signing secret goes to the relay's secret file (mode 0600); Tracknow itself needs none.
    """
    if not chosen["namespace"] and not chosen["relay_url"]:
        chosen["namespace"] = os.environ.get("TRACKNOW_NAMESPACE")
    if not chosen["namespace"] and not chosen["relay_url"]:
        raise click.UsageError("Where should the events go? Give --namespace or --relay-url.")
    run = Run.start(**chosen)
    account, target = run.account, run.target
    assert target is not None  # noqa: S101 - one of both is given
    file = run.file() if target.kind == "relay" else None
    wanted = SALE_EVENT_TYPES if file else EVENT_TYPES
    events = tuple(dict.fromkeys((*wanted, *also)))
    steps = plan.plan_setup(target, events, run.endpoints, not_a_relay=not_a_relay)
    changed = run.confirm(steps)
    attention: list[str] = []
    endpoint, secret = steps.endpoint, None
    if changed:
        step = steps.steps[0]
        if step.endpoint is not None:
            endpoint = account.update(step.endpoint.id, **step.changes)
        elif file is not None:
            endpoint, secret, attention = run.create_with_secret(target, events, file)
        else:
            endpoint, secret = account.create(target, events, run.endpoints)
    if endpoint is not None and file is not None and not secret:
        attention += secret_problem(endpoint, file)
    shown = secret if show_secret else None
    if not run.as_json:
        output.print_done(endpoint if changed else None, file if secret else None, shown)
    facts: dict[str, object] = {
        "endpoint": endpoint.as_json() if endpoint else None,
        "secret_file": str(file.path) if file else None,
    }
    run.finish(steps, attention, changed=changed, facts=facts, secret=shown)


@stripe.command(epilog=_EPILOG)
@common
@click.option(
    "--days",
    type=click.IntRange(1, 30),
    default=7,
    show_default=True,
    help="Number of days to look back for undelivered events (Stripe keeps 30 days).",
)
def status(*, days: int, **chosen: Any) -> None:
    """Show the endpoints, their state, and recent events that were not delivered."""
    run = Run.start(**chosen)
    file = run.file_if_any()
    attention = plan.problems(run.endpoints, run.target)
    rows: list[tuple[Endpoint, str | None]] = []
    for endpoint in run.endpoints:
        held = None
        if file and endpoint.kind == "relay":
            held = file.holds(endpoint.fingerprint)
            if held != "yes" and endpoint.ours:
                attention += secret_problem(endpoint, file)
        rows.append((endpoint, held))
    events, problems = _undelivered(run, days)
    attention += problems
    if run.as_json:
        facts = {
            "mode": run.mode,
            "endpoints": [{**row.as_json(), "secret_in_file": held} for row, held in rows],
            "undelivered": None if events is None else [event.as_json() for event in events],
            "attention": attention,
        }
        click.echo(json.dumps(facts, indent=2))
    else:
        output.print_endpoints(rows, run.mode)
        output.print_undelivered(events or [])
        output.print_attention(attention)
    if attention:
        sys.exit(ATTENTION)


def _undelivered(run: Run, days: int) -> tuple[list[Undelivered] | None, list[str]]:
    """Return the undelivered events, None when they cannot be read, and what needs attention."""
    concerned = [endpoint for endpoint in run.endpoints if endpoint.ours or endpoint.kind]
    events = {event: None for endpoint in concerned for event in endpoint.events if event != "*"}
    types = tuple(dict.fromkeys((*EVENT_TYPES, *events)))
    try:
        found = run.account.undelivered(types, int(time.time()) - days * _DAY, most=_MOST)
    except AccountError as error:
        return None, [str(error)]
    if not found:
        return [], []
    more = "at least " if len(found) == _MOST else ""
    text = (
        f"Not delivered to every endpoint: {more}{counted(len(found), 'event')} of the last {days} "
        "days. Stripe keeps trying a live event for three days."
    )
    return found, [text]


@stripe.command(epilog=_EPILOG)
@common
@click.option(
    "--finish",
    "second_half",
    is_flag=True,
    help="Second half: delete the old endpoint and remove its secret.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Finish although Stripe is still trying older events on the old endpoint.",
)
@secret_option
@changing
def rotate(*, second_half: bool, force: bool, show_secret: bool, **chosen: Any) -> None:
    """Give the relay a new signing secret; both are accepted meanwhile.

    Stripe's API shows a secret only when an endpoint is created. So this creates a second endpoint
    and puts its secret before the old one in the file, which the relay reads again when it changes.
    Each event then comes twice, and the relay recognizes it by its id. When the relay accepts
    the new endpoint's events, --finish deletes the old endpoint and its secret.
    """
    run = Run.start(**chosen)
    rotation = plan.find_rotation(run.endpoints, run.target)
    if second_half:
        _finish(run, rotation, run.file(), force=force)
    else:
        _begin(run, rotation, run.file(), show_secret=show_secret)


def _begin(run: Run, rotation: plan.Rotation, file: SecretFile, *, show_secret: bool) -> None:
    # The new endpoint names in its metadata the one it replaces, in the same request: a run that
    # is interrupted leaves either no rotation or a whole one.
    current, old = rotation.current, rotation.old
    if old:
        text = (
            f"A rotation is in progress: {current.id} replaces {old.id}. When the relay accepts "
            "the events of the new one: tracknow-static stripe rotate --finish"
        )
        raise AccountError(text, CONFLICT)
    text = f"create a second endpoint for {current.url}, to replace {current.id}"
    details = (f"events: {', '.join(current.events)}", f"its secret goes first into {file.path}")
    steps = plan.Plan((plan.Step("create", text, details=details),))
    if not run.confirm(steps):
        run.finish(steps, changed=False)
        return
    target = Target("relay", current.url)
    new, secret, attention = run.create_with_secret(target, current.events, file, replaces=current)
    shown = secret if show_secret else None
    if not run.as_json:
        output.print_done(new, file, shown)
        click.echo("The relay accepts both secrets once it has read the file again. Then run:")
        click.echo("  tracknow-static stripe rotate --finish")
    facts: dict[str, object] = {"endpoint": new.as_json(), "secret_file": str(file.path)}
    run.finish(steps, attention, changed=True, facts=facts, secret=shown)


def _finish(run: Run, rotation: plan.Rotation, file: SecretFile, *, force: bool) -> None:
    new, old = rotation.current, rotation.old
    if old is None:
        raise AccountError("There is no rotation to finish.", ATTENTION)
    problem = None
    if file.holds(new.fingerprint) == "no":
        problem = f"{file.path} does not hold the secret of {new.id}, the only endpoint left then."
    elif not new.enabled:
        problem = f"{new.id}, the only endpoint left then, is disabled. Run setup to enable it."
    elif not force and (waiting := run.still_tried([old], before=new.created)):
        # The new endpoint never gets events from before it was created.
        ids = ", ".join(event.id for event in waiting[:3])
        problem = (
            f"Stripe is still trying events older than {new.id} ({ids}), which only {old.id} can "
            "deliver. Wait until status shows none, or use --force."
        )
    if problem:
        raise AccountError(f"Refused: {problem}", CONFLICT)
    steps = plan.Plan((plan.deletion(old),))
    changed = run.confirm(steps)
    attention = []
    if changed:
        run.account.delete(old.id)
        removed = file.forget(old.fingerprint) if old.fingerprint else 0
        if not removed:
            attention.append(
                f"{file.path}: which secret belonged to {old.id} is unknown, so none was removed."
            )
        if not run.as_json:
            output.print_removed([old], file if removed else None)
    run.finish(steps, attention, changed=changed)


@stripe.command(epilog=_EPILOG)
@common
@click.option(
    "--id",
    "ids",
    multiple=True,
    metavar="ID",
    help="Delete this endpoint, even if it was created by hand. Repeatable.",
)
@changing
def remove(*, ids: tuple[str, ...], **chosen: Any) -> None:
    """Undo setup: delete the endpoints it created, and their secrets from the file.

    Endpoints created by hand stay, unless named by --id. Stripe stops trying the events that a
    deleted endpoint has not accepted; the plan shows when there are any.
    """
    run = Run.start(**chosen)
    steps = plan.plan_remove(run.endpoints, run.target, ids)
    chosen_endpoints = [step.endpoint for step in steps.steps if step.endpoint]
    waiting = _waiting(run, chosen_endpoints)
    steps = plan.Plan(steps.steps, (*steps.attention, *waiting))
    file = None
    if any(endpoint.fingerprint for endpoint in chosen_endpoints):
        file = run.file_if_any()
        if file:
            file.read()  # a file that cannot be read is reported before anything is deleted
    if not run.as_json:
        output.print_attention(steps.attention)
    changed = run.confirm(steps)
    removed = 0
    if changed:
        for endpoint in chosen_endpoints:
            run.account.delete(endpoint.id)
            if file and endpoint.fingerprint:
                removed += file.forget(endpoint.fingerprint)
        if not run.as_json:
            output.print_removed(chosen_endpoints, file if removed else None)
    facts: dict[str, object] = {"secrets_removed": removed}
    run.finish(steps, changed=changed, facts=facts, printed_before=True)


def _waiting(run: Run, endpoints: list[Endpoint]) -> list[str]:
    try:
        events = run.still_tried(endpoints)
    except AccountError:
        return []  # the key may not read events; deleting does not need them
    if not events:
        return []
    more = "at least " if len(events) == 10 else ""
    number = counted(len(events), "event is", "events are")
    text = (
        f"{more}{number} not delivered to every endpoint yet; the newest is {events[0].id}. "
        "Stripe stops trying them on an endpoint that is deleted."
    )
    return [text]
