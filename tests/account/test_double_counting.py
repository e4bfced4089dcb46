"""``stripe setup`` refuses what would report a sale twice, and shows what to do instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.account.conftest import DIRECT, RELAY

if TYPE_CHECKING:
    from tests.account.conftest import Merchant


@pytest.mark.parametrize(
    ("there", "wanted"),
    [(DIRECT, f"--relay-url {RELAY}"), (RELAY, "--namespace shop")],
    ids=["direct then relay", "relay then direct"],
)
def test_a_sale_never_counts_twice(merchant: Merchant, there: str, wanted: str) -> None:
    """A direct endpoint beside the relay is refused, explained, and the way out is named."""
    id_ = merchant.stripe.add(there)
    result = merchant.run(f"setup {wanted} --yes", code=6)
    assert "every sale would count twice" in result.output
    assert f"{id_}  {there}" in result.output
    assert f"tracknow-static stripe remove --id {id_}" in result.output
    assert merchant.stripe.changes() == []


def test_the_way_out_of_double_counting_works(merchant: Merchant) -> None:
    """After the removal that the refusal names, the same command goes through."""
    id_ = merchant.stripe.add(DIRECT)
    merchant.run(f"setup --relay-url {RELAY} --yes", code=6)
    merchant.run(f"remove --id {id_} --yes")
    merchant.run(f"setup --relay-url {RELAY} --yes")
    assert [endpoint["url"] for endpoint in merchant.stripe.endpoints.values()] == [RELAY]


def test_another_program_may_have_the_relays_path(merchant: Merchant) -> None:
    """--not-a-relay marks an endpoint with the relay's path as something else."""
    id_ = merchant.stripe.add("https://app.example.com/stripe/webhook")
    result = merchant.run("setup --namespace shop --yes", code=6)
    assert f"--not-a-relay {id_}" in result.output
    merchant.run(f"setup --namespace shop --yes --not-a-relay {id_}")
    assert len(merchant.stripe.endpoints) == 2


@pytest.mark.parametrize("state", [{"status": "disabled"}, {"enabled_events": ["payout.paid"]}])
def test_what_reports_no_sales_is_no_rival(merchant: Merchant, state: dict[str, object]) -> None:
    """A disabled endpoint, or one without the two events, counts nothing and stays."""
    merchant.stripe.add(DIRECT, **state)  # type: ignore[arg-type]
    merchant.run(f"setup --relay-url {RELAY} --yes")
    assert len(merchant.stripe.endpoints) == 2


def test_two_endpoints_of_one_url_are_refused(merchant: Merchant) -> None:
    """Which of two equal endpoints to keep is the merchant's decision."""
    first, second = merchant.stripe.add(DIRECT), merchant.stripe.add(DIRECT)
    result = merchant.run("setup --namespace shop --yes", code=6)
    assert first in result.output
    assert second in result.output


def test_an_event_destination_of_thin_events_is_pointed_out(merchant: Merchant) -> None:
    """Thin events hold no purchase: a destination of them does not stand in for an endpoint."""
    merchant.stripe.destinations.append(_destination("thin"))
    result = merchant.run("setup --namespace shop --yes", code=1)
    assert "ed_1 sends thin events" in result.output
    assert len(merchant.stripe.endpoints) == 1


def test_an_event_destination_of_snapshots_counts_sales(merchant: Merchant) -> None:
    """A destination that is only in Stripe's newer list is a rival all the same."""
    merchant.stripe.destinations.append(_destination("snapshot"))
    result = merchant.run(f"setup --relay-url {RELAY} --yes", code=6)
    assert "ed_1: in the Dashboard" in result.output
    result = merchant.run("setup --namespace shop --yes", code=6)
    assert "this command cannot change" in result.output


def _destination(payload: str) -> dict[str, object]:
    return {
        "id": "ed_1",
        "object": "v2.core.event_destination",
        "created": "2026-01-01T00:00:00.000Z",
        "description": "",
        "enabled_events": ["charge.succeeded", "checkout.session.completed"],
        "event_payload": payload,
        "livemode": False,
        "metadata": {},
        "name": "by hand",
        "status": "enabled",
        "type": "webhook_endpoint",
        "updated": "2026-01-01T00:00:00.000Z",
        "webhook_endpoint": {"signing_secret": None, "url": DIRECT},
    }


def test_endpoints_beyond_the_first_page_count(merchant: Merchant) -> None:
    """The list is read to its end before anything is decided."""
    merchant.stripe.page = 2
    merchant.stripe.add(DIRECT)
    for number in range(5):
        merchant.stripe.add(f"https://other.example/{number}")
    assert "Nothing to do" not in merchant.run("setup --namespace shop --dry-run").output
    merchant.run(f"setup --relay-url {RELAY} --yes", code=6)
