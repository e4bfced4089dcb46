"""``sales`` and ``explain``: the ledger, listed and built anew, and the story of one sale."""

from __future__ import annotations

import csv
import io
import sys
from typing import TYPE_CHECKING, Any

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import format_option
from tracknow_static.errors import SettingsError
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.cli import CHANGING, configured, opened
from tracknow_static.relay.operate.inspect import When
from tracknow_static.relay.sales import explain as explaining
from tracknow_static.relay.sales import verdicts
from tracknow_static.relay.sales.derive import Sale
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.sales.verdicts import CODES, Wanted
from tracknow_static.tracknow import money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracknow_static.relay.sales.verdicts import Page


@click.command(epilog=exit_codes.epilog(exit_codes.FAILED))
@click.option(
    "--verdict",
    "chosen",
    type=click.Choice(list(CODES)),
    multiple=True,
    help="Sales with this verdict only (repeatable).",
)
@click.option("--since", type=When(), help="Sold at or after: 2h, 3d, 2026-03-31T18:00Z.")
@click.option("--until", type=When(), help="Sold before.")
@click.option("--payment-link", metavar="ID", help="Sales through this payment link (plink_…).")
@click.option("--reference", metavar="ID", help="Sales with this click id.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Maximum number of sales.",
)
@click.option("--after", "cursor", metavar="CURSOR", help="Continue where a list ended.")
@click.option("--codes", is_flag=True, help="List the verdicts and what they mean; nothing else.")
@click.option(
    "--rebuild",
    is_flag=True,
    help="Read every stored event again and make the ledger anew; list nothing.",
)
@format_option("csv")
def sales(
    chosen: tuple[str, ...],
    limit: int,
    cursor: str | None,
    codes: bool,
    rebuild: bool,
    output_format: str,
    **given: Any,
) -> None:
    """List sales, the newest first, each with its verdict: what became of its commission.

    Amounts in JSON and CSV are in the currency's minor unit, as Stripe counts them.
    """
    if codes:
        _print_codes(output_format)
        return
    if rebuild:
        _rebuild(output_format)
        return
    config = configured()
    with opened(config) as database:
        try:
            wanted = Wanted(verdicts=chosen, **given)
            page = verdicts.find(database, wanted, limit=limit, cursor=cursor)
        except ValueError as error:
            raise SettingsError([f"--after: {error}"]) from None
        unfinished = verdicts.unfinished(database, config.click_id_pattern)
    if output_format == "json":
        rows = [_as_json(sale) for sale in page.sales]
        output.print_json({"sales": rows, "next": page.cursor, "complete": not unfinished})
        return
    if output_format == "csv":
        _print_csv(page.sales)
    else:
        _print_text(page)
    if unfinished:
        click.echo(unfinished, err=True)


@click.command(
    epilog=exit_codes.epilog(exit_codes.FAILED, attention="the ledger has no sale for this id")
)
@click.argument("wanted", metavar="ID")
@format_option()
def explain(wanted: str, output_format: str) -> None:
    """Print the story of one sale, in order, and its verdict.

    ID is that of a session, charge, payment intent, invoice, dispute, event or customer, or a
    click id. If it leads to several sales, the newest one is explained and the others are named.
    """
    config = configured()
    with opened(config) as database:
        found = explaining.explain(database, wanted)
        unfinished = verdicts.unfinished(database, config.click_id_pattern)
    if unfinished and output_format != "json":
        click.echo(unfinished, err=True)
    if found is None:
        click.echo(f"Error: the ledger has no sale for {output.clean(wanted)!r}.", err=True)
        sys.exit(exit_codes.ATTENTION)
    if output_format == "json":
        evidence = [{**step._asdict(), "at": output.time_of(step.at)} for step in found.story]
        output.print_json(
            {
                "verdict": found.sale.verdict,
                "reason": found.reason,
                "sale": _as_json(found.sale),
                "evidence": evidence,
                "others": found.others,
                "complete": not unfinished,
            }
        )
        return
    sale = found.sale
    click.echo(f"{sale.id}  {money(sale.amount, sale.currency)}  click id: {_shown(sale)}")
    click.echo()
    rows = [
        [
            (output.time_of(step.at) or "")[:19].replace("T", " "),
            WORDS[step.what],
            step.id,
            output.clean(detail_of(step, sale)),
        ]
        for step in found.story
    ]
    output.print_table(("time (UTC)", "what", "id", "details"), rows)
    click.echo()
    reason = "" if found.reason == sale.verdict else f" ({found.reason})"
    click.echo(f"{click.style(sale.verdict, bold=True)}{reason}: {CODES[sale.verdict]}")
    if found.others:
        click.echo(f"Other sales of this id: {', '.join(found.others)}")


# What happened, for people.
WORDS = {
    "created": "created at Stripe",
    "received": "received",
    "kept": "not forwarded",
    "attempt": "delivery",
    "due": "delivery is due",
    "dead": "dead letter",
    "rejected": "rejected: success: false",
    "refunded": "refunded",
}


def _shown(sale: Sale) -> str:
    return output.clean(sale.reference or "none")


def detail_of(step: explaining.Step, sale: Sale) -> str:
    """Return what a step's detail is for people."""
    if step.what == "refunded":
        return f"{money(sale.refunded, sale.currency)} of {money(sale.amount, sale.currency)}"
    return output.KEPT.get(step.detail, step.detail) if step.what == "kept" else step.detail


def _print_codes(output_format: str) -> None:
    if output_format == "json":
        output.print_json([{"code": code, "meaning": text} for code, text in CODES.items()])
    else:
        output.print_table(("verdict", "meaning"), list(CODES.items()))


def _rebuild(output_format: str) -> None:
    quiet = output_format != "text"
    number = 0
    config = configured()
    with (
        opened(config, seconds=CHANGING) as database,
        output.progress("reading", quiet=quiet) as advance,
    ):
        ledger = Ledger(database, click_id=config.click_id_pattern)
        ledger.restart()
        while done := ledger.advance():
            number += done
            advance(number)
        ledger.release()
    if output_format == "json":
        output.print_json({"events": number})
    else:
        click.echo(f"{number} events were read again.")


def _as_json(sale: Sale) -> dict[str, Any]:
    row = sale._asdict()
    del row["month"]
    for name in ("created", "refunded_at"):
        row[name] = output.time_of(row[name])
    return row


def _print_csv(found: Sequence[Sale]) -> None:
    names = [name for name in Sale._fields if name != "month"]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_as_json(sale) for sale in found)
    click.echo(text.getvalue(), nl=False)


def _print_text(page: Page) -> None:
    if not page.sales:
        click.echo("No sale matches.")
        return
    rows = []
    for sale in page.sales:
        when = (output.time_of(sale.created) or "")[:16].replace("T", " ")
        amount = money(sale.amount, sale.currency)
        if sale.refunded:
            amount += f" (refunded {money(sale.refunded, sale.currency)})"
        cells = (when, sale.verdict, amount, sale.reference or "-", sale.payment_link or "-")
        rows.append([output.clean(cell) for cell in (*cells, sale.id)])
    output.print_table(
        ("time (UTC)", "verdict", "amount", "click id", "payment link", "sale"), rows
    )
    if page.cursor:
        click.echo(f"More: --after '{page.cursor}'")
