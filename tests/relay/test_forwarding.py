"""Which events are forwarded, and where to: by type, mode and account."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.events import purchase
from tests.relay.calls import code, post, relay
from tracknow_static.relay.store import leases, queries
from tracknow_static.relay.store.model import Filter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.relay.app import Relay


@pytest.fixture
def application(sqlite_url: str) -> Iterator[Relay]:
    """A relay on a fresh SQLite file."""
    made = relay(sqlite_url)
    yield made
    made.stop(100)


THIN = {
    "id": "evt_test_65R",
    "object": "v2.core.event",
    "type": "v1.checkout.session.completed",
    "livemode": True,
    "created": "2026-01-01T00:00:00.000Z",
    "related_object": {"id": "cs_1", "type": "checkout.session"},
}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (purchase(type="customer.created"), "type"),
        (purchase(type="charge.failed"), "type"),
        (purchase(livemode=False), "mode"),
        (purchase(livemode=None), "mode"),
        (purchase(account="acct_1ABC"), "account"),
        (THIN, "thin"),
        ({**THIN, "related_object": None}, "thin"),
    ],
)
def test_kept_and_not_forwarded(application: Relay, body: dict[str, Any], reason: str) -> None:
    """What is not to be forwarded is stored, answered with 200, and its reason is visible."""
    assert code(post(application, body)) == (200, "stored")
    found = queries.find(application.database, Filter(skipped_because=reason)).events
    assert [(one.id, one.skipped_because) for one in found] == [(body["id"], reason)]
    assert leases.claim(application.database, limit=10, lease_seconds=60) == []
    assert queries.status(application.database).tallies[f"kept:{reason}", ""] == 1


def test_thin_event_says_how_to_mend(application: Relay, caplog: Any) -> None:
    """A thin event is quarantined with the advice to use the snapshot payload style."""
    with caplog.at_level(logging.WARNING):
        post(application, THIN)
    assert "payload style Snapshot" in caplog.text
    assert "evt_test_65R" in caplog.text


@pytest.mark.parametrize(
    ("mode", "livemode", "forwarded"),
    [
        ("live", True, 1),
        ("live", False, 0),
        ("test", True, 0),
        ("test", False, 1),
        ("both", True, 1),
        ("both", False, 1),
    ],
)
def test_modes(sqlite_url: str, mode: str, livemode: bool, forwarded: int) -> None:
    """The configured mode decides which of Stripe's two worlds is forwarded."""
    made = relay(sqlite_url, TRACKNOW_RELAY_LIVEMODE=mode)
    post(made, purchase(livemode=livemode))
    assert len(leases.claim(made.database, limit=10, lease_seconds=60)) == forwarded
    made.stop(100)


def test_wanted_types_and_accounts(sqlite_url: str) -> None:
    """More types and connected accounts are forwarded when they are named."""
    made = relay(
        sqlite_url,
        TRACKNOW_RELAY_EVENTS="checkout.session.async_payment_succeeded",
        TRACKNOW_RELAY_ACCOUNTS="acct_mine",
    )
    wanted = "checkout.session.async_payment_succeeded"
    post(made, purchase(1, type=wanted, account="acct_mine"))
    post(made, purchase(2, type=wanted, account="acct_other"))
    post(made, purchase(3))
    assert [one.event_id for one in leases.claim(made.database, limit=9, lease_seconds=60)] == [
        "evt_1"
    ]
    made.stop(100)


@pytest.mark.parametrize("context", ["acct_other", "org_1/acct_other", "acct_mine"])
def test_events_of_an_organisation_are_those_of_their_account(
    sqlite_url: str, context: str
) -> None:
    """They carry `context` instead of `account`, and are forwarded for accounts that are named."""
    made = relay(sqlite_url, TRACKNOW_RELAY_ACCOUNTS="acct_mine")
    post(made, purchase(1, context=context))
    (stored,) = queries.find(made.database, Filter()).events
    mine = context == "acct_mine"
    assert (stored.account, stored.skipped_because) == (
        "acct_mine" if mine else "acct_other",
        None if mine else "account",
    )
    made.stop(100)


def test_every_destination_gets_its_delivery(sqlite_url: str) -> None:
    """An event is due for each configured destination."""
    made = relay(sqlite_url, TRACKNOW_RELAY_DESTINATIONS="https://a.example/x,https://b.example/")
    post(made, purchase())
    claimed = leases.claim(made.database, limit=9, lease_seconds=60)
    assert {one.destination for one in claimed} == {"https://a.example/x", "https://b.example/"}
    made.stop(100)
