"""``mark-reversed``: take off the list what was reversed at Tracknow."""

from __future__ import annotations

import sys

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import format_option
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.cli import CHANGING, configured, opened
from tracknow_static.relay.operate.output import echo
from tracknow_static.relay.sales import refunds
from tracknow_static.tracknow import money


@click.command(
    epilog=exit_codes.epilog(exit_codes.FAILED, attention="an ID is not that of a refund")
)
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--undo", is_flag=True, help="Remove the marks: it was not reversed after all.")
@format_option()
def mark_reversed(ids: tuple[str, ...], undo: bool, output_format: str) -> None:
    """Mark refunds and disputes as reversed at Tracknow, by hand: `report --refunds` omits them.

    ID is a charge (ch_…) or a sale (cs_…) of that list. A mark counts for what went back until
    now: what goes back later is listed again, and so is a later dispute. Nothing is sent to
    Tracknow.
    """
    with opened(configured(), seconds=CHANGING) as database:
        marked = refunds.mark_reversed(database, ids, undo=undo)
    if output_format == "json":
        rows = [{**one._asdict(), "at": output.time_of(one.at)} for one in marked.refunds]
        output.print_json({"undo": undo, "refunds": rows, "unknown": marked.unknown})
    else:
        verb = "No longer marked as reversed" if undo else "Marked as reversed"
        for one in marked.refunds:
            amount = f"{money(one.refunded, one.currency)} of {money(one.amount, one.currency)}"
            what = "disputed" if one.verdict == "disputed" else amount
            echo(f"{verb}: {one.charge}, click id {one.reference}, {what}")
    for wanted in marked.unknown:
        echo(f"No refund or dispute has the id {wanted!r}.", err=True)
    if marked.unknown:
        sys.exit(exit_codes.ATTENTION)
