"""The options that the ``stripe`` commands share."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracknow_static.account.failures import AccountError
from tracknow_static.account.secret_file import SecretFile, default_path
from tracknow_static.account.targets import Target
from tracknow_static.tracknow import is_event_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.account.endpoints import Endpoint

mode = click.option(
    "--mode",
    type=click.Choice(["live", "test"]),
    help="Insist on a mode; a key of the other one is refused. Default: the API key's own.",
)
namespace = click.option(
    "--namespace",
    metavar="NAME",
    help="Your Tracknow namespace: events go to NAME-tracking.tracknow.info.",
)
relay_url = click.option(
    "--relay-url",
    metavar="URL",
    help="Your relay's public URL, such as https://relay.example.com/stripe/webhook.",
)
secret_file = click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    envvar="STRIPE_WEBHOOK_SECRET_FILE",
    show_envvar=True,
    help="Where the relay reads signing secrets. "
    "Default: ~/.config/tracknow/stripe-webhook-secret.MODE.",
)
dry_run = click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
yes = click.option("--yes", is_flag=True, help="Do not ask before the plan is carried out.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
show_secret = click.option(
    "--show-secret", is_flag=True, help="Also print the new signing secret (off by default)."
)


class _Failure(click.ClickException):
    def __init__(self, error: AccountError) -> None:
        super().__init__(str(error))
        self._code = error.code

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return self._code


def spoken(function: Callable[..., None]) -> Callable[..., None]:
    """Show an :class:`AccountError` as a message with its exit code, never as a traceback."""

    @functools.wraps(function)
    def wrapper(*args: Any, **options: Any) -> None:
        try:
            function(*args, **options)
        except AccountError as error:
            raise _Failure(error) from None

    return wrapper


def the_target(namespace: str | None, relay_url: str | None, *, live: bool) -> Target | None:
    """Give the target that was named, if any. Raises :class:`click.UsageError`."""
    if namespace and relay_url:
        raise click.UsageError("Give --namespace or --relay-url, not both: a sale has one way.")
    try:
        if relay_url:
            return Target.relay(relay_url, live=live)
        return Target.tracknow(namespace) if namespace else None
    except ValueError as error:
        where = "--relay-url" if relay_url else "--namespace"
        raise click.BadParameter(str(error), param_hint=where) from None


def event_types(
    _context: click.Context, _option: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    """Check the shape of event types; whether Stripe knows them, Stripe says."""
    for event in value:
        if not is_event_type(event):
            raise click.BadParameter(f"{event!r} is no event type such as charge.refunded.")
    return value


def the_file(path: Path | None, mode: str, endpoints: list[Endpoint]) -> SecretFile:
    """Give the file for secrets of a mode, checked not to hold those of the other one."""
    file = SecretFile.of(path or default_path(mode), mode)
    file.refuse_strangers(mode, {one.fingerprint for one in endpoints if one.fingerprint})
    return file


def found_file(path: Path | None, mode: str, endpoints: list[Endpoint]) -> SecretFile | None:
    """Give the file for secrets when there is one: named, or at the default place."""
    if path is None and not default_path(mode).exists():
        return None
    return the_file(path, mode, endpoints)
