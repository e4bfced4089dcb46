"""One look at the relay's state, and the messages that follow from it: by one process at a time.

A look reads only. When a message is due, one process takes the lease, sends, and notes what each
receiver knows then. If it is killed in between, another one sends after the lease has run out: a
message is sent at least once, and twice only if the process died between sending and noting.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tracknow_static.errors import StorageError
from tracknow_static.relay import crash_points
from tracknow_static.relay.alerts import decide
from tracknow_static.relay.alerts.send import SECONDS, STOPPED, Order, name_of, named, send
from tracknow_static.relay.operate.conditions import conditions, observe
from tracknow_static.relay.operate.output import duration
from tracknow_static.relay.store.facts import Lease, SharedState

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.database import Database

_log = logging.getLogger(__name__)

DECIDED = crash_points.declare("alerts.decided", "messages are due, none is sent")
SENT = crash_points.declare("alerts.sent", "messages are sent, nobody knows")

LEASE_SECONDS = 2 * SECONDS
# After a failure a receiver is left alone for so long, twice as long after each further one.
_FIRST_WAIT_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 3600.0
# A full disk is one of the things to report: what cannot be stored is kept in memory.
_CANNOT_WRITE = frozenset({"disk_full", "database_readonly"})


@dataclass(frozen=True, kw_only=True)
class State(Lease):
    """What each receiver knows, and how often in a row and until when it has failed."""

    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    failing: dict[str, list[float]] = field(default_factory=dict)


_shared = SharedState("alerts", State)


class Alerts:
    """Decides and sends for one process; use it from one thread at a time."""

    def __init__(self, config: RelayConfig, database: Database) -> None:
        self._config = config
        self._database = database
        self._urls = {decide.receiver(url): url for url in config.alerts}
        self._name = name_of(config)
        self._stored: State | None = None
        # What could not be stored.
        self._unstored: State | None = None

    def round(self, stopping: threading.Event | None = None) -> int:
        """Send what is due; return the number of messages that were sent.

        0 also when another process is at it. Takes at most ``SECONDS`` beyond the database's own
        time, and ends soon after ``stopping`` is set. Raises ``StorageError``.
        """
        database = self._database
        with database.read() as connection:
            now = database.read_clock(connection)
            self._stored = _shared.load(connection)
        if self._unstored is not None and not self._store(self._unstored, always=True):
            self._unstored = None
        state = self._unstored or self._stored or State()
        if not self._urls or state.is_anothers(database.identity, now, LEASE_SECONDS):
            return 0
        news = self._due(state, now)
        if not news:
            return 0
        mine = replace(state, owner=database.identity, until=now + LEASE_SECONDS)
        if not self._store(mine):
            return 0
        crash_points.reach(DECIDED)
        orders = [
            Order(self._urls[receiver], [each.message for each in due])
            for receiver, due in news.items()
        ]
        errors = dict(zip(news, send(orders, stopping=stopping), strict=True))
        crash_points.reach(SENT)
        after = self._after(mine, news, errors, now)
        if not self._store(after, always=True):
            _log.warning("another process sends alerts, too: a message may come twice")
        return sum(not error for failed in errors.values() for error in failed)

    def _due(self, state: State, now: float) -> dict[str, list[decide.News]]:
        """Return what is due by receiver, those that fail left out while they wait."""
        found = conditions(observe(self._database, self._config), self._config)
        news = {
            receiver: decide.due(
                found,
                decide.from_json(state.known.get(receiver, {})),
                now=now,
                name=self._name,
            )
            for receiver in self._urls
            if not _waits(state.failing.get(receiver), now)
        }
        return {receiver: due for receiver, due in news.items() if due}

    def _after(
        self,
        state: State,
        news: Mapping[str, Sequence[decide.News]],
        errors: Mapping[str, Sequence[str]],
        now: float,
    ) -> State:
        """Return the state after sending; logs what went and what did not."""
        known = {receiver: dict(state.known.get(receiver, {})) for receiver in self._urls}
        failing = {name: waits for name, waits in state.failing.items() if name in self._urls}
        numbers = {receiver: number for number, receiver in enumerate(self._urls, 1)}
        for receiver, due in news.items():
            reported = decide.from_json(known[receiver])
            results = zip(due, errors[receiver], strict=True)
            sent = [each for each, error in results if not error]
            reported.update((each.key, each.known) for each in sent)
            known[receiver] = decide.as_json(decide.forget(reported, now))
            shown = named(numbers[receiver], self._urls[receiver])
            for each in sent:
                _log.info("alert sent to %s: %s", shown, each.message.title)
            failed = next(filter(None, errors[receiver]), "")
            if failed in ("", STOPPED):
                failing.pop(receiver, None)
                continue
            times = failing.get(receiver, [0.0])[0] + 1
            wait = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** min(times - 1, 16))
            failing[receiver] = [times, now + wait]
            _log.warning(
                "alert not sent to %s: %s; tried again in %s", shown, failed, duration(wait)
            )
        return replace(state, owner="", until=0.0, known=known, failing=failing)

    def _store(self, new: State, *, always: bool = False) -> bool:
        """Store the state; False if another process has stored one meanwhile.

        On a disk that cannot be written, or ``always``, it is kept in memory instead.
        """
        old = self._stored
        try:
            if not self._database.run(lambda connection: _shared.store(connection, old, new)):
                return False
        except StorageError as error:
            if not always and error.code not in _CANNOT_WRITE:
                raise
            self._unstored = new
            return True
        self._stored = replace(new, serial=old.serial + 1 if old else 1)
        self._unstored = None
        return True


def _waits(failing: Sequence[float] | None, now: float) -> bool:
    """Whether a receiver that fails is left alone; not by a time that a wrong clock wrote."""
    return failing is not None and now < failing[1] <= now + _LONGEST_WAIT_SECONDS
