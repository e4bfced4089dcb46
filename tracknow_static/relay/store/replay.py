"""Replaying: making deliveries due again, whatever became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text, tuple_, update

from tracknow_static.relay.store import filters
from tracknow_static.relay.store.events import add_delivery
from tracknow_static.relay.store.model import PENDING, Replayed
from tracknow_static.relay.store.schema import CHANNEL, deliveries, events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection

    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import Filter

# Events in one transaction: short enough that commits of new events hardly wait.
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
    none; an event that was kept and not forwarded goes to the database's destinations.
    ``progress`` is called with the number of events done.
    """
    plan = _Plan(database, wanted, rate, destinations, write=not dry_run)
    done = _Count()
    for rows in _chunks(database, wanted):
        if dry_run:
            with database.read() as connection:
                done = plan.apply(connection, rows, done)
        else:
            done = _replay_chunk(database, plan, rows, done)
        if progress is not None:
            progress(done.events)
    return done.result()


class _Count:
    """Running totals of a replay."""

    def __init__(self, events: int = 0, made_due: int = 0) -> None:
        self.events = events
        self.made_due = made_due
        self.purged = self.thin = self.in_flight = self.unconfigured = 0

    def copy(self) -> _Count:
        other = _Count(self.events, self.made_due)
        other.purged, other.thin, other.in_flight = self.purged, self.thin, self.in_flight
        other.unconfigured = self.unconfigured
        return other

    def result(self) -> Replayed:
        return Replayed(
            events=self.events,
            deliveries=self.made_due,
            purged=self.purged,
            thin=self.thin,
            in_flight=self.in_flight,
            unconfigured=self.unconfigured,
        )


def _chunks(database: Database, wanted: Filter) -> Iterator[Sequence[Any]]:
    """Yield the events that are wanted, oldest first."""
    # What arrives, or is delivered again, during the replay must not be met a second time.
    with database.read() as connection:
        until = database.read_clock(connection)
        statement = (
            filters.restrict(
                select(events.c.id, events.c.received_at, events.c.kept_because), wanted
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


def _replay_chunk(database: Database, plan: _Plan, rows: Sequence[Any], done: _Count) -> _Count:
    def work(connection: Connection) -> _Count:
        count = plan.apply(connection, rows, done)
        if database.backend == "postgresql":
            connection.execute(text(f"NOTIFY {CHANNEL}"))
        return count

    return database.run(work)


class _Plan:
    """What a replay is to do with each event; with ``write`` it is done."""

    def __init__(
        self,
        database: Database,
        wanted: Filter,
        rate: float,
        destinations: Sequence[str],
        *,
        write: bool,
    ) -> None:
        self._database = database
        self._wanted = wanted
        self._rate = rate
        self._destinations = destinations
        self._write = write

    def apply(self, connection: Connection, rows: Sequence[Any], done: _Count) -> _Count:
        """Decide for each event what is made due; return the new totals."""
        count = done.copy()
        now = self._database.now()
        ids = [row.id for row in rows]
        whole = self._whole(connection, ids)
        deliveries_of = self._deliveries(connection, ids, now)
        for row in rows:
            count.events += 1
            if row.kept_because == "thin":
                count.thin += 1
                continue
            if row.id not in whole:
                count.purged += 1
                continue
            own = deliveries_of.get(row.id, {})
            for url in self._urls(own):
                delivery = own.get(url)
                if not self._is_delivered_to(url):
                    count.unconfigured += 1
                    continue
                if delivery is not None and delivery.leased:
                    count.in_flight += 1
                    continue
                due = now + (count.made_due / self._rate if self._rate else 0.0)
                count.made_due += 1
                if self._write:
                    _make_due(connection, self._database, row.id, url, due, is_new=delivery is None)
            if self._write and row.kept_because is not None:
                connection.execute(
                    update(events).where(events.c.id == row.id).values(kept_because=None)
                )
        return count

    def _is_delivered_to(self, url: str) -> bool:
        return url in self._destinations or url in self._database.destinations

    def _urls(self, own: dict[str, Any]) -> Sequence[str]:
        if self._destinations:
            return self._destinations
        if filters.means_deliveries(self._wanted):
            # None is left where somebody settled it, or made it due, since the event was found.
            return tuple(own)
        return tuple(own) or self._database.destinations

    def _whole(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        """Return the events whose payload is there, and keep a purge from removing it meanwhile."""
        statement = (
            select(events.c.id)
            .where(events.c.id.in_(ids), events.c.payload.is_not(None))
            .order_by(events.c.id)
        )
        if self._write:
            statement = statement.with_for_update()
        return set(connection.execute(statement).scalars())

    def _deliveries(
        self, connection: Connection, ids: Sequence[str], now: ColumnElement[float]
    ) -> dict[str, dict[str, Any]]:
        """Return the deliveries that may be made due, by event and destination."""
        leased = (
            (deliveries.c.state == PENDING)
            & deliveries.c.claimed_at.is_not(None)
            & (deliveries.c.due_at > now)
        )
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
        if not self._destinations:
            statement = filters.narrow(statement, self._wanted)
        if self._write:
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
    # A token above 0 tells a due time that was chosen from one that a wrong clock wrote.
    if is_new:
        # Stored like a new one and changed below; another replay may have been faster.
        add_delivery(connection, event_id, url, database.read_clock(connection))
    connection.execute(
        update(deliveries)
        .where(deliveries.c.event_id == event_id, deliveries.c.destination == url)
        .values(
            state=PENDING,
            due_at=due,
            claimed_at=None,
            token=deliveries.c.token + 1,
            attempts=0,
            tries=0,
            last_error=None,
            last_status=None,
            # It waits from then on: a replay that is spread over hours is no delivery that stalls.
            accepted_at=due,
            settled_at=None,
        )
    )
