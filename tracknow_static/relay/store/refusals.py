"""Calls of the webhook that are refused in a row: since when, by reason, and until when not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from tracknow_static.relay.store.facts import note_fact
from tracknow_static.relay.store.model import WEBHOOK
from tracknow_static.relay.store.schema import events, facts, tallies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

# How the names of counters of refused calls begin.
_REFUSED = "refused:"
# Newest events among which one is looked for that Stripe pushed.
_MOST = 1000


def accepted_at(connection: Connection) -> float | None:
    """Return when Stripe's last call was accepted, a duplicate too; None if no late one was."""
    latest = (
        select(events.c.received_at, events.c.source)
        .order_by(events.c.received_at.desc(), events.c.id.desc())
        .limit(_MOST)
        .subquery()
    )
    pushed = select(func.max(latest.c.received_at)).where(latest.c.source == WEBHOOK)
    repeated = select(func.max(tallies.c.updated_at)).where(tallies.c.name == "duplicate")
    times = [connection.execute(statement).scalar() for statement in (pushed, repeated)]
    return max((at for at in times if at is not None), default=None)


def note_refusals(connection: Connection, names: Iterable[str], now: float) -> None:
    """Note for counters that are counted now when calls began to be refused in a row."""
    for name in names:
        if name.startswith(_REFUSED):
            began = connection.execute(select(facts.c.value).where(facts.c.name == name)).scalar()
            if began is None or float(began) <= (accepted_at(connection) or 0.0):
                note_fact(connection, name, str(now))


def refused(connection: Connection) -> dict[str, tuple[float, float]]:
    """Return, by reason, when calls of the webhook began to be refused, and were refused last."""
    statement = (
        select(tallies.c.name, func.max(tallies.c.updated_at).label("last"), facts.c.value)
        .join(facts, facts.c.name == tallies.c.name)
        .where(tallies.c.name.startswith(_REFUSED))
        .group_by(tallies.c.name, facts.c.value)
    )
    return {
        row.name.removeprefix(_REFUSED): (float(row.value), row.last)
        for row in connection.execute(statement)
    }
