"""One run of a command: its options, the account and the secret file, the plan carried out, the report."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracknow_static.account import output
from tracknow_static.account.key import library, obtain
from tracknow_static.account.secret_file import SecretFile, default_path, fingerprint
from tracknow_static.account.stripe_api import RETRIED, Account
from tracknow_static.account.targets import FINGERPRINT, Target
from tracknow_static.click_options import decorated, format_option
from tracknow_static.errors import AccountError
from tracknow_static.exit_codes import ATTENTION, MISUSE
from tracknow_static.tracknow import EVENT_TYPES, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracknow_static.account.plan import Plan
    from tracknow_static.account.stripe_api import Undelivered
    from tracknow_static.account.targets import Endpoint

    Function = Callable[..., Any]


@dataclass(frozen=True)
class Run:
    """The account with its endpoints, and what was chosen on the command line."""

    account: Account
    target: Target | None
    endpoints: list[Endpoint]
    secret_path: Path | None
    dry_run: bool
    yes: bool
    as_json: bool

    @classmethod
    def start(
        cls,
        *,
        namespace: str | None,
        relay_url: str | None,
        secret_file: Path | None,
        mode: str | None,
        output_format: str,
        dry_run: bool = False,
        yes: bool = False,
    ) -> Run:
        """Get the API key and the account's endpoints. Raises :class:`AccountError`."""
        library("rich")
        key = obtain(mode)
        target = _target(namespace, relay_url, live=key.livemode)
        account = Account(key)
        return cls(
            account,
            target,
            account.endpoints(),
            secret_file,
            dry_run,
            yes,
            as_json=output_format == "json",
        )

    @property
    def mode(self) -> str:
        """The mode of the API key."""
        return self.account.key.mode

    def file(self) -> SecretFile:
        """Return the file for secrets, checked not to hold those of the other mode."""
        file = SecretFile.of(self.secret_path or default_path(self.mode), self.mode)
        known = {endpoint.fingerprint for endpoint in self.endpoints if endpoint.fingerprint}
        file.refuse_strangers(self.mode, known)
        return file

    def file_if_any(self) -> SecretFile | None:
        """Return the file for secrets, if one is named or exists at the default place."""
        if self.secret_path is None and not default_path(self.mode).exists():
            return None
        return self.file()

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
        self,
        target: Target,
        events: tuple[str, ...],
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
            endpoint, secret = self.account.create(
                target, events, self.endpoints, replaces=replaces
            )
            assert secret is not None  # noqa: S101 - a relay's endpoint without one is an error
            try:
                known = file.read()
                reservation.commit([secret, *known])
            except BaseException:
                self.account.delete(endpoint.id)
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
            endpoint = self.account.update(endpoint.id, metadata={FINGERPRINT: fingerprint(secret)})
        except AccountError:  # the endpoint works; only `status` knows less
            attention.append(
                f"{endpoint.id} could not be marked: status cannot recognise its secret."
            )
        return endpoint, secret, attention

    def still_tried(
        self, endpoints: Sequence[Endpoint], *, before: int | None = None
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
        return self.account.undelivered(tuple(types), since, before=before, most=10)


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


def _target(namespace: str | None, relay_url: str | None, *, live: bool) -> Target | None:
    if namespace and relay_url:
        raise click.UsageError("Give --namespace or --relay-url, not both: a sale has one route.")
    try:
        if relay_url:
            return Target.relay(relay_url, live=live)
        return Target.tracknow(namespace) if namespace else None
    except ValueError as error:
        where = "--relay-url" if relay_url else "--namespace"
        raise click.BadParameter(str(error), param_hint=where) from None


def common(function: Function) -> Function:
    """Add the options of all four commands."""
    return decorated(
        function,
        click.option(
            "--namespace",
            metavar="NAME",
            help="Your Tracknow namespace: events go to NAME-tracking.tracknow.info.",
        ),
        click.option(
            "--relay-url",
            metavar="URL",
            help="Your relay's public URL, such as https://relay.example.com/stripe/webhook.",
        ),
        click.option(
            "--secret-file",
            type=click.Path(path_type=Path),
            envvar="STRIPE_WEBHOOK_SECRET_FILE",
            show_envvar=True,
            help="Where the relay reads signing secrets. "
            "Default: ~/.config/tracknow/stripe-webhook-secret.MODE.",
        ),
        click.option(
            "--mode",
            type=click.Choice(["live", "test"]),
            help="Refuse an API key of the other mode. Default: the mode of the API key.",
        ),
        format_option(),
    )


def changing(function: Function) -> Function:
    """Add the options of a command that changes something."""
    return decorated(
        function,
        click.option("--dry-run", is_flag=True, help="Show the plan and change nothing."),
        click.option("--yes", is_flag=True, help="Execute the plan without asking."),
    )


secret_option = click.option(
    "--show-secret", is_flag=True, help="Also print the new signing secret (off by default)."
)
