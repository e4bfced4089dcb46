"""How far the ledger has read, who reads, and a number that every write of the ledger changes."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from tracknow_static.relay.store.migrations import ADD_FACT
from tracknow_static.relay.store.schema import facts

if TYPE_CHECKING:
    from sqlalchemy import Connection

_NAME = "sales"
# Events are read again that far back: they are merged, and a clock may have been set back a little.
OVERLAP = 5.0


@dataclass(frozen=True)
class State:
    """The ledger's state; ``owner`` reads until ``until`` unless it stops.

    Every event received before ``at`` (Unix seconds) has been read. ``pattern`` is the one that the
    sales' click ids were compared with, empty for none.
    """

    at: float = 0.0
    serial: int = 0
    owner: str = ""
    until: float = 0.0
    pattern: str = ""


def load(connection: Connection) -> State | None:
    """Return the state, None when the ledger has not begun."""
    value = connection.execute(select(facts.c.value).where(facts.c.name == _NAME)).scalar()
    return None if value is None else State(**json.loads(value))


def store(connection: Connection, old: State | None, new: State) -> bool:
    """Replace the state, in the caller's transaction; False if another one did meanwhile.

    Who gets False has computed from what is no longer there, and must roll back.
    """
    value = json.dumps(asdict(replace(new, serial=old.serial + 1 if old else 1)))
    if old is None:
        return bool(connection.execute(ADD_FACT, {"name": _NAME, "value": value}).rowcount)
    before = select(facts.c.value).where(facts.c.name == _NAME).with_for_update()
    found = connection.execute(before).scalar()
    if found is None or State(**json.loads(found)) != old:
        return False
    statement = update(facts).where(facts.c.name == _NAME).values(value=value)
    connection.execute(statement)
    return True


def unread_since(connection: Connection) -> float:
    """Return the time from which payloads are still needed; infinite before the ledger began."""
    state = load(connection)
    return math.inf if state is None else math.nextafter(state.at, math.inf)
