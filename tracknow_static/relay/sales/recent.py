"""Whether click ids have stopped to arrive, from the latest sales alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from tracknow_static.relay.store.schema import sales

if TYPE_CHECKING:
    from sqlalchemy import Connection

# A sale that carries a click id has one of these verdicts, whatever became of its deliveries.
_WITH = ("attributed", "waiting", "refunded", "partly-refunded", "disputed")
_WITHOUT = ("no-click-id", "not-a-click-id")
# Rows that are looked at for each purchase wanted: renewals lie between them.
_LOOK = 20


def without_click_id(connection: Connection, number: int) -> int | None:
    """Return since when sales carry no click id, if the last ``number`` carry none.

    In Unix seconds; None if one carries it, if there are fewer sales, or if no earlier one carried
    one. A renewal is left out: it shows nothing about the site of today.
    """
    latest = (
        select(sales.c.verdict, sales.c.created, sales.c.mode, sales.c.renews)
        .order_by(sales.c.created.desc(), sales.c.id.desc())
        .limit(number * _LOOK)
    )
    seen: list[int] = []
    for row in connection.execute(latest):
        # Only a Checkout Session has a mode of its own.
        if row.mode is None or row.renews is not None:
            continue
        if row.verdict in _WITH:
            return None
        if row.verdict in _WITHOUT:
            seen.append(row.created)
            if len(seen) == number:
                break
    if not number or len(seen) < number:
        return None
    earlier = select(sales.c.id).where(sales.c.verdict.in_(_WITH)).limit(1)
    return seen[-1] if connection.execute(earlier).first() else None
