"""What a person reads: plans and tables (needs rich)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import click

from tracknow_static.account.targets import replaced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tracknow_static.account.plan import Plan
    from tracknow_static.account.secret_file import SecretFile
    from tracknow_static.account.stripe_api import Undelivered
    from tracknow_static.account.targets import Endpoint

_SIGNS = {"create": "+", "update": "~", "delete": "-"}
_COLOURS = {"create": "green", "update": "yellow", "delete": "red"}
_MOST = 10


def print_plan(plan: Plan, mode: str) -> None:
    """Print what would be changed."""
    if not plan.steps:
        click.echo(f"Nothing to do in {mode} mode: everything is set up.")
        return
    click.echo(f"In Stripe's {mode} mode:")
    for step in plan.steps:
        click.secho(f"  {_SIGNS[step.does]} {step.text}", fg=_COLOURS[step.does])
        for line in step.details:
            click.echo(f"      {line}")


def print_done(endpoint: Endpoint | None, file: SecretFile | None, secret: str | None) -> None:
    """Print what was created or changed; the secret only when it was asked for."""
    if endpoint:
        click.echo(f"Done: {endpoint.id} sends {', '.join(endpoint.events)} to {endpoint.url}")
    if file:
        click.echo(f"Its signing secret is in {file.path}")
    if secret:
        click.echo(f"Signing secret: {secret}")


def print_removed(deleted: Sequence[Endpoint], file: SecretFile | None) -> None:
    """Print what was deleted."""
    for endpoint in deleted:
        click.echo(f"Deleted {endpoint.id} ({endpoint.url})")
    if file:
        click.echo(f"Its secret was removed from {file.path}")


def print_attention(lines: Sequence[str]) -> None:
    """Print what needs attention, on stderr."""
    for line in lines:
        click.secho(f"! {line}", fg="yellow", err=True)


def print_endpoints(rows: Sequence[tuple[Endpoint, str | None]], mode: str) -> None:
    """Print a table of endpoints, each with whether the file holds its secret."""
    if not rows:
        click.echo(f"No webhook endpoints in {mode} mode.")
        return
    table = _table(f"Webhook endpoints, {mode} mode")
    for name in ("id", "sends to", "URL", "state", "events", "created by", "secret in file"):
        table.add_column(name, overflow="fold")
    leaving = replaced(endpoint for endpoint, _ in rows)
    where = {"direct": "Tracknow", "relay": "relay", None: "elsewhere"}
    for endpoint, secret in rows:
        state = "enabled" if endpoint.enabled else "disabled"
        if endpoint.id in leaving:
            state = "being replaced"
        if endpoint.thin:
            state += ", thin"
        creator = "us" if endpoint.ours else "hand"
        events = "\n".join(endpoint.events)
        cells = (endpoint.id, where[endpoint.kind], endpoint.url, state, events, creator)
        table.add_row(*cells, secret or "–")
    _print(table)


def print_undelivered(events: Sequence[Undelivered]) -> None:
    """Print the newest undelivered events."""
    if not events:
        return
    table = _table("Events that an endpoint has not accepted")
    for name in ("event", "type", "created (UTC)", "endpoints waiting"):
        table.add_column(name, overflow="fold")
    for event in events[:_MOST]:
        when = dt.datetime.fromtimestamp(event.created, dt.UTC)
        table.add_row(event.id, event.type, f"{when:%Y-%m-%d %H:%M}", str(event.pending))
    _print(table)
    if len(events) > _MOST:
        click.echo(f"… and {len(events) - _MOST} more")


def _table(title: str) -> Table:
    from rich.table import Table

    return Table(title=title, title_justify="left")


def _print(table: Table) -> None:
    from rich.console import Console

    # A URL may look like markup; in a pipe lines are not cut.
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, emoji=False, width=160)
    console.print(table)
