"""What a poll stores, from where to where, and what it reports."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from tests.account.stand_in import Failure
from tests.events import event
from tests.relay.backfill.parts import DAY, HOOK, SIGNED, listed
from tracknow_static.errors import AccountError
from tracknow_static.relay.backfill.backfill import LEASE_SECONDS, MARGIN, OVERLAP
from tracknow_static.relay.store.backfill_state import findings
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.schema import customer_references

if TYPE_CHECKING:
    from tests.relay.backfill.parts import Shop


def test_missing_events_are_stored_and_no_others(shop: Shop) -> None:
    """What was pushed stays as it was; what is missing comes from the API and is delivered."""
    shop.sell("a", ago=2 * DAY)
    shop.sell("b", ago=DAY)
    assert shop.push("evt_a")
    polled = shop.poll()
    assert polled is not None
    assert polled.listed == 4
    assert polled.new == {"charge.succeeded": 2, "checkout.session.completed": 1}
    assert shop.rows() == {
        "evt_a": "webhook",
        "evt_a_charge": "api",
        "evt_b": "api",
        "evt_b_charge": "api",
    }


def test_an_event_that_is_pushed_later_changes_nothing(shop: Shop) -> None:
    """It is a duplicate: recognised by its id, neither stored nor delivered again."""
    shop.sell("a", ago=DAY)
    shop.poll()
    before = (shop.rows(), shop.deliveries(), shop.payload("evt_a"))
    assert not shop.push("evt_a")
    assert (shop.rows(), shop.deliveries(), shop.payload("evt_a")) == before


def test_a_destination_that_verifies_gets_pushed_events_only(shop: Shop) -> None:
    """An event without signature is no delivery of its."""
    shop.sell("a", ago=DAY)
    shop.push("evt_a")
    shop.poll()
    assert shop.deliveries() == [("evt_a", HOOK), ("evt_a", SIGNED), ("evt_a_charge", HOOK)]


def test_the_stored_bytes_are_stripes_own(shop: Shop) -> None:
    """Number and letter as in Stripe's answer: what JSON libraries would write otherwise."""
    body = listed(
        event(
            "a",
            "charge.succeeded",
            {"id": "ch_a", "object": "charge", "note": "é"},
            created=shop.now - DAY,
        )
    )
    shop.stripe.events.add(body)
    shop.poll()
    text = shop.payload("evt_a")
    assert json.loads(text) == body
    assert text == json.dumps(body, indent=2).replace("\n", "\n    ").encode()
    assert b"\\u00e9" in text


def test_types_that_are_only_kept_are_fetched_too(shop: Shop) -> None:
    """The ledger needs refunds; a type that nobody wants is not asked for."""
    for name, kind in (("refund", "charge.refunded"), ("customer", "customer.created")):
        subject = {"id": "ch_a", "object": "charge"}
        shop.stripe.events.add(listed(event(name, kind, subject, created=shop.now - DAY)))
    shop.poll()
    assert shop.rows() == {"evt_refund": "api"}
    assert shop.deliveries() == []


def test_more_types_than_one_request_can_name(shop: Shop) -> None:
    """Stripe takes twenty types; the rest is asked for separately."""
    kinds = tuple(f"thing.number_{number}" for number in range(30))
    for number, kind in enumerate(kinds):
        subject = {"id": f"th_{number}", "object": "thing"}
        shop.stripe.events.add(
            listed(event(number, kind, subject, created=shop.now - DAY + number))
        )
    changed = shop.with_events(kinds)
    changed.poll()
    assert len(shop.rows()) == 30


def test_a_poll_that_breaks_off_between_types(shop: Shop) -> None:
    """What the first twenty types have shown is no reason to skip the others."""
    kinds = (*(f"thing.number_{number}" for number in range(20)), "thing.last")
    for number, kind in enumerate((kinds[0], "thing.last")):
        subject = {"id": f"th_{number}", "object": "thing"}
        created = shop.now - (1 if number == 0 else 3) * DAY
        shop.stripe.events.add(listed(event(number, kind, subject, created=created)))
    changed = shop.with_events(kinds)

    def break_off(_listed: int) -> None:
        shop.stripe.failures.append(Failure(500, on="/v1/events", times=9))

    with changed.backfill() as task, pytest.raises(AccountError):
        task.poll(break_off)
    assert set(shop.rows()) == {"evt_0"}
    shop.stripe.failures.clear()
    changed.poll()
    assert set(shop.rows()) == {"evt_0", "evt_1"}


def test_nothing_before_the_database_was_made(shop: Shop) -> None:
    """Tracknow may have had those sales directly: to the second."""
    made = shop.now - DAY
    shop.made(made - 0.5)
    shop.sell("before", made - 1)
    shop.sell("after", made)
    shop.poll()
    assert set(shop.rows()) == {"evt_after", "evt_after_charge"}


def test_going_back_further_when_it_is_asked_for(shop: Shop) -> None:
    """A rewind counts for the polls that follow, also if its own poll never ends."""
    shop.made(shop.now - DAY)
    shop.sell("old", ago=20 * DAY)
    shop.poll()
    assert shop.rows() == {}
    with shop.backfill() as task:
        task.rewind(shop.now - 21 * DAY)
    shop.poll()
    assert set(shop.rows()) == {"evt_old", "evt_old_charge"}


def test_the_youngest_events_are_left_to_stripe(shop: Shop) -> None:
    """They are on their way; if they do not come, the next poll finds them."""
    shop.sell("young", ago=MARGIN - 10)
    shop.poll()
    assert shop.rows() == {}
    shop.clock.time += 3600
    shop.poll()
    assert len(shop.rows()) == 2


def test_polls_overlap_to_the_same_second(shop: Shop) -> None:
    """An event that Stripe lists late, with the time of one that is stored, is not lost."""
    shop.sell("a", ago=2 * MARGIN)
    shop.poll()
    shop.sell("late", ago=2 * MARGIN)
    shop.clock.time += 3600 - 10
    shop.poll()
    assert "evt_late" in shop.rows()
    assert OVERLAP >= 3600


def test_a_clock_ahead_leaves_no_gap(shop: Shop) -> None:
    """Where the next poll begins follows Stripe's clock, not this host's."""
    # Stripe's answers have this machine's time.
    shop.clock.time = time.time() + DAY
    shop.made(time.time() - DAY)
    shop.poll()
    assert shop.state.at <= time.time() - MARGIN
    shop.clock.time += DAY
    shop.sell("a", int(time.time()))
    shop.poll()
    assert "evt_a" in shop.rows()


def test_a_database_made_under_a_wrong_clock(shop: Shop) -> None:
    """One from long ago is not believed; one from the future begins at Stripe's time."""
    shop.made(0.0)
    shop.sell("a", ago=DAY)
    shop.poll()
    assert shop.rows() == {}
    other = shop.with_key("rk_live_good2")
    # Stripe's answers have this machine's time.
    shop.clock.time = time.time() + 90 * DAY
    shop.made(shop.clock.time)
    other.poll()
    assert shop.state.start <= time.time() + 1
    assert shop.state.at <= time.time()


def test_a_clock_that_is_set_back_opens_no_past(shop: Shop) -> None:
    """However wrong it is for a while, nothing from before the database is fetched."""
    right = shop.clock.time
    shop.made(right - DAY)
    shop.sell("before", ago=20 * DAY)
    for wrong in (1_000.0, right - 15 * DAY, right + 90 * DAY):
        shop.clock.time = wrong
        if wrong < DAY:
            with pytest.raises(AccountError, match="clock is wrong"):
                shop.poll()
        else:
            shop.poll()
        assert shop.rows() == {}
        shop.clock.time = right + 2 * LEASE_SECONDS
        shop.poll()
        assert shop.rows() == {}
        assert shop.state.start >= right - DAY


def test_a_relay_that_was_away_for_long_gets_what_stripe_still_has(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """What is older than thirty days is lost to events: the log names what lists it."""
    shop.poll()
    assert "--sessions" not in caplog.text
    shop.clock.time += 40 * DAY
    shop.sell("a", ago=29 * DAY)
    shop.poll()
    assert "evt_a" in shop.rows()
    assert "--sessions" in caplog.text


def test_another_key_begins_anew(shop: Shop) -> None:
    """It may be of another account, where nothing was looked for yet."""
    shop.sell("a", ago=5 * DAY)
    shop.poll()
    other = shop.with_key("rk_live_good2")
    shop.sell("b", ago=5 * DAY)
    other.poll()
    assert "evt_b" in shop.rows()


def test_one_process_at_a_time(shop: Shop) -> None:
    """Who has the lease keeps others out until it is over; then they go on."""
    shop.sell("a", ago=DAY)
    with shop.backfill() as task:
        task.rewind(shop.now - 2 * DAY)
    other = Database(shop.config.database, [HOOK], clock=shop.clock)
    second = shop.on(other)
    assert second.poll() is None
    assert shop.rows() == {}
    shop.clock.time += LEASE_SECONDS
    assert second.poll() is not None
    assert len(shop.rows()) == 2
    other.close()


def test_who_was_replaced_stops(shop: Shop) -> None:
    """A process that others took for dead notices, and stores no place over theirs."""
    for number in range(5):
        shop.sell(number, ago=DAY - number)
    shop.stripe.page = 2
    other = Database(shop.config.database, [HOOK], clock=shop.clock)
    second = shop.on(other)
    pages: list[int] = []
    with shop.backfill() as task:

        def replace(listed: int) -> None:
            pages.append(listed)
            if listed == 4:
                shop.clock.time += LEASE_SECONDS
                assert second.poll() is not None

        assert task.poll(replace) is None
    assert pages == [2, 4]
    assert len(shop.rows()) == 10
    assert shop.state.polled_at > 0
    other.close()


def test_a_relay_that_gets_no_events_is_reported(shop: Shop) -> None:
    """One poll may find what was on its way; two in a row mean that Stripe cannot reach it."""
    since = shop.clock.time
    for poll in range(3):
        shop.clock.time += 3600
        shop.sell(poll, ago=2 * MARGIN)
        shop.poll(running_since=since)
        codes = [found.code for found in findings(shop.state, shop.clock.time)]
        assert ("never-pushed" in codes) == (poll > 0)
    assert (shop.state.in_a_row, shop.state.unpushed, shop.state.found) == (3, 6, 6)
    shop.clock.time += 3600
    shop.sell("pushed", ago=2 * MARGIN)
    shop.push("evt_pushed")
    shop.push("evt_pushed_charge")
    shop.poll(running_since=since)
    assert shop.state.in_a_row == 0


def test_what_was_missed_while_no_relay_ran_is_no_alarm(shop: Shop) -> None:
    """Nobody was there for Stripe to reach."""
    for poll in range(3):
        shop.clock.time += 3600
        shop.sell(poll, ago=2 * MARGIN)
        shop.poll(running_since=shop.clock.time)
    assert (shop.state.in_a_row, shop.state.found) == (0, 6)


def test_an_hour_between_polls(shop: Shop) -> None:
    """A process polls when it starts, and again an hour after whoever polled last."""
    with shop.backfill(running_since=shop.clock.time) as task:
        assert task.is_due()
        task.poll()
        assert not task.is_due()
        shop.clock.time += 3590
        assert not task.is_due()
        shop.clock.time += 10
        assert task.is_due()
    with shop.backfill(running_since=shop.clock.time) as started:
        assert started.is_due()


def test_the_state_of_the_endpoint(shop: Shop) -> None:
    """Enabled, disabled, gone; and what is missing to know it."""

    def look() -> tuple[str, list[str]]:
        shop.poll()
        return shop.state.endpoint, [found.code for found in findings(shop.state, shop.now)]

    assert look() == ("absent", ["endpoint-absent"])
    relay = shop.stripe.add("https://relay.example.com/stripe/webhook")
    assert look() == ("enabled", [])
    shop.stripe.endpoints[relay]["status"] = "disabled"
    assert look() == ("disabled", ["endpoint-disabled"])
    shop.stripe.denied = ("webhook_endpoints",)
    assert look() == ("", [])
    assert "Webhook Endpoints: Read" in shop.state.endpoint_unknown


def test_a_missed_session_is_not_the_customers_latest(shop: Shop) -> None:
    """The click id of a customer that came since stays; one who had none gets it."""
    shop.sell("older", ago=3 * DAY, customer="cus_1")
    shop.sell("newer", ago=DAY, customer="cus_1")
    shop.sell("only", ago=2 * DAY, customer="cus_2")
    shop.push("evt_newer")
    shop.poll()
    with shop.database.read() as connection:
        found = connection.execute(select(customer_references)).all()
    assert {row.customer: row.reference for row in found} == {
        "cus_1": "click_newer",
        "cus_2": "click_only",
    }
