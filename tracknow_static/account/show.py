"""What a person sees: plans and tables (needs rich)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import click

from tracknow_static.account.endpoints import replaced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tracknow_static.account.endpoints import Endpoint
    from tracknow_static.account.plan import Plan
    from tracknow_static.account.secret_file import SecretFile
    from tracknow_static.account.stripe_api import Undelivered

_SIGNS = {"create": "+", "update": "~", "delete": "-"}
_COLOURS = {"create": "green", "update": "yellow", "delete": "red"}
_MOST = 10


def plan(what: Plan, mode: str) -> None:
    """Print what would be changed."""
    if not what.steps:
        click.echo(f"Nothing to do in {mode} mode: it is as it should be.")
        return
    click.echo(f"In Stripe's {mode} mode:")
    for step in what.steps:
        click.secho(f"  {_SIGNS[step.does]} {step.text}", fg=_COLOURS[step.does])
        for line in step.why:
            click.echo(f"      {line}")


def done(endpoint: Endpoint | None, file: SecretFile | None, secret: str | None) -> None:
    """Print what was made; the secret only when it was asked for."""
    if endpoint:
        click.echo(f"Done: {endpoint.id} sends {', '.join(endpoint.events)} to {endpoint.url}")
    if file:
        click.echo(f"Its signing secret is in {file.path}")
    if secret:
        click.echo(f"Signing secret: {secret}")


def removed(gone: Sequence[Endpoint], file: SecretFile | None) -> None:
    """Print what was deleted."""
    for endpoint in gone:
        click.echo(f"Deleted {endpoint.id} ({endpoint.url})")
    if file:
        click.echo(f"Its secret was taken out of {file.path}")


def attention(lines: Sequence[str]) -> None:
    """Print what needs a person, on stderr."""
    for line in lines:
        click.secho(f"! {line}", fg="yellow", err=True)


def endpoints(rows: Sequence[tuple[Endpoint, str | None]], mode: str) -> None:
    """Print a table of endpoints."""
    if not rows:
        click.echo(f"No webhook endpoints in {mode} mode.")
        return
    table = _table(f"Webhook endpoints, {mode} mode")
    for name in ("id", "goes to", "URL", "state", "events", "made by", "secret in file"):
        table.add_column(name, overflow="fold")
    leaving = replaced(one for one, _ in rows)
    where = {"direct": "Tracknow", "relay": "relay", None: "elsewhere"}
    for one, secret in rows:
        state = "enabled" if one.enabled else "disabled"
        if one.id in leaving:
            state = "being replaced"
        if one.thin:
            state += ", thin"
        made = "us" if one.ours else "hand"
        events = "\n".join(one.events)
        table.add_row(one.id, where[one.kind], one.url, state, events, made, secret or "–")
    _print(table)


def undelivered(events: Sequence[Undelivered]) -> None:
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

    # Bytes of a URL are no markup, and a pipe gets whole lines.
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, emoji=False, width=160)
    console.print(table)
