"""How far the ledger has read, who reads, and a number that every write of the ledger changes."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from tracknow_static.relay.store.facts import ADD_FACT, Lease, SharedState
from tracknow_static.relay.store.schema import facts, parts

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

# A clock may be set back that far without anybody's notice.
OVERLAP = 5.0
# How facts are called that name an event to read again, and the first name behind them.
_AGAIN, _AFTER_AGAIN = "again:", "again;"


@dataclass(frozen=True, kw_only=True)
class State(Lease):
    """The ledger's state: every event received before ``at`` (Unix seconds) has been read.

    ``since`` is what ``at`` was before it last grew. ``pattern`` is the one that the sales' click
    ids were compared with, empty for none.
    """

    at: float = 0.0
    since: float = math.inf
    pattern: str = ""

    @property
    def click_id(self) -> re.Pattern[str] | None:
        """The pattern, ready for use."""
        return re.compile(self.pattern) if self.pattern else None


_shared = SharedState("sales", State)
# The state as stored, for whoever stores events.
STATE = "SELECT value FROM facts WHERE name = 'sales'"
load, store = _shared.load, _shared.store


def take_back(connection: Connection, stored: str | None, now: float) -> None:
    """Take the ledger back to ``now`` if it is beyond: its clock was ahead, or is behind now.

    Whoever stores events at ``now`` calls it in the same transaction. ``stored`` is what ``STATE``
    brought there, as a part of another statement: a statement of its own would cost 26 µs.
    """
    if stored is None or now >= json.loads(stored).get("at", 0.0) - OVERLAP:
        return
    while (state := load(connection)) is not None and now < state.at - OVERLAP:
        if store(connection, state, replace(state, at=now, since=min(now, state.since))):
            return


def read_again(connection: Connection, ids: Collection[str]) -> None:
    """Have events read again that are forwarded now, in the caller's transaction."""
    for event_id in ids:
        connection.execute(ADD_FACT, {"name": _AGAIN + event_id, "value": ""})


def to_read_again(connection: Connection, limit: int) -> list[str]:
    """Return ids of events that are to be read again."""
    statement = (
        select(facts.c.name)
        .where(facts.c.name >= _AGAIN, facts.c.name < _AFTER_AGAIN)
        .order_by(facts.c.name)
        .limit(limit)
    )
    return [name.removeprefix(_AGAIN) for name in connection.execute(statement).scalars()]


def was_read_again(connection: Connection, ids: Collection[str]) -> None:
    """Take note that events were read again, in the caller's transaction."""
    for part in parts([_AGAIN + event_id for event_id in ids]):
        connection.execute(delete(facts).where(facts.c.name.in_(part)))


def unread_since(connection: Connection) -> float:
    """Return the time from which payloads are still needed; infinite before the ledger began."""
    state = load(connection)
    return math.inf if state is None else math.nextafter(state.at, math.inf)
