"""``sales``: the ledger, listed and built anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import format_option
from tracknow_static.errors import SettingsError
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.cli import CHANGING, configured, opened
from tracknow_static.relay.operate.options import (
    When,
    check_period,
    print_missing,
    site_of,
    site_option,
)
from tracknow_static.relay.operate.output import echo
from tracknow_static.relay.operate.sale_output import print_sales, sale_json
from tracknow_static.relay.sales import verdicts
from tracknow_static.relay.sales.derive import Sale
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.sales.verdicts import CODES, Wanted
from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracknow_static.relay.sales.site import Site


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
@site_option
@format_option("csv")
def sales(
    chosen: tuple[str, ...],
    place: str | None,
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
    check_period(given["since"], given["until"])
    config = configured()
    with opened(config) as database:
        try:
            wanted = Wanted(verdicts=chosen, **given)
            page = verdicts.find(database, wanted, limit=limit, cursor=cursor)
        except UnicodeEncodeError:
            raise
        except ValueError as error:
            raise SettingsError([f"--after: {error}"]) from None
        unfinished = verdicts.unfinished(database, config.click_id_pattern)
    site = site_of(config, place)
    reasons = [_reason(sale, site) for sale in page.sales]
    if output_format == "json":
        rows = [sale_json(sale, reason) for sale, reason in zip(page.sales, reasons, strict=True)]
        output.print_json(
            {
                "sales": rows,
                "next": page.cursor,
                "complete": not unfinished,
                "missing": site.missing or None,
            }
        )
        return
    if output_format == "csv":
        _print_csv(page.sales, reasons)
    else:
        print_sales(page.sales, reasons)
        if page.cursor:
            echo(f"More: --after '{page.cursor}'")
    if "not-received" in chosen:
        text = "Sales that this relay never received: `tracknow-relay backfill --sessions`."
        echo(text, err=True)
    if unfinished:
        echo(unfinished, err=True)
    print_missing(site)


def _reason(sale: Sale, site: Site) -> str:
    """Return the finer code of a sale without a click id; else the verdict itself."""
    reason = site.reason(sale)
    return reason.code if reason else sale.verdict


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
        echo(f"{counted(number, 'event was', 'events were')} read again.")


def _print_csv(found: Sequence[Sale], reasons: Sequence[str]) -> None:
    names = [*(name for name in Sale._fields if name != "month"), "reason"]
    modes = {True: "true", False: "false", None: None}  # as in JSON
    rows = (
        {**sale_json(sale, reason), "livemode": modes[sale.livemode]}
        for sale, reason in zip(found, reasons, strict=True)
    )
    output.print_csv(names, rows)
