"""SIGKILL at every point of backfill and of what follows it: each event once, each sale right."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from tests.account.stand_in import Stripe, running
from tests.events import encode, event
from tests.relay.backfill import victim
from tests.relay.backfill.parts import DAY, listed, sale
from tests.relay.deliver import victim as receiver
from tests.relay.forks import FORKS
from tracknow_static.relay import crash_points
from tracknow_static.relay.deliver.worker import AHEAD
from tracknow_static.relay.receive.event import event_of
from tracknow_static.relay.store import facts
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store
from tracknow_static.relay.store.schema import events, sales
from tracknow_static.tracknow import EVENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.relay.deliver.stand_in import StandIn

# 100,000 by hand; the smaller number reaches every point as well.
NUMBER = int(os.environ.get("TRACKNOW_TEST_EVENTS", "300"))

# Where a process dies, in this order, each further than the last one got.
BACKFILL = {
    "backfill.fetched": (1, 3),
    "backfill.stored": (1, 3),
    "backfill.noted": (1, 3),
    "backfill.ending": (1,),
}
POINTS = (
    *("ingest.begun:2", "ingest.committing:2", "ingest.committed:2"),
    *(f"{point}:{number}" for point, numbers in BACKFILL.items() for number in numbers),
    *("claim.committed:2", "deliver.sent:9", "settle.written:2", "settle.committed:2"),
    *("ledger.read:1", "ledger.written:1", "ledger.committed:1"),
)
DELIVERING = 4
# Maximum number of deliveries that one process has in flight.
WINDOW = receiver.CONCURRENCY * (1 + AHEAD)


def history(number: int, now: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return about that number of events of the last nine days, and the verdict of each sale."""
    found: list[dict[str, Any]] = []
    verdicts: dict[str, str] = {}
    for name in range(number // 2):
        created = now - 9 * DAY + name * (8 * DAY) // (number // 2)
        kind = name % 10
        session: dict[str, Any] = {}
        verdict = "attributed"
        if kind == 0:
            session, verdict = {"client_reference_id": None}, "no-click-id"
        elif kind == 1:
            verdict = "refunded"
        elif kind == 2:
            session, verdict = {"client_reference_id": "undefined"}, "not-a-click-id"
        elif kind == 3:
            session, verdict = {"payment_status": "unpaid"}, "unpaid"
        charged, completed = sale(name, created, **session)
        found += [completed] if kind == 3 else [charged, completed]
        if kind == 1:
            subject = {**charged["data"]["object"], "amount_refunded": 2000}
            found.append(event(f"{name}_refund", "charge.refunded", subject, created=created + 9))
        verdicts[f"cs_{name}"] = verdict
    return [listed(body) for body in found], verdicts


def push(database: Database, bodies: Sequence[dict[str, Any]]) -> None:
    """Let Stripe push events to a relay that is there for the moment."""
    relay = receiver.config("", ())
    new = []
    for body in bodies:
        payload = encode(body)
        new.append(event_of(payload.decode(), payload, relay, content_type=None, signature="t=1"))
    for first in range(0, len(new), 100):
        store(database, new[first : first + 100])


def let_die(spec: victim.Spec) -> int | None:
    """Run a victim; return its exit code."""
    process = FORKS.Process(target=victim.live, args=(spec,), daemon=True)
    process.start()
    process.join(1800)
    return process.exitcode


@pytest.mark.timeout(900 if NUMBER < 10_000 else 7200)
def test_each_event_once_and_each_sale_right(database_url: str, destination: StandIn) -> None:
    """A relay that is away at random, and dies wherever it can, misses nothing and doubles nothing."""
    chance = random.Random(7)
    account = Stripe(mode="live", page=100 if NUMBER >= 10_000 else 20)
    now = int(time.time())
    bodies, verdicts = history(NUMBER, now)
    for body in bodies:
        account.events.add(body)
    account.add("https://relay.example.com/stripe/webhook")
    database = Database(database_url, [destination.url])
    made = repr(float(now - 10 * DAY))
    database.run(lambda connection: facts.note_fact(connection, facts.CREATED_AT, made))
    with running(account):
        for number, point in enumerate((*POINTS, "")):
            push(database, [body for body in bodies if chance.random() < 0.02])
            spec = victim.Spec(database_url, destination.url, account.base, point, number)
            assert let_die(spec) == (-9 if point else 0), f"{point} was not reached"
    check(database, destination, bodies, verdicts)
    database.close()


def check(
    database: Database, destination: StandIn, bodies: list[dict[str, Any]], verdicts: dict[str, str]
) -> None:
    """Each event is stored once, delivered once beyond what was in flight; each verdict is right."""
    with database.read() as connection:
        stored = {
            row.id: row.source for row in connection.execute(select(events.c.id, events.c.source))
        }
        ledger = {
            row.id: row.verdict for row in connection.execute(select(sales.c.id, sales.c.verdict))
        }
    assert set(stored) == {body["id"] for body in bodies}
    assert set(stored.values()) == {"api", "webhook"}
    counts = Counter(one.event for one in destination.accepted)
    assert set(counts) == {body["id"] for body in bodies if body["type"] in EVENT_TYPES}
    assert sum(count - 1 for count in counts.values()) <= WINDOW * DELIVERING
    for one in destination.accepted:
        source = one.headers.get("tracknow-event-source")
        assert source == ("api" if stored[one.event] == "api" else None)
        assert ("stripe-signature" in one.headers) == (source is None)
    assert ledger == verdicts


def test_every_point_of_backfill_is_killed_at() -> None:
    """A point that somebody adds without killing there is noticed."""
    assert {name for name in crash_points.ALL if name.startswith("backfill.")} == set(BACKFILL)
