"""Facts about the database: values under names, and states of tasks that one process at a time does."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from sqlalchemy import delete, select, text, update

from tracknow_static.relay.store.schema import facts, parts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

# When the database was made, in Unix seconds.
CREATED_AT = "created_at"
# When payloads were purged last, in Unix seconds.
PURGED_AT = "purged_at"
# How facts about a charge begin that a person has reversed: the amount that had gone back, and
# when it was disputed last, in Unix seconds.
REVERSED, REVERSED_DISPUTE = "reversed:", "reversed-dispute:"
ADD_FACT = text("INSERT INTO facts (name, value) VALUES (:name, :value) ON CONFLICT DO NOTHING")
_NOTE_FACT = text(
    "INSERT INTO facts (name, value) VALUES (:name, :value)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)


def note_fact(connection: Connection, name: str, value: str) -> None:
    """Store a fact about the database itself, in the caller's transaction."""
    connection.execute(_NOTE_FACT, {"name": name, "value": value})


def forget_reversed(connection: Connection, charges: Iterable[str]) -> None:
    """Remove what is noted of charges that were reversed, in the caller's transaction."""
    names = [name + charge for charge in charges for name in (REVERSED, REVERSED_DISPUTE)]
    for part in parts(names):
        connection.execute(delete(facts).where(facts.c.name.in_(part)))


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who does the task: ``owner`` until ``until`` (Unix seconds) unless it stops.

    Every write changes ``serial``.
    """

    serial: int = 0
    owner: str = ""
    until: float = 0.0

    def is_anothers(self, identity: str, now: float, seconds: float) -> bool:
        """Whether another process than ``identity`` has a lease, which is of ``seconds``."""
        # What is further ahead was written under a clock that was wrong.
        return self.owner not in ("", identity) and now < self.until <= now + seconds


_State = TypeVar("_State", bound=Lease)


class SharedState(Generic[_State]):
    """One state in the database, under a name among its facts."""

    def __init__(self, name: str, kind: type[_State]) -> None:
        self._name = name
        self._kind = kind

    def load(self, connection: Connection, *, lock: bool = False) -> _State | None:
        """Return the state, None when the task has not begun; ``lock`` it for the transaction."""
        statement = select(facts.c.value).where(facts.c.name == self._name)
        if lock:
            statement = statement.with_for_update()
        value = connection.execute(statement).scalar()
        return None if value is None else self._kind(**json.loads(value))

    def store(self, connection: Connection, old: _State | None, new: _State) -> bool:
        """Replace the state, in the caller's transaction; False if another one did meanwhile.

        Who gets False has computed from what is no longer there, and must roll back.
        """
        value = json.dumps(asdict(replace(new, serial=old.serial + 1 if old else 1)))
        if old is None:
            row = {"name": self._name, "value": value}
            return bool(connection.execute(ADD_FACT, row).rowcount)
        if self.load(connection, lock=True) != old:
            return False
        statement = update(facts).where(facts.c.name == self._name).values(value=value)
        connection.execute(statement)
        return True
