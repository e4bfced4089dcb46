"""How the dispatcher works: each event once, destinations apart, leases, and what is logged."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from sqlalchemy import select, text

from tests.relay.deliver.parts import BODY, Shop, network, to
from tests.relay.deliver.stand_in import (
    Action,
    Request,
    StandIn,
    answer,
    hang,
    later,
    slowly,
)
from tracknow_static.relay.deliver.worker import MARGIN
from tracknow_static.relay.store import destinations, leases, queries
from tracknow_static.relay.store.model import PAUSED
from tracknow_static.relay.store.schema import deliveries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import Breaker, Claimed

HOUR = 3600


def breaker_of(shop: Shop) -> Breaker:
    """Return the breaker of the first destination."""
    return destinations.breaker(shop.database, shop.destinations[0])


# -- the ordinary case


def test_every_event_arrives_once_and_unchanged(shop: Shop, destination: StandIn) -> None:
    """A backlog goes out, each event once, and is settled."""
    ids = shop.sell(60)
    assert shop.drain().delivered == 60
    assert destination.counts == dict.fromkeys(ids, 1)
    assert {request.body for request in destination.requests} == {BODY}
    assert shop.states() == {"pending": 0, "in_flight": 0, "delivered": 60, "dead": 0}
    assert shop.drain().delivered == 0


def test_the_oldest_goes_first(small_shop: Shop, destination: StandIn) -> None:
    """With one attempt at a time events arrive in the order in which they came."""
    small_shop.concurrency = 1
    ids = []
    for _ in range(12):
        ids += small_shop.sell()
        small_shop.now += 1
    small_shop.drain()
    assert [request.event for request in destination.requests] == ids


@pytest.mark.parametrize("by", ["payment_intent", "customer"])
def test_a_session_that_waits_goes_before_its_charge(
    shop: Shop, destination: StandIn, by: str
) -> None:
    """Both are due: the charge is sent when the session is accepted, however many wait in between."""
    shop.concurrency = 2
    keys: list[dict[str, Any]] = [{by: f"{by}_{number}"} for number in range(20)]
    charges = [shop.sell(1, **key)[0] for key in keys]
    shop.sell(20)
    sessions = [shop.sell(1, type="checkout.session.completed", **key)[0] for key in keys]

    before: list[str] = []

    def wait_for_the_others(_request: Request) -> Action:
        # Its charge would be among them if it did not wait for the answer.
        destination.wait_for(lambda: len(destination.requests) == 59)
        before.extend(destination.counts)
        return answer()

    def decide(request: Request) -> Action:
        first = request.event == sessions[0]
        return later(wait_for_the_others, request) if first else answer()

    destination.decide = decide
    assert shop.drain().delivered == 60
    assert len(before) == 59
    assert charges[0] not in before
    assert set(destination.counts.values()) == {1}
    order = [request.event for request in destination.requests]
    for first, second in zip(sessions, charges, strict=True):
        assert order.index(first) < order.index(second)


def test_a_charge_does_not_wait_for_a_session_that_is_not_due(
    shop: Shop, destination: StandIn
) -> None:
    """A session that failed waits for its retry, and its charge goes."""
    (session,) = shop.sell(type="checkout.session.completed", payment_intent="pi_1")
    destination.decide = lambda _: answer(500)
    shop.drain()
    destination.decide = lambda _: answer()
    (charge,) = shop.sell(payment_intent="pi_1")
    assert shop.drain().delivered == 1
    assert destination.counts == {session: 1, charge: 1}


def test_an_attempt_is_recorded(shop: Shop, destination: StandIn) -> None:
    """What each attempt met can be looked up afterwards."""
    (one,) = shop.sell()
    destination.decide = lambda _: answer(502)
    shop.drain()
    destination.decide = lambda _: answer(202)
    shop.now += 2
    shop.drain()
    delivery = shop.delivery(one)
    assert [attempt.status for attempt in delivery.history] == [502, 202]
    assert (delivery.state, delivery.last_status) == ("delivered", 202)


# -- several destinations


@pytest.fixture
def two(database_url: str, destination: StandIn) -> Iterator[tuple[Shop, StandIn, StandIn]]:
    """Provide a shop with two destinations."""
    with StandIn().running() as other:
        shop = Shop(database_url, [destination.url, other.url])
        yield shop, destination, other
        shop.close()


def test_a_destination_that_hangs_slows_no_other(two: tuple[Shop, StandIn, StandIn]) -> None:
    """While one holds all its connections open, everything reaches the other."""
    check_that_one_slows_no_other(*two)


def check_that_one_slows_no_other(
    shop: Shop, hanging: StandIn, other: StandIn, *, seconds: float = 100
) -> None:
    """Have one destination hang, and wait for what reaches the other."""
    free = threading.Event()
    hanging.decide = lambda request: later(
        lambda _: answer() if free.wait(300) else hang(), request
    )
    shop.network = network(timeout=300)
    shop.lease_seconds = 400
    ids = shop.sell(60)
    dispatcher = shop.dispatcher()
    dispatcher.start()
    try:
        assert other.wait_for(lambda: len(other.requests) == 60, seconds)
        assert set(other.counts) == set(ids)
        assert 0 < len(hanging.requests) <= shop.concurrency
        assert not hanging.answered
    finally:
        free.set()
        assert dispatcher.stop()


def test_a_paused_destination_stops_no_other(two: tuple[Shop, StandIn, StandIn]) -> None:
    """Each destination has its own breaker and its own dead letters."""
    shop, refusing, other = two
    refusing.decide = lambda _: answer(404)
    shop.sell(20)
    drained = shop.drain()
    assert drained.delivered == 20
    assert drained.retried + drained.left == 20
    assert len(other.counts) == 20
    states = {
        one.destination: one.breaker.state for one in queries.status(shop.database).destinations
    }
    assert states == {refusing.url: PAUSED, other.url: "active"}


# -- leases


def test_a_lease_that_could_end_before_the_attempt_is_refused(small_shop: Shop) -> None:
    """Such a dispatcher would send events twice: it is not made."""
    small_shop.lease_seconds = small_shop.network.timeout + 1
    with pytest.raises(ValueError, match="too short"):
        small_shop.drain()


def test_an_outcome_after_the_lease_changes_nothing(shop: Shop, destination: StandIn) -> None:
    """When somebody else has taken the delivery over, the first one's outcome does not count."""
    shop.sell()
    taken = threading.Event()
    other = shop.another_database()
    claim = leases.claim

    def claims_of_the_other(database: Database, **options: Any) -> list[Claimed]:
        return claim(database, **options) if database is other else []

    def decide(_request: Request) -> Action:
        if not taken.is_set():
            taken.set()
            # As if this process had been frozen for longer than its lease.
            shop.now += shop.lease_seconds + 1
            with mock.patch.object(leases, "claim", claims_of_the_other):
                assert shop.dispatcher(other).drain(100).delivered == 1
            return answer(500)
        return answer(200)

    destination.decide = lambda request: later(decide, request)
    drained = shop.drain()
    other.close()
    assert (drained.delivered, drained.retried, drained.lost) == (0, 0, 1)
    assert shop.states() == {"pending": 0, "in_flight": 0, "delivered": 1, "dead": 0}


def test_an_event_is_not_begun_when_its_lease_might_end_first(
    small_shop: Shop, destination: StandIn
) -> None:
    """What waited too long inside the process goes back untried instead of being sent late."""
    small_shop.concurrency = 1
    small_shop.lease_seconds = small_shop.network.timeout + MARGIN + 0.2
    destination.decide = lambda request: answer() if len(destination.requests) else slowly(0.5)
    ids = small_shop.sell(4)
    drained = small_shop.drain()
    assert drained.delivered == 4
    assert destination.counts == dict.fromkeys(ids, 1)
    # Each claim changes the token: those behind the slow one were given back and claimed again.
    with small_shop.database.read() as connection:
        tokens = connection.execute(select(deliveries.c.token).order_by(deliveries.c.id)).scalars()
        assert max(tokens) > 1


# -- events that cannot be sent


def test_events_that_cannot_be_sent_are_dead_letters_alone(
    shop: Shop, destination: StandIn
) -> None:
    """They become dead letters with a reason, and their destination is not blamed for them."""
    bad = shop.sell(8, signature="t=1\r\nEvil: 1")
    shop.sell(3)
    drained = shop.drain()
    assert (drained.delivered, drained.dead, drained.left) == (3, 8, 0)
    assert shop.delivery(bad[0]).last_error == "unsendable"
    assert breaker_of(shop).failures == 0


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("DELETE FROM events WHERE id = :bad", "event_unreadable"),
        ("UPDATE events SET payload = NULL WHERE id = :bad", "payload_missing"),
    ],
)
def test_an_event_that_cannot_be_read_is_a_dead_letter_alone(
    shop: Shop, destination: StandIn, damage: str, reason: str
) -> None:
    """Whatever was erased by hand, or purged at the wrong moment, stops no other event."""
    (bad,) = shop.sell()
    good = shop.sell(5)
    with shop.database.write() as connection:
        connection.execute(text(damage), {"bad": bad})
        (row,) = connection.execute(
            select(deliveries.c.id).where(deliveries.c.event_id == bad)
        ).scalars()
    drained = shop.drain()
    assert (drained.delivered, drained.dead, drained.left) == (5, 1, 0)
    assert destination.counts == dict.fromkeys(good, 1)
    with shop.database.read() as connection:
        found = connection.execute(select(deliveries).where(deliveries.c.id == row)).one()
    assert (found.state, found.last_error) == ("dead", reason)
    assert breaker_of(shop).failures == 0


@pytest.mark.parametrize(
    "damage",
    [
        "payload = 'text'",
        "signature = x'ff'",
        "type = CAST(x'ff' AS TEXT)",
        "received_at = 'never'",
    ],
)
def test_what_sqlite_lets_a_hand_write_stops_no_other_event(
    small_shop: Shop, destination: StandIn, damage: str
) -> None:
    """SQLite keeps a value of any type in any column: such an event is a dead letter alone."""
    (bad,) = small_shop.sell()
    good = small_shop.sell(5)
    with small_shop.database.write() as connection:
        connection.execute(text(f"UPDATE events SET {damage} WHERE id = :bad"), {"bad": bad})
    drained = small_shop.drain()
    assert (drained.delivered, drained.dead, drained.left) == (5, 1, 0)
    assert destination.counts == dict.fromkeys(good, 1)


# -- what is logged


def test_no_payload_and_no_signature_is_logged(
    small_shop: Shop, destination: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """Planted markers stay out of every record, whatever happens to the event."""
    marker = "PLANTED-MARKER"
    answers = iter([200, 500, 404, 429, 422])
    destination.decide = lambda _: answer(next(answers, 500), body=marker.encode())
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            small_shop.sell(payload=marker.encode(), signature=f"t=1,v1={marker}")
            small_shop.live(2 * HOUR, step=HOUR)
        small_shop.network = network(lookup=to("127.0.0.9"))
        small_shop.live(HOUR, step=HOUR)
    assert caplog.records
    # The stand-in's own event loop logs in debug mode what it was given.
    for record in (each for each in caplog.records if each.name != "asyncio"):
        assert marker not in repr(vars(record))


def test_each_outcome_has_its_line(
    small_shop: Shop, destination: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """A line names event, destination, status and what comes next."""
    destination.decide = lambda _: answer(500)
    (one,) = small_shop.sell()
    with caplog.at_level(logging.INFO):
        small_shop.drain()
    (record,) = [each for each in caplog.records if "not delivered" in each.getMessage()]
    about = vars(record)
    assert (about["event"], about["status"], about["attempt"]) == (one, 500, 1)
    assert about["destination"] == destination.url
    assert about["next_in"] == 1
