"""SIGKILL at every named point: what was acknowledged arrives, and little of it twice."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import tracknow_static.relay
from tests.relay.deliver import victim
from tests.relay.deliver.stand_in import StandIn, answer
from tests.relay.forks import FORKS
from tracknow_static.relay import crash_points
from tracknow_static.relay.deliver.dispatcher import Dispatcher
from tracknow_static.relay.deliver.worker import AHEAD
from tracknow_static.relay.sales.forward import decide
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

# Every point where a process that receives and delivers may die, and at which passing it does. A
# victim's 24 events need two claims at least, and two settlements.
MATRIX = {
    "ingest.queued": (1, 9),
    "ingest.begun": (1, 4),
    "ingest.inserted": (1, 4),
    "ingest.committing": (1, 4),
    "ingest.committed": (1, 4),
    "ingest.released": (1, 4),
    "ingest.answering": (1, 9),
    "claim.leased": (1, 2),
    "claim.committed": (1, 2),
    "deliver.claimed": (1, 2),
    "deliver.probing": (1,),
    "deliver.sending": (1, 9),
    "deliver.sent": (1, 9),
    "deliver.settling": (1, 2),
    "deliver.settled": (1, 2),
    "settle.written": (1, 2),
    "settle.committed": (1, 2),
    "ledger.read": (1, 2),
    "ledger.written": (1, 2),
    "ledger.committed": (1, 2),
}
# Where attributed sales alone are forwarded.
FORWARD = ("ledger.written", "ledger.committed", "forward.decided")
# Maximum number of deliveries that one process has in flight.
WINDOW = victim.CONCURRENCY * (1 + AHEAD)


@dataclass
class Death:
    """How a victim ended, and what it had acknowledged."""

    exitcode: int | None
    acknowledged: set[str]


def let_live(spec: victim.Spec, *, kill_after: int | None = None) -> Death:
    """Run a victim until it dies, or kill it when it has acknowledged that number of events."""
    receiver, sender = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=victim.live, args=(spec, sender), daemon=True)
    process.start()
    sender.close()
    acknowledged = set()
    for number in _listen(receiver):
        acknowledged.add(f"evt_{number}")
        if len(acknowledged) == kill_after:
            process.kill()
    process.join(100)
    receiver.close()
    return Death(process.exitcode, acknowledged)


def _listen(receiver: Connection) -> Iterator[int]:
    """Yield what a victim reports until it is dead."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            yield receiver.recv()


def recover(url: str, stand_in: StandIn) -> None:
    """Start the relay again, an hour later: every lease of the dead is over."""
    stand_in.decide = lambda _: answer()
    relay = victim.config(url, (stand_in.url,))
    database = Database.from_config(relay, clock=lambda: time.time() + 3600)
    assert Dispatcher.from_config(relay, database).drain(300).left == 0
    found = queries.status(database).destinations[0]
    database.close()
    assert (found.pending, found.dead, found.in_flight) == (0, 0, 0)


def check(stand_in: StandIn, acknowledged: set[str], *, repeats: int) -> None:
    """Nothing acknowledged is missing, nothing is changed, and repeats are those in flight."""
    counts = Counter(one.event for one in stand_in.accepted)
    assert acknowledged - set(counts) == set(), "acknowledged, and never delivered"
    assert sum(count - 1 for count in counts.values()) <= repeats, counts
    for accepted in stand_in.accepted:
        assert accepted.body == victim.payload(int(accepted.event.removeprefix("evt_")))


def kill_at(url: str, stand_in: StandIn, point: str, *, flaw: str = "") -> Death:
    """Kill a relay at a point, start it again, and look whether all is well."""
    if point.startswith("deliver.probing"):
        stand_in.decide = lambda _: answer(503)
    death = let_live(victim.Spec(url, (stand_in.url,), point, flaw))
    assert death.exitcode == -9, f"{point} was not reached"
    recover(url, stand_in)
    check(stand_in, death.acknowledged, repeats=WINDOW)
    return death


@pytest.mark.parametrize(
    ("point", "occurrence"), [(name, number) for name, all_ in MATRIX.items() for number in all_]
)
def test_a_kill_loses_nothing(
    database_url: str, destination: StandIn, point: str, occurrence: int
) -> None:
    """Wherever the relay dies, each event that Stripe got a 200 for arrives."""
    kill_at(database_url, destination, f"{point}:{occurrence}")


@pytest.mark.parametrize("point", FORWARD)
def test_a_kill_loses_no_attributed_sale(
    database_url: str, destination: StandIn, point: str
) -> None:
    """What waited for its session arrives, and nothing that carries no click id does."""
    # The ledger's first batch may be empty.
    at = f"{point}:2" if point.startswith("ledger.") else point
    spec = victim.Spec(database_url, (destination.url,), at, forward="attributed")
    death = let_live(spec)
    assert death.exitcode == -9, f"{point} was not reached"
    with contextlib.closing(Database(database_url, [destination.url])) as database:
        later = time.time() + 3600
        database._clock = lambda: later
        Ledger(database).catch_up(60)
        while decide(database, wait=0.2):
            pass
        Ledger(database).catch_up(60)
    recover(database_url, destination)
    counts = Counter(one.event for one in destination.accepted)
    stored = {int(name.removeprefix("evt_")) for name in death.acknowledged}
    wanted = {number for number in stored if number % 3 < 2 and number - number % 3 in stored}
    assert wanted <= {int(name.removeprefix("evt_")) for name in counts}
    assert not [name for name in counts if int(name.removeprefix("evt_")) % 3 == 2]
    assert sum(count - 1 for count in counts.values()) <= WINDOW, counts


def test_every_point_is_in_the_matrix() -> None:
    """A point that somebody adds without killing there is noticed."""
    package = tracknow_static.relay
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    # Those of backfill and of alerts have tests of their own.
    elsewhere = ("backfill.", "alerts.")
    ours = {name for name in crash_points.ALL if not name.startswith(elsewhere)}
    assert ours == set(MATRIX) | set(FORWARD)
