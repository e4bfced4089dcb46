"""Sales older than Stripe's events: found as sessions and charges, reported, and never made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.relay.backfill.parts import DAY
from tests.relay.operate.parts import run, run_json

if TYPE_CHECKING:
    from tests.relay.backfill.place import Place

LINK = "plink_1"


def session(name: str, created: int, **fields: Any) -> dict[str, Any]:
    """Return a completed Checkout Session as the API lists it."""
    return {
        "id": f"cs_{name}",
        "object": "checkout.session",
        "created": created,
        "livemode": True,
        "status": "complete",
        "payment_status": "paid",
        "mode": "payment",
        "amount_total": 2000,
        "currency": "eur",
        "client_reference_id": f"click_{name}",
        "payment_intent": f"pi_{name}",
        "payment_link": LINK,
        "customer": None,
        **fields,
    }


def charge(name: str, created: int, **fields: Any) -> dict[str, Any]:
    """Return the charge of a session."""
    return {
        "id": f"ch_{name}",
        "object": "charge",
        "created": created,
        "livemode": True,
        "paid": True,
        "amount": 2000,
        "amount_refunded": 0,
        "currency": "eur",
        "payment_intent": f"pi_{name}",
        "customer": None,
        **fields,
    }


@pytest.fixture
def old(place: Place) -> Place:
    """A shop with sales of all kinds, forty days ago."""
    at = place.now - 40 * DAY
    for name, fields in {
        "known": {},
        "missing": {},
        "later": {"payment_status": "unpaid"},
        "left": {"status": "expired", "payment_status": "unpaid"},
    }.items():
        place.stripe.sessions.add(session(name, at, **fields))
    for name, more in {
        "known": {},
        "missing": {},
        "alone": {},
        "failed": {"paid": False},
    }.items():
        place.stripe.charges.add(charge(name, at, **more))
    place.stripe.sessions.add(session("recent", place.now - DAY))
    place.receive("known")
    return place


def test_what_was_never_received_is_listed(old: Place) -> None:
    """A session and its charge are one sale; what is stored, unpaid or recent is none."""
    found = run_json(old.environ, "backfill", "--sessions", "--since", "60d", code=1)
    assert {sale["id"]: sale["verdict"] for sale in found["sales"]} == {
        "cs_missing": "not-received",
        "ch_alone": "not-received",
    }
    missing = next(sale for sale in found["sales"] if sale["id"] == "cs_missing")
    assert (missing["reference"], missing["charge"], missing["payment_link"]) == (
        "click_missing",
        "ch_missing",
        LINK,
    )
    assert (found["listed"], found["complete"]) == (6, True)


def test_nothing_is_stored_for_it(old: Place) -> None:
    """It is a report: no event, no delivery, no sale."""
    stored = old.stored()
    output = run(old.environ, "backfill", "--sessions", "--since", "60d", code=1).output
    assert "never received 2 sales" in output
    assert old.stored() == stored
    assert run_json(old.environ, "sales", "--verdict", "not-received")["sales"] == []


def test_every_page_is_read(old: Place) -> None:
    """However small the pages are."""
    old.stripe.page = 1
    found = run_json(old.environ, "backfill", "--sessions", "--since", "60d", code=1)
    assert len(found["sales"]) == 2


def test_explain_asks_stripe_for_what_the_relay_never_received(old: Place) -> None:
    """A sale that Stripe has gets its verdict; one that nobody has is none."""
    for name in ("cs_missing", "ch_alone"):
        assert run_json(old.environ, "explain", name)["verdict"] == "not-received"
    assert "no sale for" in run(old.environ, "explain", "cs_nowhere", code=1).output
    without = {**old.environ, "STRIPE_API_KEY": ""}
    assert "Set STRIPE_API_KEY" in run(without, "explain", "cs_missing", code=1).output


@pytest.mark.parametrize(
    ("path", "permission"),
    [("/v1/checkout/sessions", "Checkout Sessions: Read"), ("/v1/charges", "Charges: Read")],
)
def test_the_permission_that_is_missing_is_named(old: Place, path: str, permission: str) -> None:
    """Each list needs its own."""
    old.stripe.denied = (path,)
    result = run(old.environ, "backfill", "--sessions", "--since", "60d", code=4)
    assert permission in result.output


@pytest.mark.parametrize("since", [(), ("--since", "20d")])
def test_a_time_of_which_stripe_has_events(place: Place, since: tuple[str, ...]) -> None:
    """What events are for is not looked for in sessions."""
    assert "--since" in run(place.environ, "backfill", "--sessions", *since, code=2).output


@pytest.mark.parametrize(
    "wrong",
    [
        {"object": "charge"},
        {"livemode": False},
        {"id": "cs_/../x\x00"},
        {"created": 7},
        {"created": "yesterday"},
    ],
    ids=["another object", "other mode", "no id", "another time", "no time"],
)
def test_an_answer_of_the_wrong_shape(place: Place, wrong: dict[str, Any]) -> None:
    """It is refused as a whole."""
    body = session("odd", place.now - 40 * DAY)
    page = place.page([{**body, **wrong}])
    place.stripe.answer_raw("/v1/checkout/sessions", page)
    result = run(place.environ, "backfill", "--sessions", "--since", "60d", code=5)
    assert "not what was asked for" in result.output
