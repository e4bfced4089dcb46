"""``explain``: the story of one sale."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import format_option
from tracknow_static.errors import TracknowError
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.cli import configured, opened
from tracknow_static.relay.operate.options import api_key, print_missing, site_of, site_option
from tracknow_static.relay.operate.output import echo
from tracknow_static.relay.operate.sale_output import sale_json
from tracknow_static.relay.operate.words import WORDS, detail_of
from tracknow_static.relay.sales import explain as explaining
from tracknow_static.relay.sales import verdicts
from tracknow_static.relay.sales.verdicts import CODES
from tracknow_static.tracknow import money

if TYPE_CHECKING:
    from tracknow_static.relay.config import RelayConfig


@click.command(
    epilog=exit_codes.epilog(exit_codes.FAILED, attention="the ledger has no sale for this id")
)
@click.argument("wanted", metavar="ID")
@site_option
@format_option()
def explain(wanted: str, place: str | None, output_format: str) -> None:
    """Print the story of one sale, in order, and its verdict.

    ID is that of a session, charge, payment intent, invoice, dispute, event or customer, or a
    click id. If it leads to several sales, the newest one is explained and the others are named.
    """
    config = configured()
    with opened(config) as database:
        found = explaining.explain(database, wanted)
        unfinished = verdicts.unfinished(database, config.click_id_pattern)
    if unfinished and output_format != "json":
        echo(unfinished, err=True)
    if found is None:
        found = _at_stripe(config, wanted)
    if found is None:
        echo(f"Error: the ledger has no sale for {wanted!r}.", err=True)
        sys.exit(exit_codes.ATTENTION)
    site = site_of(config, place)
    why = site.reason(found.sale)
    code = why.code if why else found.reason
    if output_format == "json":
        evidence = [{**step._asdict(), "at": output.time_of(step.at)} for step in found.story]
        output.print_json(
            {
                "verdict": found.sale.verdict,
                "reason": code,
                "pages": why.pages if why else (),
                "sale": sale_json(found.sale),
                "evidence": evidence,
                "others": found.others,
                "complete": not unfinished,
                "missing": site.missing or None,
            }
        )
    else:
        _print(found, code, str(why or found.help))
        print_missing(site)


def _print(found: explaining.Explanation, code: str, more: str) -> None:
    """Print the story and the verdict; ``code`` is the finer reason, ``more`` is about it."""
    sale = found.sale
    click_id = sale.reference or "none"
    echo(f"{sale.id}  {money(sale.amount, sale.currency)}  click id: {click_id}")
    click.echo()
    rows = [
        [output.moment(step.at, "seconds"), WORDS[step.what], step.id, detail_of(step, sale)]
        for step in found.story
    ]
    output.print_table(("time (UTC)", "what", "id", "details"), rows)
    click.echo()
    reason = "" if code == sale.verdict else f" ({code})"
    verdict = click.style(sale.verdict, bold=True)
    click.echo(f"{verdict}{reason}: {CODES[sale.verdict]}")
    if more:
        echo(more)
    if found.others:
        echo(f"Other sales of this id: {', '.join(found.others)}")


def _at_stripe(config: RelayConfig, wanted: str) -> explaining.Explanation | None:
    """Return what is known of a sale that Stripe has and the relay never received."""
    # The id becomes part of a URL.
    if not re.fullmatch(r"(cs|ch|py)_[A-Za-z0-9_]{1,250}", wanted):
        return None
    from tracknow_static.relay.backfill.listing import Lists
    from tracknow_static.relay.backfill.sessions import look_up

    try:
        sale = look_up(Lists(api_key(), config), wanted)
    except TracknowError as error:
        echo(f"Whether Stripe has it is unknown. {error}", err=True)
        return None
    if sale is None:
        return None
    created = explaining.Step(sale.created, "created", sale.id)
    return explaining.Explanation(sale, sale.verdict, (created,), ())
