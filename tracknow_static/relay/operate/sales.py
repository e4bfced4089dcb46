"""``sales``: the ledger, listed and built anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import format_option
from tracknow_static.errors import SettingsError
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.cli import CHANGING, configured, opened
from tracknow_static.relay.operate.inspect import When, check_period
from tracknow_static.relay.operate.output import echo
from tracknow_static.relay.sales import verdicts
from tracknow_static.relay.sales.derive import Sale
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.sales.site import Site
from tracknow_static.relay.sales.verdicts import CODES, Wanted
from tracknow_static.tracknow import counted, money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracknow_static.account.key import ApiKey
    from tracknow_static.relay.config import RelayConfig


site_option = click.option(
    "--site",
    "place",
    metavar="URL-OR-PATH",
    help="Your site, or its tracknow.json: finds out why a sale has no click id, with a "
    "STRIPE_API_KEY that has Payment Links: Read. Default: TRACKNOW_RELAY_SITE.",
)


def site_of(config: RelayConfig, place: str | None) -> Site:
    """Return the merchant's site; the API key is read when a sale asks for it."""
    return Site(place or config.site, api_key)


def api_key() -> ApiKey:
    """Return the API key, for a command that works without one.

    Raises :class:`AccountError` or :class:`SettingsError`.
    """
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.stripe_api import key_of

    return key_of(RelayConfig.from_environ(needs_secrets=False))


def print_missing(site: Site) -> None:
    """Print what keeps the reasons coarse, if anything does."""
    if site.missing:
        echo(site.missing, err=True)


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


def sale_json(sale: Sale, reason: str = "") -> dict[str, Any]:
    """Return a sale for scripts; ``reason`` is added where there is one."""
    row = sale._asdict()
    del row["month"]
    if reason:
        row["reason"] = reason
    for name in ("created", "refunded_at"):
        row[name] = output.time_of(row[name])
    return row


def _print_csv(found: Sequence[Sale], reasons: Sequence[str]) -> None:
    names = [*(name for name in Sale._fields if name != "month"), "reason"]
    modes = {True: "true", False: "false", None: None}  # as in JSON
    rows = (
        {**sale_json(sale, reason), "livemode": modes[sale.livemode]}
        for sale, reason in zip(found, reasons, strict=True)
    )
    output.print_csv(names, rows)


def print_sales(found: Sequence[Sale], reasons: Sequence[str] = ()) -> None:
    """Print sales for people, one line each."""
    if not found:
        echo("No sale matches.")
        return
    rows = []
    for sale, reason in zip(found, reasons or [""] * len(found), strict=True):
        verdict = sale.verdict if reason in ("", sale.verdict) else f"{sale.verdict} ({reason})"
        amount = money(sale.amount, sale.currency)
        if sale.refunded:
            amount += f" (refunded {money(sale.refunded, sale.currency)})"
        cells = (
            output.moment(sale.created),
            verdict,
            amount,
            output.shortened(sale.reference or "-"),
            sale.payment_link or "-",
            sale.id,
        )
        rows.append(cells)
    output.print_table(
        ("time (UTC)", "verdict", "amount", "click id", "payment link", "sale"), rows
    )
