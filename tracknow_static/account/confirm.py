"""From a plan to its execution: confirmation, a secret that is never lost, the report."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from tracknow_static.account import output
from tracknow_static.account.secret_file import fingerprint
from tracknow_static.account.stripe_api import RETRIED
from tracknow_static.account.targets import FINGERPRINT
from tracknow_static.errors import AccountError
from tracknow_static.exit_codes import ATTENTION, MISUSE
from tracknow_static.tracknow import EVENT_TYPES, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracknow_static.account.plan import Plan
    from tracknow_static.account.secret_file import SecretFile
    from tracknow_static.account.stripe_api import Account, Undelivered
    from tracknow_static.account.targets import Endpoint, Target


@dataclass(frozen=True)
class Confirmation:
    """How a plan is confirmed and its outcome printed: the options of a command that changes."""

    mode: str
    dry_run: bool
    yes: bool
    as_json: bool

    def confirm(self, plan: Plan) -> bool:
        """Print the plan and return whether to execute it.

        Raises :class:`AccountError` when there is nobody to ask, and :class:`click.Abort` (exit
        code 1) when the answer is no.
        """
        if not self.as_json:
            output.print_plan(plan, self.mode)
        if self.dry_run or not plan.steps:
            return False
        if self.yes:
            return True
        if not sys.stdin.isatty():
            text = "Nothing was changed: there is no terminal to ask on. Add --yes."
            raise AccountError(text, MISUSE)
        click.confirm("Continue?", abort=True, err=True)
        return True

    def finish(
        self,
        plan: Plan,
        attention: Sequence[str] = (),
        *,
        changed: bool,
        facts: dict[str, object] | None = None,
        secret: str | None = None,
        printed_before: bool = False,
    ) -> None:
        """Print what needs attention, unless ``printed_before``; print the facts as JSON.

        ``secret`` is printed: it is given only when the user asked to see it. Exits with
        ``ATTENTION`` when something needs attention.
        """
        lines = [*plan.attention, *attention]
        if self.as_json:
            found: dict[str, object] = {"mode": self.mode, "changed": changed, **(facts or {})}
            if secret:
                found["secret"] = secret
            steps = [step.as_json() for step in plan.steps]
            click.echo(json.dumps({**found, "plan": steps, "attention": lines}, indent=2))
        elif not printed_before:
            output.print_attention(lines)
        if lines:
            sys.exit(ATTENTION)


def create_with_secret(
    account: Account,
    target: Target,
    events: tuple[str, ...],
    existing: list[Endpoint],
    file: SecretFile,
    *,
    replaces: Endpoint | None = None,
) -> tuple[Endpoint, str, list[str]]:
    """Create a relay's endpoint and keep its secret: disk space first, undone if that fails.

    Returns the endpoint, its secret, and what needs attention.
    """
    attention = []
    shared = file.open_to_others()
    with file.reserve() as reservation:
        endpoint, secret = account.create(target, events, existing, replaces=replaces)
        assert secret is not None  # noqa: S101 - a relay's endpoint without one is an error
        try:
            known = file.read()
            reservation.commit([secret, *known])
        except BaseException:
            account.delete(endpoint.id)
            raise
    if known and not replaces and secret not in known:
        attention.append(
            f"{file.path} held {counted(len(known), 'older secret')}, kept there: "
            "remove those that no endpoint uses any more."
        )
    if shared:
        attention.append(
            f"{file.path} was readable by its group or by everyone and now has mode 0600: "
            "make sure that the relay runs as its owner."
        )
    try:
        endpoint = account.update(endpoint.id, metadata={FINGERPRINT: fingerprint(secret)})
    except AccountError:  # the endpoint works; only `status` knows less
        attention.append(f"{endpoint.id} could not be marked: status cannot recognise its secret.")
    return endpoint, secret, attention


def secret_problem(endpoint: Endpoint, file: SecretFile) -> list[str]:
    """Return a sentence when the relay may be unable to verify what an endpoint sends."""
    state = file.holds(endpoint.fingerprint)
    if state == "no":
        text = (
            f"{file.path} does not hold the signing secret of {endpoint.id}: a relay that reads "
            "this file rejects its events. Stripe's API does not show it again: copy it from the "
            "Dashboard into the file, or run `tracknow-static stripe rotate`."
        )
        return [text]
    if state == "unknown":
        text = (
            f"It is unknown whether {file.path} holds the signing secret of {endpoint.id}, which "
            "was created by hand. If the relay rejects its events: copy the secret from the "
            "Dashboard, or run `tracknow-static stripe rotate`."
        )
        return [text]
    return []


def still_tried(
    account: Account, endpoints: Sequence[Endpoint], *, before: int | None = None
) -> list[Undelivered]:
    """Return up to ten events that Stripe is still trying to deliver to one of the endpoints."""
    types = {
        event: None
        for endpoint in endpoints
        for event in (EVENT_TYPES if "*" in endpoint.events else endpoint.events)
    }
    if not types:
        return []
    since = int(time.time()) - RETRIED
    return account.undelivered(tuple(types), since, before=before, most=10)
