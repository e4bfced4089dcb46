"""How far the ledger has read, who reads, and a number that every write of the ledger changes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tracknow_static.relay.store.shared_state import Lease, SharedState

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Events are read again that far back: they are merged, and a clock may have been set back a little.
OVERLAP = 5.0


@dataclass(frozen=True, kw_only=True)
class State(Lease):
    """The ledger's state: every event received before ``at`` (Unix seconds) has been read.

    ``pattern`` is the one that the sales' click ids were compared with, empty for none.
    """

    at: float = 0.0
    pattern: str = ""


_shared = SharedState("sales", State)
load, store = _shared.load, _shared.store


def read_from(connection: Connection, now: float) -> None:
    """Take the ledger back to ``now`` if it is beyond: its clock was ahead, or is behind now.

    Whoever stores an event calls it in the same transaction, so that none is stored behind the
    ledger's back.
    """
    while (state := load(connection)) is not None and now < state.at - OVERLAP:
        if store(connection, state, replace(state, at=now)):
            return


def unread_since(connection: Connection) -> float:
    """Return the time from which payloads are still needed; infinite before the ledger began."""
    state = load(connection)
    return math.inf if state is None else math.nextafter(state.at, math.inf)
