"""One run of a command: the options that the commands share, the account, the secret file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracknow_static.account.confirm import Confirmation
from tracknow_static.account.key import library, obtain
from tracknow_static.account.secret_file import SecretFile, default_path
from tracknow_static.account.stripe_api import Account
from tracknow_static.account.targets import Endpoint, Target
from tracknow_static.click_options import format_option

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[..., Any]


@dataclass(frozen=True)
class Run:
    """The account with its endpoints, and what was chosen on the command line."""

    account: Account
    target: Target | None
    endpoints: list[Endpoint]
    secret_path: Path | None
    confirmation: Confirmation

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
        confirmation = Confirmation(key.mode, dry_run, yes, output_format == "json")
        return cls(account, target, account.endpoints(), secret_file, confirmation)

    def file(self) -> SecretFile:
        """Return the file for secrets, checked not to hold those of the other mode."""
        mode = self.confirmation.mode
        file = SecretFile.of(self.secret_path or default_path(mode), mode)
        known = {endpoint.fingerprint for endpoint in self.endpoints if endpoint.fingerprint}
        file.refuse_strangers(mode, known)
        return file

    def file_if_any(self) -> SecretFile | None:
        """Return the file for secrets, if one is named or exists at the default place."""
        if self.secret_path is None and not default_path(self.confirmation.mode).exists():
            return None
        return self.file()


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


def _decorated(function: Function, *options: Callable[[Function], Function]) -> Function:
    for decorate in reversed(options):
        function = decorate(function)
    return function


def common(function: Function) -> Function:
    """Add the options of all four commands."""
    return _decorated(
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
    return _decorated(
        function,
        click.option("--dry-run", is_flag=True, help="Show the plan and change nothing."),
        click.option("--yes", is_flag=True, help="Execute the plan without asking."),
    )


secret_option = click.option(
    "--show-secret", is_flag=True, help="Also print the new signing secret (off by default)."
)
