"""Fetching missed events: by one process at a time, from where the last one stopped.

A page is stored as if Stripe had sent its events, then the place is noted: who dies in between
leaves a page that is looked at again, and whose events are recognised by their ids.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import select

from tracknow_static.errors import AccountError
from tracknow_static.exit_codes import FAILED, STRIPE
from tracknow_static.relay import crash_points, stripe_api
from tracknow_static.relay.backfill import endpoints
from tracknow_static.relay.backfill.listing import Lists, StoppedError
from tracknow_static.relay.backfill.walk import InconsistentError, oldest_first
from tracknow_static.relay.store import backfill_state as states
from tracknow_static.relay.store.facts import CREATED_AT
from tracknow_static.relay.store.model import WEBHOOK
from tracknow_static.relay.store.schema import events, facts
from tracknow_static.tracknow import SALE_EVENT_TYPES

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from tracknow_static.account.key import ApiKey
    from tracknow_static.relay.backfill.listing import Found
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.backfill_state import State
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.ingest import Ingest

log = logging.getLogger(__name__)

FETCHED = crash_points.declare("backfill.fetched", "a page is fetched, nothing of it is stored")
STORED = crash_points.declare("backfill.stored", "a page is durable, the place is not noted")
NOTED = crash_points.declare("backfill.noted", "the place is durable, nobody knows")
ENDING = crash_points.declare("backfill.ending", "all pages are durable, the poll has not ended")

# Seconds for which Stripe lists an event (docs.stripe.com/api/events).
KEPT_SECONDS = 30 * 86_400
# What is younger is left to Stripe, which is about to push it.
MARGIN = 300
POLL_SECONDS = 3600.0
# Each poll looks again so far back: Stripe may list an event late.
OVERLAP = 3600
# A page takes a fraction of it. Who has not noted anything for so long is taken for dead.
LEASE_SECONDS = 120.0
# docs.stripe.com/api/events/list
MOST_TYPES = 20
# Before this, a clock was wrong: no relay is older.
_EARLIEST = 1_735_689_600


@dataclass
class Polled:
    """What a poll did, or would do: events listed from ``since`` to ``before``, and new ones.

    ``new`` counts them by type. Times are Unix seconds.
    """

    since: int
    before: int
    listed: int = 0
    requests: int = 0
    new: Counter[str] = field(default_factory=Counter)


class _LostError(Exception):
    """Another process has taken over."""


class Backfill:
    """Fetches missed events for one process; use it from one thread.

    Events are stored through ``ingest``. ``running_since`` is when this process began to receive
    events (Unix seconds): what was created since then should have been pushed; None when it
    receives none.
    """

    def __init__(
        self,
        config: RelayConfig,
        ingest: Ingest,
        *,
        running_since: float | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        self._config = config
        self._ingest = ingest
        self._database: Database = ingest.database
        self._running_since = math.inf if running_since is None else running_since
        self._stopping = stopping

    def poll(self, progress: Callable[[int], None] | None = None) -> Polled | None:
        """Fetch what is missing since the last poll; None when another process is at it.

        ``progress`` is called with the number of events listed. Raises :class:`AccountError`,
        which the state keeps, and ``StorageError``.
        """
        lists: Lists | None = None
        try:
            lists = self._lists()
            state, now = self._begin(lists.key)
            if state is None:
                return None
            return self._poll(lists, state, now, progress)
        except AccountError as error:
            self._note_failure(lists.key if lists else None, str(error))
            raise
        except _LostError:
            return None
        except StoppedError:
            self._release()
            return None

    def is_due(self) -> bool:
        """Whether no process has polled since this one began, or for an hour."""
        with self._database.read() as connection:
            now = self._database.read_clock(connection)
            state = states.load(connection)
        if state is None or state.polled_at < self._running_since:
            return True
        # One in the future was written under a clock that was wrong.
        return not 0 <= now - state.polled_at < POLL_SECONDS

    def rewind(self, since: float) -> None:
        """Let the next poll begin at ``since``, also before the database was made.

        Raises :class:`AccountError` and ``StorageError``.
        """
        key = stripe_api.key_of(self._config)

        def work(connection: Connection) -> bool:
            now = self._database.read_clock(connection)
            old, state = self._load(connection, key, now)
            at = math.floor(since)
            new = replace(state, start=min(state.start, at), at=min(state.at, at))
            return states.store(connection, old, self._leased(new, now))

        while not self._database.run(work):
            pass

    def look(
        self, since: float | None = None, progress: Callable[[int], None] | None = None
    ) -> Polled:
        """Return what a poll would do, from ``since`` if given; change nothing.

        Raises :class:`AccountError` and ``StorageError``.
        """
        lists = self._lists()
        with self._database.read() as connection:
            now = self._database.read_clock(connection)
            _, state = self._load(connection, lists.key, now)
        if since is not None:
            at = math.floor(since)
            state = replace(state, start=min(state.start, at), at=min(state.at, at))
        polled = _window(state, now)
        for page, _ in self._pages(lists, polled):
            known = self._known(page)
            polled.new.update(one.event.type for one in page if one.id not in known)
            if progress is not None:
                progress(polled.listed)
        return polled

    def created_at(self) -> float:
        """Return the time before which nothing is fetched without being asked for."""
        with self._database.read() as connection:
            return _created_at(connection, self._database.read_clock(connection))

    # -- one poll -----------------------------------------------------------------------------

    def _lists(self) -> Lists:
        return Lists(stripe_api.key_of(self._config), self._config, stopping=self._stopping)

    def _poll(
        self, lists: Lists, state: State, now: float, progress: Callable[[int], None] | None
    ) -> Polled:
        polled = _window(state, now)
        if state.at < now - KEPT_SECONDS:
            log.warning(
                "Stripe keeps events for 30 days, and the last ones were looked for before: "
                "`tracknow-relay backfill --sessions` lists older sales"
            )
        # Events that were created since they should have been pushed to this process.
        pushed = unpushed = 0
        since = max(self._running_since, state.polled_at - MARGIN)
        for page, is_complete in self._pages(lists, polled):
            crash_points.reach(FETCHED)
            known = self._known(page)
            missing = [one for one in page if one.id not in known]
            new = self._store(missing)
            crash_points.reach(STORED)
            polled.new.update(one.event.type for one in missing if one.id in new)
            unpushed += sum(one.created >= since for one in missing if one.id in new)
            pushed += sum(one.created >= since for one in page if known.get(one.id) == WEBHOOK)
            at = max(state.at, page[-1].created) if is_complete else state.at
            state = self._note(replace(state, at=at, found=state.found + len(new)), state)
            crash_points.reach(NOTED)
            if progress is not None:
                progress(polled.listed)
        crash_points.reach(ENDING)
        self._end(lists, state, polled, pushed=pushed, unpushed=unpushed)
        return polled

    def _pages(self, lists: Lists, polled: Polled) -> Iterator[tuple[Sequence[Found], bool]]:
        """Yield pages, and whether all that is older has been listed by then."""
        types = tuple(dict.fromkeys((*self._config.events, *SALE_EVENT_TYPES)))
        for first in range(0, len(types), MOST_TYPES):
            ask = partial(lists.events, types[first : first + MOST_TYPES])
            try:
                for page in oldest_first(ask, polled.since, polled.before):
                    polled.listed += len(page)
                    polled.requests = lists.requests
                    yield page, first + MOST_TYPES >= len(types)
            except InconsistentError:
                text = "Stripe's lists of events contradict each other."
                raise AccountError(text, STRIPE) from None
        polled.requests = lists.requests

    def _known(self, page: Sequence[Found]) -> dict[str, str]:
        """Return those of the events that are stored, with how they came."""
        statement = select(events.c.id, events.c.source).where(
            events.c.id.in_([one.id for one in page])
        )
        with self._database.read() as connection:
            return {row.id: row.source for row in connection.execute(statement)}

    def _store(self, missing: Sequence[Found]) -> set[str]:
        """Store events; return those that nobody has stored meanwhile."""
        if not missing:
            return set()
        accepted = self._ingest.store([one.event for one in missing])
        return {one.id for one in accepted if one.new}

    # -- the state ----------------------------------------------------------------------------

    def _begin(self, key: ApiKey) -> tuple[State | None, float]:
        """Take the lease; return the state, None when another process has it, and the time."""

        def work(connection: Connection) -> tuple[State | None, float]:
            now = self._database.read_clock(connection)
            old, state = self._load(connection, key, now)
            if state.is_anothers(self._database.identity, now, LEASE_SECONDS):
                return None, now
            if not states.store(connection, old, self._leased(state, now)):
                return None, now
            return states.load(connection), now

        return self._database.run(work)

    def _load(self, connection: Connection, key: ApiKey, now: float) -> tuple[State | None, State]:
        """Return the state that is stored, and the one to go on from with this key."""
        if now < _EARLIEST:
            text = "Nothing is fetched while this host's clock is wrong: it shows a time long ago."
            raise AccountError(text, FAILED)
        old = states.load(connection)
        fingerprint = hashlib.sha256(key.value.encode()).hexdigest()[:16]
        if old is not None and old.key == fingerprint:
            return old, old
        # Another key may be of another account, where nothing has been looked for yet.
        start = math.ceil(_created_at(connection, now))
        return old, replace(old or states.State(), key=fingerprint, start=start, at=start)

    def _leased(self, state: State, now: float) -> State:
        return replace(state, owner=self._database.identity, until=now + LEASE_SECONDS)

    def _note(self, new: State, old: State) -> State:
        """Replace the state; raise `_LostError` when another process has done so."""

        def work(connection: Connection) -> State | None:
            now = self._database.read_clock(connection)
            stored = states.store(connection, old, self._leased(new, now))
            return states.load(connection) if stored else None

        noted = self._database.run(work)
        if noted is None:
            raise _LostError
        return noted

    def _end(
        self, lists: Lists, state: State, polled: Polled, *, pushed: int, unpushed: int
    ) -> None:
        """Note that the poll is complete, and give the lease back."""
        endpoint, unknown = endpoints.look(self._config)
        start, at = state.start, max(state.at, polled.before)
        if lists.now is not None:
            # This host's clock may be ahead, or was when the database was made: what Stripe creates
            # until then is still to come.
            start, at = min(start, lists.now), min(at, lists.now - MARGIN)
        if unpushed:
            in_a_row, missed = state.in_a_row + 1, state.unpushed + unpushed
        elif pushed:
            in_a_row, missed = 0, 0
        else:
            in_a_row, missed = state.in_a_row, state.unpushed

        def work(connection: Connection) -> bool:
            new = replace(
                state,
                start=start,
                at=at,
                owner="",
                until=0.0,
                polled_at=self._database.read_clock(connection),
                failing_since=0.0,
                error="",
                in_a_row=in_a_row,
                unpushed=missed,
                endpoint=endpoint,
                endpoint_unknown=unknown,
            )
            return states.store(connection, state, new)

        if not self._database.run(work):
            raise _LostError

    def _release(self) -> None:
        """Let another process go on at once."""

        def work(connection: Connection) -> None:
            old = states.load(connection)
            if old is not None and old.owner == self._database.identity:
                states.store(connection, old, replace(old, owner="", until=0.0))

        self._database.run(work)

    def _note_failure(self, key: ApiKey | None, error: str) -> None:
        """Note why polls fail, unless another process is at work; and give the lease back."""

        def work(connection: Connection) -> None:
            now = self._database.read_clock(connection)
            if key is None:
                old = states.load(connection)
                state = old or states.State()
            else:
                old, state = self._load(connection, key, now)
            if state.is_anothers(self._database.identity, now, LEASE_SECONDS):
                return
            since = state.failing_since or now
            new = replace(state, owner="", until=0.0, failing_since=since, error=error)
            states.store(connection, old, new)

        self._database.run(work)


def _created_at(connection: Connection, now: float) -> float:
    value = connection.execute(select(facts.c.value).where(facts.c.name == CREATED_AT)).scalar()
    created = now if value is None else float(value)
    return created if created >= _EARLIEST else now


def _window(state: State, now: float) -> Polled:
    # However far back that is: Stripe lists what it still has.
    since = max(state.start, state.at - OVERLAP)
    return Polled(since, max(since, math.floor(now) - MARGIN))
