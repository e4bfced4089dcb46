"""Replaying and retiring: making deliveries due again, where they were meant to go or elsewhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, false, func, select, tuple_, update

from tracknow_static.relay.store import filters, ledger_state
from tracknow_static.relay.store.events import add_delivery
from tracknow_static.relay.store.model import (
    PENDING,
    UNATTRIBUTED,
    WAITING,
    WEBHOOK,
    Replayed,
    Retired,
)
from tracknow_static.relay.store.schema import (
    attempts,
    deliveries,
    events,
    is_dead,
    is_leased,
    is_pending,
    is_rejected,
    notify,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection

    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import Filter

# Events or deliveries in one transaction: short enough that commits of new events hardly wait.
_CHUNK = 200


def replay(
    database: Database,
    wanted: Filter,
    *,
    rate: float = 0.0,
    destinations: Sequence[str] = (),
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Make deliveries due again, oldest event first, with a fresh schedule of retries.

    ``rate`` spreads them over time, in deliveries a second (0: all at once). ``destinations`` get
    every event that is wanted, also one that was never meant for them. Without them its own
    deliveries are meant: those that the filter names by state or destination, or all if it names
    none; an event that was kept and not forwarded goes to the database's destinations, one whose
    sale carries no click id only if the filter names its id or this reason.
    ``progress`` is called with the number of events done.
    """
    plan = _Plan(database, wanted, rate, destinations, write=not dry_run)
    done: Counter[str] = Counter()
    for rows in _chunks(database, wanted):
        if dry_run:
            with database.read() as connection:
                done = plan.apply(connection, rows, done)
        else:
            done = _replay_chunk(database, plan, rows, done)
        if progress is not None:
            progress(done["events"])
    return Replayed(**{each.name: done[each.name] for each in fields(Replayed)})


def _chunks(database: Database, wanted: Filter) -> Iterator[Sequence[Any]]:
    """Yield the events that are wanted, oldest first."""
    # What arrives, or is delivered again, during the replay must not be met a second time.
    with database.read() as connection:
        until = database.read_clock(connection)
        statement = (
            filters.restrict(
                select(
                    events.c.id, events.c.received_at, events.c.skipped_because, events.c.source
                ),
                wanted,
            )
            .where(events.c.received_at <= until)
            .order_by(events.c.received_at, events.c.id)
        )
        if filters.starts_from_deliveries(wanted):
            # All at once: the database would look for all of them again for each chunk.
            rows = connection.execute(statement).all()
            yield from (rows[at : at + _CHUNK] for at in range(0, len(rows), _CHUNK))
            return
    after: Any = (-1.0, "")
    place = tuple_(events.c.received_at, events.c.id)
    while after is not None:
        with database.read() as connection:
            rows = connection.execute(statement.where(place > tuple_(*after)).limit(_CHUNK)).all()
        after = (rows[-1].received_at, rows[-1].id) if rows else None
        if rows:
            yield rows


def _replay_chunk(
    database: Database, plan: _Plan, rows: Sequence[Any], done: Counter[str]
) -> Counter[str]:
    def work(connection: Connection) -> Counter[str]:
        count = plan.apply(connection, rows, done)
        notify(connection)
        return count

    return database.run(work)


@dataclass(frozen=True)
class _Plan:
    """What a replay is to do with each event; with ``write`` it is done."""

    database: Database
    wanted: Filter
    rate: float
    destinations: Sequence[str]
    write: bool

    def apply(
        self, connection: Connection, rows: Sequence[Any], done: Counter[str]
    ) -> Counter[str]:
        """Decide for each event what is made due; return the new totals."""
        count = done.copy()
        now = self.database.now()
        ids = [row.id for row in rows]
        whole = self._whole(connection, ids)
        deliveries_of = self._deliveries(connection, ids, now)
        for row in rows:
            count["events"] += 1
            if row.skipped_because == "thin":
                count["thin"] += 1
                continue
            if row.skipped_because in (WAITING, UNATTRIBUTED) and not self._is_named:
                count["unattributed"] += 1
                continue
            if row.id not in whole:
                count["purged"] += 1
                continue
            own = deliveries_of.get(row.id, {})
            before = count["deliveries"]
            for url in self._urls(own):
                delivery = own.get(url)
                if row.source != WEBHOOK and url in self.database.signed:
                    count["unsigned"] += 1
                    continue
                if not self._is_delivered_to(url):
                    count["unconfigured"] += 1
                    continue
                if delivery is not None and delivery.leased:
                    count["in_flight"] += 1
                    continue
                due = now + (count["deliveries"] / self.rate if self.rate else 0.0)
                count["deliveries"] += 1
                if self.write:
                    _make_due(connection, self.database, row.id, url, due, is_new=delivery is None)
            if self.write and row.skipped_because is not None and count["deliveries"] > before:
                connection.execute(
                    update(events).where(events.c.id == row.id).values(skipped_because=None)
                )
                ledger_state.read_again(connection, [row.id])
        return count

    @property
    def _is_named(self) -> bool:
        """Whether somebody who has no click id is meant: not by a state or a time alone."""
        return bool(self.wanted.ids) or self.wanted.skipped_because in (WAITING, UNATTRIBUTED)

    def _is_delivered_to(self, url: str) -> bool:
        return url in self.destinations or url in self.database.destinations

    def _urls(self, own: dict[str, Any]) -> Sequence[str]:
        if self.destinations:
            return self.destinations
        if filters.means_deliveries(self.wanted):
            # None is left where somebody settled it, or made it due, since the event was found.
            return tuple(own)
        return tuple(own) or self.database.destinations

    def _whole(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        """Return the events whose payload is there, and keep a purge from removing it meanwhile."""
        statement = (
            select(events.c.id)
            .where(events.c.id.in_(ids), events.c.payload.is_not(None))
            .order_by(events.c.id)
        )
        if self.write:
            statement = statement.with_for_update()
        return set(connection.execute(statement).scalars())

    def _deliveries(
        self, connection: Connection, ids: Sequence[str], now: ColumnElement[float]
    ) -> dict[str, dict[str, Any]]:
        """Return the deliveries that may be made due, by event and destination."""
        leased = (deliveries.c.state == PENDING) & is_leased(now)
        statement = (
            select(
                deliveries.c.id,
                deliveries.c.event_id,
                deliveries.c.destination,
                leased.label("leased"),
            )
            .where(deliveries.c.event_id.in_(ids))
            .order_by(deliveries.c.id)
        )
        if not self.destinations:
            statement = filters.narrow(statement, self.wanted)
        if self.write:
            statement = statement.with_for_update()
        found: dict[str, dict[str, Any]] = {}
        for row in connection.execute(statement):
            found.setdefault(row.event_id, {})[row.destination] = row
        return found


def _make_due(
    connection: Connection,
    database: Database,
    event_id: str,
    url: str,
    due: ColumnElement[float],
    *,
    is_new: bool,
) -> None:
    if is_new:
        # Stored like a new one and changed below; another replay may have been faster.
        add_delivery(connection, event_id, url, database.read_clock(connection))
    connection.execute(
        update(deliveries)
        .where(deliveries.c.event_id == event_id, deliveries.c.destination == url)
        .values(_anew(due))
    )


def _anew(due: ColumnElement[float]) -> dict[str, Any]:
    """Return the values of a delivery that starts anew, with a fresh schedule of retries."""
    return {
        "state": PENDING,
        "due_at": due,
        "claimed_at": None,
        # A token above 0 shows that the due time was chosen, not written by a wrong clock.
        "token": deliveries.c.token + 1,
        "attempts": 0,
        "tries": 0,
        "last_error": None,
        "last_status": None,
        # It waits from then on: a replay that is spread over hours is no delivery that stalls.
        "accepted_at": due,
        "settled_at": None,
    }


def retire(
    database: Database,
    url: str,
    *,
    to: str | None = None,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Retired:
    """Move what ``url`` did not accept to the destination ``to``; without it, give it up.

    Dead letters and rejected deliveries are included. Moved ones are due at once, with a fresh
    schedule of retries. Those are given up whose payload was purged, whose event has a delivery to
    ``to`` already, or which ``to`` does not get since they have no signature. What is leased is
    left alone. ``progress`` is called with the number done.
    """
    moved = given_up = 0
    for state in (is_pending, is_rejected, is_dead):
        if dry_run:
            with database.read() as connection:
                free = _free(database, url, state)
                movable = _count(connection, *free, *_movable(database, to))
                given_up += _count(connection, *free) - movable
            moved += movable
            continue
        while chunk := database.run(partial(_retire_chunk, database, url, state, to)):
            moved += sum(chunk.values())
            given_up += len(chunk) - sum(chunk.values())
            if progress is not None:
                progress(moved + given_up)
    with database.read() as connection:
        leased = is_leased(database.now())
        in_flight = _count(connection, deliveries.c.destination == url, is_pending, leased)
    return Retired(moved, given_up, in_flight)


def _free(
    database: Database, url: str, state: ColumnElement[bool]
) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a destination's deliveries in a state that nobody has leased."""
    return deliveries.c.destination == url, state, ~is_leased(database.now())


def _movable(database: Database, to: str | None) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of deliveries that ``to`` can get."""
    if to is None:
        return (false(),)
    there = deliveries.alias("there")
    sendable = [events.c.id == deliveries.c.event_id, events.c.payload.is_not(None)]
    if to in database.signed:
        sendable.append(events.c.source == WEBHOOK)
    is_sendable = select(events.c.id).where(*sendable).correlate(deliveries).exists()
    is_there = (
        select(there.c.id)
        .where(there.c.event_id == deliveries.c.event_id, there.c.destination == to)
        .correlate(deliveries)
        .exists()
    )
    return is_sendable, ~is_there


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    statement = select(func.count()).select_from(deliveries).where(*conditions)
    return int(connection.execute(statement).scalar_one())


def _retire_chunk(
    database: Database,
    url: str,
    state: ColumnElement[bool],
    to: str | None,
    connection: Connection,
) -> dict[int, bool]:
    """Retire some deliveries; return for each of their ids whether it was moved."""
    statement = select(deliveries.c.id).where(*_free(database, url, state)).limit(_CHUNK)
    ids = connection.execute(statement.with_for_update(skip_locked=True)).scalars().all()
    chosen = select(deliveries.c.id).where(deliveries.c.id.in_(ids), *_movable(database, to))
    movable = set(connection.execute(chosen).scalars())
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(movable))
        .values(_anew(database.now()) | {"destination": to or url})
    )
    rest = set(ids) - movable
    connection.execute(delete(attempts).where(attempts.c.delivery_id.in_(rest)))
    connection.execute(delete(deliveries).where(deliveries.c.id.in_(rest)))
    notify(connection)
    return {delivery_id: delivery_id in movable for delivery_id in ids}
