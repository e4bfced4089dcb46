"""`TRACKNOW_RELAY_FORWARD=attributed`: what goes to a destination, when, and what stays."""

from __future__ import annotations

import contextlib
import random
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.events import encode
from tests.relay.deliver import victim
from tests.relay.sales.shapes import MONTH, charge, invoice, paid, refund, session, subscribed
from tracknow_static.relay.receive.event import event_of
from tracknow_static.relay.sales import forward, verdicts
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.store import purge, queries, replay
from tracknow_static.relay.store.events import store
from tracknow_static.relay.store.model import Filter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.relay.deliver.parts import Shop
    from tests.relay.deliver.stand_in import StandIn
    from tracknow_static.relay.config import RelayConfig

WAIT = 900.0


@dataclass
class Relay:
    """A relay that forwards attributed sales only, on the clock of a shop."""

    shop: Shop
    config: RelayConfig = field(init=False)

    def __post_init__(self) -> None:
        made = victim.config(self.shop.url, tuple(self.shop.destinations))
        self.config = replace(made, forward="attributed", forward_wait=WAIT)

    def receive(self, *bodies: dict[str, Any]) -> None:
        """Store events as the application would."""
        for body in bodies:
            raw = encode(body)
            found = event_of(raw.decode(), raw, self.config, content_type=None, signature="t=1")
            store(self.shop.database, [found])

    def work(self) -> int:
        """Do what the thread of any process does, once; return how many events were decided."""
        decided = 0
        with contextlib.closing(self.shop.another_database()) as database:
            ledger = Ledger(database)
            while ledger.advance():
                pass
            ledger.release()
            while number := forward.decide(database, wait=WAIT):
                decided += number
        return decided

    def deliver(self) -> list[str]:
        """Work, deliver what is due, and return the ids of the events in their order."""
        self.work()
        self.shop.drain()
        return list(self.destination_events())

    def destination_events(self) -> Iterable[str]:
        """Ids of the events that the destination got, each once, in order."""
        return dict.fromkeys(request.event for request in self.destination.requests)

    def kept(self, event_id: str) -> str | None:
        """Why an event is not forwarded."""
        found = queries.event(self.shop.database, event_id)
        assert found is not None
        return found.skipped_because

    def verdict(self, sale: str) -> str:
        """The verdict of a sale."""
        found = verdicts.by_id(self.shop.database, sale)
        assert found is not None
        return found.verdict

    destination: StandIn = field(init=False)


@pytest.fixture
def relay(shop: Shop, destination: StandIn) -> Relay:
    """Provide a relay on each kind of database."""
    made = Relay(shop)
    made.destination = destination
    return made


@pytest.fixture
def small_relay(small_shop: Shop, destination: StandIn) -> Relay:
    """Provide a relay on SQLite, for rules that no database has a part in."""
    made = Relay(small_shop)
    made.destination = destination
    return made


GUEST = paid("a")
NO_ID: dict[str, Any] = {"client_reference_id": None}


@pytest.mark.parametrize("charge_first", [False, True])
def test_a_charge_follows_its_session(relay: Relay, charge_first: bool) -> None:
    """The session goes at once, its charge when the ledger has joined them, whichever was first."""
    completed, paid_ = GUEST
    relay.receive(*((paid_, completed) if charge_first else (completed, paid_)))
    assert relay.kept("evt_a_completed") is None
    assert relay.kept("evt_ch_a_succeeded") == "waiting"
    assert relay.deliver() == ["evt_a_completed", "evt_ch_a_succeeded"]
    assert relay.verdict("cs_a") == "attributed"


def test_a_sale_without_a_click_id_stays(relay: Relay) -> None:
    """Session and charge are stored with the reason; the destination gets nothing, ever."""
    relay.receive(*paid("a", **NO_ID), *paid("b", client_reference_id="undefined"))
    relay.work()
    relay.shop.now += WAIT + 1
    assert relay.deliver() == []
    for name in "ab":
        assert relay.kept(f"evt_{name}_completed") == "unattributed"
        assert relay.kept(f"evt_ch_{name}_succeeded") == "unattributed"
    assert relay.verdict("cs_a") == "no-click-id"
    assert queries.status(relay.shop.database).tallies["kept:unattributed", ""] == 4


def test_a_charge_waits_and_no_longer(relay: Relay) -> None:
    """Without a session it is pending for the time of the wait, and then kept."""
    relay.receive(GUEST[1])
    assert relay.work() == 0
    assert queries.status(relay.shop.database).held == 1
    relay.shop.now += WAIT - 1
    assert relay.work() == 0
    relay.shop.now += 2
    assert relay.work() == 1
    assert relay.kept("evt_ch_a_succeeded") == "unattributed"
    assert queries.status(relay.shop.database).held == 0


def test_a_session_that_comes_late_brings_its_charge(relay: Relay) -> None:
    """Stripe may send it hours later: the commission is not lost."""
    relay.receive(GUEST[1])
    relay.shop.now += 3 * 86_400
    relay.work()
    relay.receive(GUEST[0])
    assert relay.deliver() == ["evt_a_completed", "evt_ch_a_succeeded"]


@pytest.mark.parametrize("basil", [False, True])
def test_renewals_of_attributed_customers_go_after_the_wait(relay: Relay, basil: bool) -> None:
    """A charge that renews brings no session, so nothing but the wait shows that none comes."""
    events = subscribed("s", 2, basil=basil)
    first = [one for one in events if one["created"] < events[0]["created"] + MONTH / 2]
    # The charge before its session, which has no payment intent.
    relay.receive(*reversed(first))
    assert relay.deliver() == ["evt_s_completed", "evt_ch_s_0_succeeded"]
    relay.receive(*(one for one in events if one not in first))
    relay.work()
    assert relay.verdict("ch_s_1") == "waiting"
    assert relay.kept("evt_ch_s_1_succeeded") == "waiting"
    relay.shop.now += WAIT + 1
    assert sorted(relay.deliver()[2:]) == ["evt_ch_s_1_succeeded", "evt_ch_s_2_succeeded"]
    relay.work()
    assert relay.verdict("ch_s_1") == "renewal"


def test_renewals_of_other_customers_stay(small_relay: Relay) -> None:
    """Nothing of a subscription without a click id goes out."""
    small_relay.receive(*subscribed("s", 2, basil=True, **NO_ID))
    small_relay.shop.now += WAIT + 1
    assert small_relay.deliver() == []


def test_a_second_purchase_without_a_click_stays(relay: Relay) -> None:
    """A customer who came with an affiliate once comes back without: that sale stays private."""
    relay.receive(*paid("a", customer="cus_1"))
    relay.deliver()
    later = charge("b", at=MONTH, customer="cus_1")
    relay.receive(later)
    relay.work()
    relay.receive(session("b", created=later["created"], customer="cus_1", **NO_ID))
    relay.shop.now += WAIT + 1
    assert relay.deliver() == ["evt_a_completed", "evt_ch_a_succeeded"]
    assert relay.kept("evt_ch_b_succeeded") == "unattributed"


def test_delayed_payments_follow_their_session(small_relay: Relay) -> None:
    """The money comes days after the session: its charge goes at once."""
    small_relay.receive(session("a", payment_status="unpaid"))
    small_relay.deliver()
    small_relay.shop.now += 10 * 86_400
    small_relay.receive(charge("a", at=10 * 86_400))
    assert small_relay.deliver()[1:] == ["evt_ch_a_succeeded"]


def test_other_types_follow_their_sale(small_relay: Relay) -> None:
    """What `TRACKNOW_RELAY_EVENTS` adds goes for attributed sales and customers only."""
    small_relay.config = replace(
        small_relay.config,
        events=(
            "checkout.session.completed",
            "charge.refunded",
            "invoice.paid",
            "customer.updated",
        ),
    )
    updated = {"type": "customer.updated"}
    small_relay.receive(
        *paid("a", customer="cus_a"),
        *paid("b", customer="cus_b", **NO_ID),
        *(refund(name, 500, 100) for name in "ab"),
        invoice("x", basil=True, customer="cus_a", amount_paid=0),
        {**session("c"), "id": "evt_u_a", "data": {"object": {"id": "cus_a", "customer": "cus_a"}}}
        | updated,
        {**session("d"), "id": "evt_u_b", "data": {"object": {"id": "cus_b", "customer": "cus_b"}}}
        | updated,
    )
    small_relay.shop.now += WAIT + 1
    assert sorted(small_relay.deliver()) == [
        "evt_a_completed",
        "evt_ch_a_refunded_500",
        "evt_in_x",
        "evt_u_a",
    ]


def test_a_rule_for_click_ids_counts(small_relay: Relay) -> None:
    """What does not match is kept; a later rule forwards nothing that was kept under an earlier one."""
    strict = re.compile("click_[a-m]")
    small_relay.config = replace(small_relay.config, click_id_pattern=strict)
    ledger = Ledger(small_relay.shop.database, click_id=strict)
    small_relay.receive(*paid("a"), *paid("z"))
    ledger.catch_up(100)
    small_relay.shop.now += WAIT + 1
    assert small_relay.deliver() == ["evt_a_completed", "evt_ch_a_succeeded"]
    Ledger(small_relay.shop.database).catch_up(100)
    assert len(small_relay.deliver()) == 2


def test_what_was_kept_is_replayed_by_name_alone(relay: Relay) -> None:
    """A replay of a period does not give away customers without a click id; by id it does."""
    relay.receive(*paid("a"), *paid("b", **NO_ID))
    relay.deliver()
    relay.shop.now += WAIT + 1
    relay.work()
    database = relay.shop.database
    for wanted in (Filter(), Filter(state="kept"), Filter(since=0.0)):
        assert replay.replay(database, wanted).unattributed == 2
    relay.shop.drain()
    assert "evt_b_completed" not in relay.destination_events()
    assert replay.replay(database, Filter(ids=("evt_b_completed",))).deliveries == 1
    assert replay.replay(database, Filter(skipped_because="unattributed")).deliveries == 1
    assert {"evt_b_completed", "evt_ch_b_succeeded"} <= set(relay.deliver())
    assert relay.kept("evt_b_completed") is None


def test_a_replayed_event_is_forwarded_for_the_ledger_too(relay: Relay) -> None:
    """The sale of an event that was kept for its type is attributed when it was replayed."""
    relay.config = replace(relay.config, forward="all", events=("charge.succeeded",))
    relay.receive(*paid("a"))
    # A later one, so that the first one is not read again in any case.
    relay.shop.now += 60
    relay.receive(charge("z"))
    relay.deliver()
    assert relay.verdict("cs_a") == "waiting"
    assert replay.replay(relay.shop.database, Filter(state="kept")).deliveries == 1
    relay.deliver()
    assert relay.verdict("cs_a") == "attributed"


def test_another_process_reads_again_what_was_replayed(small_relay: Relay) -> None:
    """The one that read the event before is gone, and nothing new comes."""
    small_relay.config = replace(small_relay.config, forward="all", events=("charge.succeeded",))
    small_relay.receive(*paid("a"))
    with contextlib.closing(small_relay.shop.another_database()) as database:
        assert Ledger(database).advance() == 2
    small_relay.shop.now += 3600
    replay.replay(small_relay.shop.database, Filter(state="kept"))
    small_relay.deliver()
    assert small_relay.verdict("cs_a") == "attributed"


def test_a_purge_spares_what_waits(relay: Relay) -> None:
    """Its payload is needed, however short the retention; an erased one is never sent."""
    relay.receive(charge("a", customer="cus_a"), charge("b", customer="cus_b"))
    relay.work()
    relay.shop.now += 60
    gone = purge.purge(relay.shop.database, delivered_days=0, dead_days=0, check_clock=False)
    assert gone.events == 0
    assert purge.erase(relay.shop.database, customers=["cus_b"]).events == 1
    relay.receive(session("a"), session("b"))
    assert set(relay.deliver()) == {"evt_a_completed", "evt_b_completed", "evt_ch_a_succeeded"}
    relay.shop.now += WAIT + 1
    relay.work()
    assert relay.kept("evt_ch_b_succeeded") == "unattributed"


def test_what_waits_is_decided_after_a_switch_to_all(small_relay: Relay) -> None:
    """New events go at once; those that came before keep the promise under which they came."""
    small_relay.receive(charge("a"), charge("b"), session("b"))
    small_relay.config = replace(small_relay.config, forward="all")
    small_relay.receive(charge("c"))
    small_relay.shop.now += WAIT + 1
    assert sorted(small_relay.deliver()) == [
        "evt_b_completed",
        "evt_ch_b_succeeded",
        "evt_ch_c_succeeded",
    ]


def test_the_ledger_has_to_catch_up_before_a_decision(small_relay: Relay) -> None:
    """A session that is stored and not read yet may carry the click id: nothing is decided."""
    small_relay.receive(GUEST[1])
    small_relay.work()
    small_relay.shop.now += WAIT + 1
    small_relay.receive(GUEST[0])
    assert forward.decide(small_relay.shop.database, wait=WAIT) == 0
    assert small_relay.kept("evt_ch_a_succeeded") == "waiting"
    assert small_relay.deliver() == ["evt_a_completed", "evt_ch_a_succeeded"]


def test_any_order_and_many_processes_give_the_same(relay: Relay) -> None:
    """Events in any order, with work by several processes in between, at any time."""
    bodies = [
        *(event for name in "abcde" for event in paid(name)),
        *(event for name in "vwxyz" for event in paid(name, **NO_ID)),
        *subscribed("s", 0, basil=True),
        *subscribed("t", 0, basil=True, **NO_ID),
    ]
    generator = random.Random(7)
    generator.shuffle(bodies)
    for number, body in enumerate(bodies):
        relay.receive(body)
        relay.shop.now += generator.choice((0, 1, 60))
        if number % 3 == 0:
            relay.work()
    relay.shop.now += WAIT + 1
    assert set(relay.deliver()) == {
        *(f"evt_{name}_completed" for name in "abcdes"),
        *(f"evt_ch_{name}_succeeded" for name in [*"abcde", "s_0"]),
    }
    assert set(relay.destination.counts.values()) == {1}


def test_time_is_that_of_the_database(small_relay: Relay) -> None:
    """A clock that was set back delays a decision, and loses nothing."""
    small_relay.receive(GUEST[1])
    small_relay.work()
    small_relay.shop.now -= 3600
    small_relay.receive(GUEST[0])
    assert small_relay.deliver() == ["evt_a_completed", "evt_ch_a_succeeded"]
