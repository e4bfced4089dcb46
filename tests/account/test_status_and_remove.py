"""``stripe status`` shows the endpoints, ``stripe remove`` undoes what setup did."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.account.conftest import DIRECT, RELAY

if TYPE_CHECKING:
    from tests.account.conftest import Merchant


def test_all_is_well(merchant: Merchant) -> None:
    """After a set-up status shows the endpoint, who made it, that its secret is there; code 0."""
    merchant.run(f"setup --relay-url {RELAY} --yes")
    result = merchant.run("status")
    (id_,) = merchant.stripe.endpoints
    for word in (id_, RELAY, "relay", "enabled", "us", "yes", "test mode"):
        assert word in result.output
    assert merchant.json("status")["endpoints"][0]["secret_in_file"] == "yes"


def test_an_empty_account(merchant: Merchant) -> None:
    """No endpoint at all: reported, with the command that creates one."""
    result = merchant.run("status", code=1)
    assert "No webhook endpoints in test mode" in result.output
    assert "tracknow-static stripe setup" in result.output


def test_undelivered_events_are_shown(merchant: Merchant) -> None:
    """Events of the last days that an endpoint has not accepted are listed; older ones are not."""
    merchant.run("setup --namespace shop --yes")
    now = int(time.time())
    for number in range(12):
        merchant.stripe.add_event(f"evt_new{number}", now - 3600 - number)
    merchant.stripe.add_event("evt_old", now - 10 * 86_400)
    merchant.stripe.add_event("evt_of_no_concern", now - 60, "payout.paid")
    result = merchant.run("status", code=1)
    assert "evt_new0" in result.output
    assert "… and 2 more" in result.output
    assert "12 events of the last 7 days" in result.output
    assert "evt_old" not in result.output
    assert "evt_of_no_concern" not in result.output
    found = merchant.json("status --days 30", code=1)["undelivered"]
    assert len(found) == 13
    assert found[-1] == {
        "id": "evt_old",
        "type": "charge.succeeded",
        "created": now - 10 * 86_400,
        "pending_webhooks": 1,
    }


def test_a_key_that_may_not_read_events(merchant: Merchant) -> None:
    """The endpoints are shown all the same, and the missing permission is named."""
    merchant.run("setup --namespace shop --yes")
    merchant.stripe.denied = ("/v1/events",)
    result = merchant.run("status", code=1)
    assert DIRECT in result.output
    assert "lacks the permission Events: Read" in result.output


def test_what_is_wrong_is_reported(merchant: Merchant) -> None:
    """Disabled, an event missing, a secret that is not in the file, sales counted twice."""
    merchant.run(f"setup --relay-url {RELAY} --yes")
    (first,) = merchant.stripe.endpoints
    merchant.stripe.endpoints[first]["enabled_events"] = ["charge.succeeded"]
    merchant.secret_file.write_text("whsec_of_something_else\n")
    second = merchant.stripe.add(DIRECT)
    third = merchant.stripe.add("https://b-tracking.tracknow.info/stripe/postback")
    merchant.stripe.endpoints[third]["status"] = "disabled"
    output = merchant.run("status", code=1).output
    assert f"{first} does not get checkout.session.completed" in output
    assert f"does not hold the signing secret of {first}" in output
    assert f"{third} is disabled" in output
    assert f"Sales may count more than once: {second}, {first}" in output


def test_endpoints_of_others_are_no_concern(merchant: Merchant) -> None:
    """An endpoint of another program is listed without any remark."""
    merchant.run("setup --namespace shop --yes")
    other = merchant.stripe.add("https://crm.example/hook", ("*",), status="disabled")
    output = merchant.run("status").output
    assert other in output
    assert "elsewhere" in output


def test_remove_undoes_setup(merchant: Merchant) -> None:
    """Endpoint and secret are gone, and the file with the last secret."""
    merchant.run(f"setup --relay-url {RELAY} --yes")
    result = merchant.run("remove --yes")
    assert "Deleted we_" in result.output
    assert merchant.stripe.endpoints == {}
    assert not merchant.secret_file.exists()


def test_remove_shows_its_plan_first(merchant: Merchant) -> None:
    """--dry-run names what would be deleted and deletes nothing."""
    merchant.run(f"setup --relay-url {RELAY} --yes")
    (id_,) = merchant.stripe.endpoints
    merchant.stripe.requests.clear()
    assert f"- delete {id_} ({RELAY})" in merchant.run("remove --dry-run").output
    assert merchant.stripe.changes() == []
    assert len(merchant.secrets) == 1


def test_other_secrets_stay(merchant: Merchant) -> None:
    """Only the secret of the deleted endpoint leaves the file."""
    merchant.secret_file.parent.mkdir(parents=True)
    merchant.secret_file.write_text("whsec_another,whsec_more\n")
    merchant.secret_file.chmod(0o600)
    result = merchant.run(f"setup --relay-url {RELAY} --yes", code=1)
    assert "held 2 older secrets, kept there" in result.output
    assert len(merchant.secrets) == 3
    merchant.run("remove --yes")
    assert merchant.secrets == ["whsec_another", "whsec_more"]


def test_remove_leaves_what_was_made_by_hand(merchant: Merchant) -> None:
    """An endpoint made by hand goes only when it is named by its id."""
    id_ = merchant.stripe.add(DIRECT)
    assert "Nothing to do" in merchant.run("remove --yes").output
    result = merchant.run("remove --namespace shop --yes", code=1)
    assert f"--id {id_}" in result.output
    assert id_ in merchant.stripe.endpoints
    merchant.run(f"remove --id {id_} --yes")
    assert merchant.stripe.endpoints == {}


def test_remove_of_an_unknown_id(merchant: Merchant) -> None:
    """An id that the account does not have is named, and nothing is deleted."""
    merchant.run("setup --namespace shop --yes")
    assert "we_none" in merchant.run("remove --id we_none --yes", code=1).output
    assert len(merchant.stripe.endpoints) == 1


def test_remove_shows_what_would_be_lost(merchant: Merchant) -> None:
    """An event that is still being tried is named before its endpoint is deleted."""
    merchant.run("setup --namespace shop --yes")
    merchant.stripe.add_event("evt_waiting", int(time.time()) - 60)
    result = merchant.run("remove --dry-run", code=1)
    assert "evt_waiting" in result.output
