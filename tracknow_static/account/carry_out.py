"""What the commands have in common: the account, consent to a plan, a safe secret, the last word."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from tracknow_static.account import options, show
from tracknow_static.account.endpoints import FINGERPRINT
from tracknow_static.account.failures import AccountError
from tracknow_static.account.key import obtain
from tracknow_static.account.secret_file import fingerprint
from tracknow_static.account.stripe_api import Account
from tracknow_static.exit_codes import ATTENTION, MISUSE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracknow_static.account.endpoints import Endpoint
    from tracknow_static.account.plan import Plan
    from tracknow_static.account.secret_file import SecretFile
    from tracknow_static.account.targets import Target


RETRIED = 3 * 86_400
"""Seconds for which Stripe tries a live event (docs.stripe.com/webhooks)."""


def look(
    namespace: str | None, relay_url: str | None, mode: str | None
) -> tuple[Account, Target | None, list[Endpoint]]:
    """Read the API key and the account's endpoints; the target is None unless one is named.

    Raises :class:`AccountError`.
    """
    key = obtain(mode)
    target = options.the_target(namespace, relay_url, live=key.livemode)
    account = Account(key)
    return account, target, account.endpoints()


@dataclass(frozen=True)
class Consent:
    """How a plan is agreed upon, and how its outcome is told: the options of a changing command."""

    mode: str
    dry_run: bool
    yes: bool
    as_json: bool

    def agree(self, plan: Plan) -> bool:
        """Show the plan and say whether to carry it out.

        Raises :class:`AccountError` when there is nobody to ask, and :class:`click.Abort` (exit
        code 1) when the answer is no.
        """
        if not self.as_json:
            show.plan(plan, self.mode)
        if self.dry_run or not plan.steps:
            return False
        if self.yes:
            return True
        if not sys.stdin.isatty():
            text = "Nothing was changed: there is no terminal to ask on. Add --yes."
            raise AccountError(text, MISUSE)
        click.confirm("Carry this out?", abort=True, err=True)
        return True

    def finish(
        self,
        plan: Plan,
        attention: Sequence[str] = (),
        *,
        changed: bool,
        facts: dict[str, object] | None = None,
        secret: str | None = None,
        said_before: bool = False,
    ) -> None:
        """Say what needs a person, unless ``said_before``; print the facts for a script.

        ``secret`` is printed: it is given only when the user asked to see it. Exits with 1 when
        something needs a person.
        """
        said = [*plan.attention, *attention]
        if self.as_json:
            told: dict[str, object] = {"mode": self.mode, "changed": changed, **(facts or {})}
            if secret:
                told["secret"] = secret
            steps = [step.as_json() for step in plan.steps]
            click.echo(json.dumps({**told, "plan": steps, "attention": said}, indent=2))
        elif not said_before:
            show.attention(said)
        if said:
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
    """Make a relay's endpoint whose secret is safe: room on the disk first, undone without it.

    Gives the endpoint, its secret, and what a person has to know.
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
            f"{file.path} held {len(known)} older secret(s), which were kept: "
            "remove what no endpoint uses any more."
        )
    if shared:
        attention.append(
            f"{file.path} could be read by its group or by everybody and now has mode 0600: "
            "make sure that the relay runs as its owner."
        )
    try:
        endpoint = account.update(endpoint.id, metadata={FINGERPRINT: fingerprint(secret)})
    except AccountError:  # the endpoint works; only `status` knows less
        attention.append(f"{endpoint.id} could not be marked: status cannot tell its secret.")
    return endpoint, secret, attention


def about_secret(endpoint: Endpoint, file: SecretFile) -> list[str]:
    """Say when the relay may be unable to verify what an endpoint sends."""
    state = file.holds(endpoint.fingerprint)
    if state == "no":
        return [
            (
                f"{file.path} does not hold the signing secret of {endpoint.id}: a relay that reads "
                "this file refuses its events. Stripe's API never tells it again: copy it from the "
                "Dashboard into the file, or run `tracknow-static stripe rotate`."
            )
        ]
    if state == "unknown":
        return [
            (
                f"It is unknown whether {file.path} holds the signing secret of {endpoint.id}, which "
                "was made by hand. If the relay refuses its events: copy the secret from the "
                "Dashboard, or run `tracknow-static stripe rotate`."
            )
        ]
    return []
