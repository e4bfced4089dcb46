"""Replaying: making deliveries due again, whatever became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text, tuple_, update

from tracknow_static.relay.store import filters
from tracknow_static.relay.store.events import add_delivery
from tracknow_static.relay.store.model import PENDING, Replayed
from tracknow_static.relay.store.schema import CHANNEL, deliveries, events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    after: Any = None
    # What arrives, or is delivered again, during the replay must not be met a second time.
    with database.read() as connection:
        until = database.read_clock(connection)
    while True:
        rows = _chunk(database, wanted, after, until)
        if not rows:
            return done.result()
        after = (rows[-1].received_at, rows[-1].id)
        if dry_run:
            with database.read() as connection:
                done = plan.apply(connection, rows, done)
        else:
            done = _replay_chunk(database, plan, rows, done)
        if progress is not None:
            progress(done.events)


class _Count:
    """Running totals of a replay."""

    def __init__(self, events: int = 0, made_due: int = 0) -> None:
        self.events = events
        self.made_due = made_due
        self.purged = self.thin = self.in_flight = 0

    def copy(self) -> _Count:
        other = _Count(self.events, self.made_due)
        other.purged, other.thin, other.in_flight = self.purged, self.thin, self.in_flight
        return other

    def result(self) -> Replayed:
        return Replayed(self.events, self.made_due, self.purged, self.thin, self.in_flight)


def _chunk(database: Database, wanted: Filter, after: Any, until: float) -> Sequence[Any]:
    statement = filters.restrict(
        select(events.c.id, events.c.received_at, events.c.kept_because), wanted
    ).where(events.c.received_at <= until)
    if after is not None:
        statement = statement.where(tuple_(events.c.received_at, events.c.id) > tuple_(*after))
    statement = statement.order_by(events.c.received_at, events.c.id).limit(_CHUNK)
    with database.read() as connection:
        return connection.execute(statement).all()


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
        deliveries_of = self._deliveries(connection, ids, now)
        bodies = select(events.c.id).where(events.c.id.in_(ids), events.c.payload.is_not(None))
        whole = set(connection.execute(bodies).scalars())
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

    def _urls(self, own: dict[str, Any]) -> Sequence[str]:
        if self._destinations:
            return self._destinations
        if filters.means_deliveries(self._wanted):
            # None is left where somebody settled it, or made it due, since the event was found.
            return tuple(own)
        return tuple(own) or self._database.destinations

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
            accepted_at=database.now(),
            settled_at=None,
        )
    )
