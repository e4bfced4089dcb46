"""``backfill``: fetch what Stripe has and the relay does not."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import format_option
from tracknow_static.errors import AccountError
from tracknow_static.relay import stripe_api
from tracknow_static.relay.backfill.backfill import KEPT_SECONDS, Backfill, Polled
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.cli import configured, opened
from tracknow_static.relay.operate.options import When
from tracknow_static.relay.operate.output import echo
from tracknow_static.relay.operate.sale_output import print_sales, sale_json
from tracknow_static.relay.sales.verdicts import has_other_accounts
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.backfill_state import findings
from tracknow_static.relay.store.ingest import Ingest
from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.model import Status

# Seconds between two looks whether another process has ended.
_LOOK_SECONDS = 0.5


@click.command(
    epilog=exit_codes.epilog(
        exit_codes.FAILED,
        exit_codes.KEY,
        exit_codes.STRIPE,
        exit_codes.CONFLICT,
        attention="done, but something needs your attention; or you declined",
    )
)
@click.option(
    "--since",
    type=When(),
    help="Look from this time on: 2h, 30d, 2026-03-31T18:00Z (Stripe keeps events for 30 days). "
    "Default: from the last poll, and never before this relay's database was made.",
)
@click.option(
    "--sessions",
    is_flag=True,
    help="List sales older than 30 days, from --since on, that this relay never received; store "
    "nothing. The key needs Checkout Sessions: Read and Charges: Read.",
)
@click.option("--dry-run", is_flag=True, help="Only report what is missing; store nothing.")
@click.option("--yes", is_flag=True, help="Go back before the database was made without asking.")
@format_option()
def backfill(
    since: float | None, sessions: bool, dry_run: bool, yes: bool, output_format: str
) -> None:
    """Fetch events that Stripe has and this relay does not, and deliver them.

    The API key comes from STRIPE_API_KEY or STRIPE_API_KEY_FILE; a restricted key needs Events:
    Read. `serve` and `worker` do the same at start and every hour. An event that is stored already
    is recognized by its id. The last five minutes are left to Stripe, which may still send them.
    """
    config = configured(needs_key=True)
    if sessions:
        _list_sessions(config, since, output_format)
        return
    quiet = output_format == "json"
    with opened(config, whole=False) as database:
        ingest = Ingest.from_config(config, database)
        task = Backfill(config, ingest)
        with output.progress("listing events", quiet=quiet) as advance:
            if dry_run:
                polled = task.look(since, advance)
            else:
                if since is not None:
                    _confirm(task.created_at(), since, yes=yes)
                    task.rewind(since)
                polled = _poll(task, advance)
            status = queries.status(database)
            is_connected = has_other_accounts(database)
        ingest.close()
    lines = [f"{found.text}: `{found.command}`" for found in findings(status.backfill, status.now)]
    if output_format == "json":
        output.print_json(_as_json(polled, status, lines, dry_run=dry_run))
    else:
        _print(polled, status, lines, dry_run=dry_run)
    if is_connected:
        echo(
            "The ledger has sales of connected accounts: what is missing of those is not looked "
            "for, only events of the API key's own account.",
            err=True,
        )
    if lines:
        sys.exit(exit_codes.ATTENTION)


def _confirm(created_at: float, since: float, *, yes: bool) -> None:
    """Ask before sales are fetched that Tracknow may have had without this relay.

    Raises :class:`AccountError` when there is nobody to ask.
    """
    if since >= created_at or yes:
        return
    text = (
        f"This relay's database was made on {_moment(created_at)}. Stripe may have sent sales from "
        "before then to Tracknow directly: fetched again, they would count twice there, and their "
        "commission would be paid twice."
    )
    echo(text, err=True)
    if not _is_terminal():
        text = "Nothing was fetched: there is no terminal to ask on. Add --yes if Tracknow has not had these sales."
        raise AccountError(text, exit_codes.MISUSE)
    click.confirm("Fetch them?", abort=True, err=True)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _poll(task: Backfill, advance: Any) -> Polled:
    """Poll, once other processes have ended; their leases end with them, or soon after them."""
    polled = task.poll(advance)
    if polled is None:
        echo("Another process is fetching events; waiting for it …", err=True)
    while polled is None:
        time.sleep(_LOOK_SECONDS)
        polled = task.poll(advance)
    return polled


def _as_json(
    polled: Polled, status: Status, attention: list[str], *, dry_run: bool
) -> dict[str, Any]:
    state = status.backfill
    return {
        "dry_run": dry_run,
        "since": output.time_of(polled.since),
        "until": output.time_of(polled.before),
        "listed": polled.listed,
        "requests": polled.requests,
        "missing": polled.new.total(),
        "missing_by_type": dict(sorted(polled.new.items())),
        "endpoint": (state.endpoint or None) if state else None,
        "attention": attention,
    }


def _print(polled: Polled, status: Status, attention: list[str], *, dry_run: bool) -> None:
    period = f"{_moment(polled.since)} to {_moment(polled.before)}"
    number = polled.new.total()
    verbs = ("was missing and is stored", "were missing and are stored")
    if dry_run:
        verbs = ("is missing", "are missing")
    listed = counted(polled.listed, "event")
    echo(f"{listed} at Stripe from {period}; {number} {verbs[number != 1]}.")
    if polled.new:
        rows = [[kind, str(count)] for kind, count in sorted(polled.new.items())]
        output.print_table(("type", "missing"), rows)
    if status.now - polled.since > KEPT_SECONDS:
        echo("Stripe keeps events for 30 days: --sessions lists older sales.")
    state = status.backfill
    if state is not None and state.endpoint_unknown:
        echo(f"Whether Stripe has disabled the endpoint is unknown. {state.endpoint_unknown}")
    for line in attention:
        echo(line, color="red")


def _list_sessions(config: RelayConfig, since: float | None, output_format: str) -> None:
    from tracknow_static.relay.backfill.listing import Lists
    from tracknow_static.relay.backfill.sessions import MOST, unreceived

    if since is None:
        raise click.UsageError("--sessions: give the time to look from with --since, such as 90d.")
    before = int(time.time()) - KEPT_SECONDS
    if since >= before:
        raise click.UsageError(
            "--sessions is for sales older than 30 days: give an earlier --since."
        )
    quiet = output_format == "json"
    with (
        opened(config, whole=False) as database,
        output.progress("listing sessions and charges", quiet=quiet) as advance,
    ):
        lists = Lists(stripe_api.key_of(config), config)
        found = unreceived(lists, database, math.ceil(since), before, advance)
    if quiet:
        data = {"since": output.time_of(since), "until": output.time_of(before)}
        rows = [sale_json(sale) for sale in found.sales]
        output.print_json(
            {**data, "listed": found.listed, "sales": rows, "complete": found.complete}
        )
    else:
        period = f"{_moment(since)} to {_moment(before)}"
        listed = counted(found.listed, "session or charge", "sessions and charges")
        text = f"{listed} at Stripe from {period}"
        echo(f"{text}; this relay never received {counted(len(found.sales), 'sale')}.")
        if found.sales:
            print_sales(found.sales)
        if not found.complete:
            echo(f"There are more than {MOST:,}: look at a shorter period.", err=True)
    if found.sales:
        sys.exit(exit_codes.ATTENTION)


def _moment(seconds: float) -> str:
    return f"{output.moment(seconds)} UTC"
