"""What the ledger's tests share: building it, and looking at what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.store.schema import sale_objects, sales

if TYPE_CHECKING:
    from tracknow_static.relay.store.database import Database


def contents(database: Database) -> tuple[list[Any], list[Any]]:
    """All rows of the ledger."""
    with database.read() as connection:
        return (
            [tuple(row) for row in connection.execute(select(sale_objects).order_by("id"))],
            [tuple(row) for row in connection.execute(select(sales).order_by("id"))],
        )


def summary(database: Database) -> dict[str, tuple[str, int, str | None]]:
    """Verdict, refunded amount and renewed session of each sale."""
    with database.read() as connection:
        rows = connection.execute(select(sales)).all()
    return {row.id: (row.verdict, row.refunded, row.renews) for row in rows}


def build(database: Database, *, limit: int = 500) -> int:
    """Read everything there is; return the number of events."""
    ledger, number = Ledger(database), 0
    while done := ledger.advance(limit=limit):
        number += done
    ledger.release()
    return number
