"""What people and scripts see of sales. The keys of the JSON are stable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.output import echo
from tracknow_static.tracknow import money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracknow_static.relay.sales.derive import Sale


def sale_json(sale: Sale, reason: str = "") -> dict[str, Any]:
    """Return a sale for scripts; ``reason`` is added where there is one."""
    row = sale._asdict()
    del row["month"]
    if reason:
        row["reason"] = reason
    for name in ("created", "refunded_at"):
        row[name] = output.time_of(row[name])
    return row


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
