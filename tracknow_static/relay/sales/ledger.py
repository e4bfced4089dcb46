"""Building the ledger from stored events: in batches, by one process at a time, in any order.

A batch is read and computed outside of any lock. Its one short transaction replaces the state that
it was computed from, or nothing: two processes that work at once, or one that dies anywhere, change
nothing but who does the work.

Events are read by the time at which they were stored, and no clock that is wrong, or was, hides
one. Whoever stores events at a time c sees the ledger's position p in the same transaction, and
takes it back if c is before p, less the overlap. So an event can only come to lie behind while a
batch is under way that started from p. The ledger reads again from p, and the overlap, after that
batch: then the event is there. SQLite has one writer, so that it was committed before the batch
was. On PostgreSQL its transaction may still be open, and as long as it is no later batch goes
beyond the time at which it began, which is c.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, insert, select, text, tuple_

from tracknow_static.relay import crash_points
from tracknow_static.relay.sales import forward
from tracknow_static.relay.sales.derive import Sale, derive, groups
from tracknow_static.relay.sales.joined import by_ids, closure
from tracknow_static.relay.sales.objects import Object, merge, read
from tracknow_static.relay.store import ledger_state as states
from tracknow_static.relay.store.facts import forget_reversed
from tracknow_static.relay.store.ledger_state import OVERLAP, State
from tracknow_static.relay.store.schema import events, parts, sale_objects, sales
from tracknow_static.tracknow import SALE_EVENT_TYPES

if TYPE_CHECKING:
    import re
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Connection, Table

    from tracknow_static.relay.store.database import Database

READ = crash_points.declare("ledger.read", "a batch is read and computed, nothing is written")
WRITTEN = crash_points.declare("ledger.written", "the batch is written, nothing is committed")
COMMITTED = crash_points.declare("ledger.committed", "the batch is durable, nobody knows")

BATCH = 500
# A batch takes a fraction of it. Who has not written for so long is taken for dead.
LEASE_SECONDS = 30.0
# For commands that end: what they leave is read later.
CATCH_UP_SECONDS = 20.0

_COLUMNS = [column for column in events.c if column.name not in ("content_type", "signature")]
# Seconds from when the oldest transaction began that may still store an event.
_OLDEST = text(
    "SELECT extract(epoch FROM coalesce(now() - min(xact_start), '0'))::float8"
    " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND (backend_xid IS NOT NULL OR application_name = current_setting('application_name'))"
)


class _Batch(NamedTuple):
    """What one transaction writes."""

    objects: list[Object]
    sales: list[Sale]
    # Ids of the sales that these replace.
    before: set[str]
    # The objects that were written, and all that are joined with them.
    group: Collection[Object] = ()


class Ledger:
    """Builds the ledger for one process; use it from one thread.

    ``click_id`` is the pattern that a click id must match as a whole. It counts from
    :meth:`begin` on, for every process that builds the same ledger.
    """

    def __init__(self, database: Database, *, click_id: re.Pattern[str] | None = None) -> None:
        self._database = database
        self._pattern = click_id.pattern if click_id else ""
        # Events that were read already, of those from `_since` on.
        self._recent: dict[str, float] = {}
        self._recent_until = 0.0

    def begin(self) -> None:
        """Read everything again if the sales were made with another pattern."""
        with self._database.read() as connection:
            state = states.load(connection)
        if state is not None and state.pattern != self._pattern:
            self.restart()

    def advance(self, *, limit: int = BATCH) -> int:
        """Read up to ``limit`` more events, and some again that are forwarded now; return how many.

        What waited for what was read is forwarded. 0 means that there are none, or that another
        process is at it. Raises ``StorageError``.
        """
        database = self._database
        with database.read() as connection:
            now = database.read_clock(connection)
            horizon = self._horizon(connection, now)
        with database.read() as connection:
            old = states.load(connection)
            if old is not None and self._is_anothers(connection, old, now):
                return 0
            state = old or State(pattern=self._pattern)
            found = self._next(connection, state, horizon, limit)
            again = states.to_read_again(connection, limit)
            if not (found or again) and old is not None:
                return 0
            ids = [*(event_id for event_id, _ in found), *again]
            batch = _batch(connection, self._read(connection, ids), state.click_id)
        crash_points.reach(READ)
        # An event may have a time in the future, from a clock that was wrong.
        at = min(max((received for _, received in found), default=0.0), now)
        if len(found) == limit:  # more may have come at that time
            at = math.nextafter(at, 0.0)
        new = replace(state, owner=database.identity, until=now + LEASE_SECONDS)
        if at > state.at:
            new = replace(new, at=at, since=state.at)

        def work(connection: Connection) -> bool:
            if not _write(connection, batch, old, new):
                return False
            states.was_read_again(connection, again)
            forward.follow(connection, database, batch.group, new.click_id)
            return True

        if not database.run(work):
            return 0
        crash_points.reach(COMMITTED)
        self._remember(found, new)
        return len(ids)

    def catch_up(self, seconds: float) -> None:
        """Read what there is, for at most so long."""
        until = time.monotonic() + seconds
        self.begin()
        while self.advance() and time.monotonic() < until:
            pass
        self.release()

    def _is_anothers(self, connection: Connection, state: State, now: float) -> bool:
        """Whether another process reads, or did and nothing is new since."""
        if state.owner in ("", self._database.identity):
            return False
        if state.is_anothers(self._database.identity, now, LEASE_SECONDS):
            return True
        newer = select(events.c.id).where(events.c.received_at > state.at).limit(1)
        if states.to_read_again(connection, 1):
            return False
        return now >= state.at - OVERLAP and connection.execute(newer).first() is None

    def release(self) -> None:
        """Let another process go on at once."""

        def work(connection: Connection) -> None:
            old = states.load(connection)
            if old is not None and old.owner == self._database.identity:
                states.store(connection, old, replace(old, owner="", until=0.0))

        self._database.run(work)

    def restart(self) -> None:
        """Go back to the first event: everything that is stored is read again, by this process."""

        def work(connection: Connection) -> bool:
            until = self._database.read_clock(connection) + LEASE_SECONDS
            new = State(owner=self._database.identity, until=until, pattern=self._pattern)
            return states.store(connection, states.load(connection), new)

        while not self._database.run(work):
            time.sleep(0.01)
        self._recent.clear()

    def is_busy(self, number: int) -> bool:
        """Whether at least ``number`` events were stored within the last second."""
        with self._database.read() as connection:
            now = self._database.read_clock(connection)
            latest = select(events.c.id).where(events.c.received_at > now - 1).limit(number)
            return len(connection.execute(latest).all()) >= number

    # -- reading ------------------------------------------------------------------------------

    def _horizon(self, connection: Connection, now: float) -> float:
        """Return the time until which no event is still being stored.

        SQLite has one writer, which reads the clock when it is its turn.
        """
        if self._database.backend == "sqlite":
            return float("inf")
        return now - max(0.0, float(connection.execute(_OLDEST).scalar_one()))

    def _next(
        self, connection: Connection, state: State, horizon: float, limit: int
    ) -> list[tuple[str, float]]:
        """Return ids and times of the next events that were not read yet."""
        if self._recent_until != state.at:
            self._recent.clear()
        statement = (
            select(events.c.id, events.c.received_at)
            .where(events.c.received_at >= _since(state))
            .order_by(events.c.received_at, events.c.id)
            .limit(limit + len(self._recent))
        )
        if horizon != float("inf"):
            statement = statement.where(events.c.received_at <= horizon)
        rows = connection.execute(statement).all()
        return [(row.id, row.received_at) for row in rows if row.id not in self._recent][:limit]

    def _remember(self, found: Sequence[tuple[str, float]], state: State) -> None:
        since = _since(state)
        self._recent.update(found)
        self._recent = {name: at for name, at in self._recent.items() if at >= since}
        self._recent_until = state.at

    def _read(self, connection: Connection, ids: Sequence[str]) -> list[Object]:
        objects: dict[str, Object] = {}
        for part in parts(ids):
            statement = select(*_COLUMNS).where(
                events.c.id.in_(part), events.c.type.in_(SALE_EVENT_TYPES)
            )
            for row in connection.execute(statement):
                shown = read(row)
                if shown is not None:
                    known = objects.get(shown.id)
                    objects[shown.id] = shown if known is None else merge(known, shown)
        return list(objects.values())


def _since(state: State) -> float:
    """Return the time from which events are read, most of them again."""
    return min(state.since, state.at) - OVERLAP


def _batch(
    connection: Connection, shown: Sequence[Object], click_id: re.Pattern[str] | None
) -> _Batch:
    known = by_ids(connection, [one.id for one in shown])
    seeds = {one.id: merge(known[one.id], one) if one.id in known else one for one in shown}
    stored = {**known}
    group = closure(connection, seeds, stored)
    derived = derive(group.values(), click_id=click_id)
    placed = [one._replace(sale=derived.belongs.get(one.id)) for one in group.values()]
    return _Batch(
        [one for one in placed if one != stored.get(one.id)],
        derived.sales,
        {one.sale for one in stored.values() if one.sale},
        placed,
    )


def forget(database: Database, *, days: float, dry_run: bool = False) -> int:
    """Remove what has had no event for that number of days, nor what it belongs to; return the sales.

    A customer whose subscription goes on keeps the session that it began with.
    """
    with database.read() as connection:
        before = database.read_clock(connection) - days * 86_400
    gone = 0
    after = (-(2**62), "")
    while True:
        with database.read() as connection:
            old = states.load(connection)
            page = connection.execute(
                select(sale_objects.c.seen, sale_objects.c.id)
                .where(
                    sale_objects.c.seen < before,
                    tuple_(sale_objects.c.seen, sale_objects.c.id) > tuple_(*after),
                )
                .order_by(sale_objects.c.seen, sale_objects.c.id)
                .limit(BATCH)
            ).all()
            if not page or old is None:
                return gone
            seeds = by_ids(connection, [row.id for row in page])
            found = groups(closure(connection, seeds, {}).values())
        old_ones = [one for group in found if _newest(group) < before for one in group]
        own = {one.sale for one in old_ones if one.sale}
        empty = _Batch([], [], own)
        ids = [one.id for one in old_ones]
        if not dry_run and ids:
            done = database.run(partial(_write, batch=empty, old=old, new=old, gone=ids))
            if not done:
                continue
        gone += len(own)
        after = (page[-1].seen, page[-1].id)


def _newest(group: Sequence[Object]) -> int:
    return max(max(one.seen, one.at) for one in group)


def _write(
    connection: Connection,
    batch: _Batch,
    old: State | None,
    new: State,
    gone: Collection[str] = (),
) -> bool:
    if not states.store(connection, old, new):
        return False
    _delete(connection, sale_objects, [*gone, *(one.id for one in batch.objects)])
    forget_reversed(connection, gone)
    if batch.objects:
        connection.execute(insert(sale_objects), [one._asdict() for one in batch.objects])
    _delete(connection, sales, {*batch.before, *(sale.id for sale in batch.sales)})
    if batch.sales:
        connection.execute(insert(sales), [sale._asdict() for sale in batch.sales])
    crash_points.reach(WRITTEN)
    return True


def _delete(connection: Connection, table: Table, ids: Iterable[str]) -> None:
    for part in parts(sorted(set(ids))):
        connection.execute(delete(table).where(table.c.id.in_(part)))
