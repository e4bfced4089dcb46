"""``stripe rotate``: a new secret, with no moment in which the relay refuses an event."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.account.conftest import DIRECT, RELAY
from tests.account.stand_in import Failure

if TYPE_CHECKING:
    from tests.account.conftest import Merchant


@pytest.fixture
def rotating(merchant: Merchant) -> tuple[str, str]:
    """Set up the relay and begin a rotation; the ids of the old and the new endpoint."""
    merchant.run(f"setup --relay-url {RELAY} --yes")
    (old,) = merchant.stripe.endpoints
    merchant.run("rotate --yes")
    return old, next(id_ for id_ in merchant.stripe.endpoints if id_ != old)


def test_both_secrets_are_accepted_meanwhile(merchant: Merchant, rotating: tuple[str, str]) -> None:
    """Two endpoints with the same events; the file holds both secrets, the new one first."""
    old, new = (merchant.stripe.endpoints[id_] for id_ in rotating)
    assert (new["url"], new["enabled_events"]) == (old["url"], old["enabled_events"])
    assert merchant.secrets == [merchant.stripe.secrets[id_] for id_ in reversed(rotating)]


def test_the_second_half_leaves_the_new_secret_alone(
    merchant: Merchant, rotating: tuple[str, str]
) -> None:
    """--finish deletes the old endpoint and its secret; setup then finds nothing to do."""
    merchant.run("rotate --finish --yes")
    assert list(merchant.stripe.endpoints) == [rotating[1]]
    assert merchant.secrets == [merchant.stripe.secrets[rotating[1]]]
    assert "Nothing to do" in merchant.run(f"setup --relay-url {RELAY}").output


def test_rotating_twice_in_a_row(merchant: Merchant, rotating: tuple[str, str]) -> None:
    """The next rotation begins from the endpoint that the last one left."""
    merchant.run("rotate --finish --yes")
    merchant.run("rotate --yes")
    merchant.run("rotate --finish --yes")
    (id_,) = merchant.stripe.endpoints
    assert id_ not in rotating
    assert merchant.secrets == [merchant.stripe.secrets[id_]]


def test_a_plan_first(merchant: Merchant) -> None:
    """--dry-run shows both halves and changes neither the account nor the file."""
    merchant.run(f"setup --relay-url {RELAY} --yes")
    secrets = merchant.secrets
    merchant.stripe.requests.clear()
    assert "+ create a second endpoint" in merchant.run("rotate --dry-run").output
    assert merchant.stripe.changes() == []
    merchant.run("rotate --yes")
    merchant.stripe.requests.clear()
    assert "- delete we_" in merchant.run("rotate --finish --dry-run").output
    assert merchant.stripe.changes() == []
    assert merchant.secrets[1:] == secrets


@pytest.mark.usefixtures("rotating")
def test_one_rotation_at_a_time(merchant: Merchant) -> None:
    """A second one is refused while the first is in progress, and nothing new is made."""
    result = merchant.run("rotate --yes", code=6)
    assert "A rotation is in progress" in result.output
    assert len(merchant.stripe.endpoints) == 2


@pytest.mark.usefixtures("rotating")
def test_setup_and_status_understand_a_rotation(merchant: Merchant) -> None:
    """The pair of endpoints does not count sales twice: the relay knows the event by its id."""
    result = merchant.run(f"setup --relay-url {RELAY} --yes", code=1)
    assert "Nothing to do" in result.output
    assert "rotate --finish" in result.output
    result = merchant.run("status", code=1)
    assert "being replaced" in result.output
    assert "more than once" not in result.output


def test_events_that_only_the_old_endpoint_gets_are_waited_for(
    merchant: Merchant, rotating: tuple[str, str]
) -> None:
    """Stripe is still trying an event from before the new endpoint: finishing would lose it."""
    created = int(time.time()) - 3600
    for endpoint in merchant.stripe.endpoints.values():
        endpoint["created"] += int(time.time()) - endpoint["created"]
    merchant.stripe.add_event("evt_waiting", created)
    result = merchant.run("rotate --finish --yes", code=6)
    assert "evt_waiting" in result.output
    assert set(merchant.stripe.endpoints) == set(rotating)
    merchant.run("rotate --finish --yes --force")
    assert list(merchant.stripe.endpoints) == [rotating[1]]


@pytest.mark.usefixtures("rotating")
def test_an_endpoint_whose_secret_is_not_in_the_file_does_not_stay_alone(
    merchant: Merchant,
) -> None:
    """--finish is refused when the relay could not verify the endpoint that is left."""
    merchant.secret_file.write_text(merchant.secrets[1] + "\n")
    result = merchant.run("rotate --finish --yes", code=6)
    assert "the only endpoint left then" in result.output
    assert len(merchant.stripe.endpoints) == 2


def test_a_rotation_that_breaks_off_can_be_run_again(merchant: Merchant) -> None:
    """The one request that makes a rotation fails: nothing is left behind, not in the file."""
    merchant.run(f"setup --relay-url {RELAY} --yes")
    before = merchant.secrets
    refused = Failure(400, "no", kind="invalid_request_error", on="POST /v1/webhook_endpoints")
    merchant.stripe.failures.append(refused)
    merchant.run("rotate --yes", code=5)
    assert merchant.secrets == before
    merchant.run("rotate --yes")
    merchant.run("rotate --finish --yes")
    assert len(merchant.secrets) == 1


def test_an_endpoint_made_by_hand_can_be_rotated(merchant: Merchant) -> None:
    """Named by --relay-url; its old secret is unknown and stays, which is reported."""
    merchant.stripe.add(RELAY)
    merchant.secret_file.parent.mkdir(parents=True)
    merchant.secret_file.write_text("whsec_pasted_by_hand\n")
    merchant.secret_file.chmod(0o600)
    merchant.run(f"rotate --relay-url {RELAY} --yes")
    result = merchant.run(f"rotate --relay-url {RELAY} --finish --yes", code=1)
    assert "is unknown, so none was removed" in result.output
    assert "whsec_pasted_by_hand" in merchant.secrets
    assert len(merchant.stripe.endpoints) == 1


def test_tracknows_own_endpoint_is_not_doubled(merchant: Merchant) -> None:
    """Two direct endpoints would count each sale twice, so a direct one is not rotated."""
    merchant.run("setup --namespace shop --yes")
    for line in ("rotate --yes", "rotate --namespace shop --yes"):
        result = merchant.run(line, code=6)
        assert "would count each sale of that time twice" in result.output
    assert [endpoint["url"] for endpoint in merchant.stripe.endpoints.values()] == [DIRECT]


def test_there_is_something_to_rotate(merchant: Merchant) -> None:
    """Without an endpoint of the relay both halves report what is missing."""
    assert "stripe setup" in merchant.run("rotate --yes", code=1).output
    merchant.run(f"setup --relay-url {RELAY} --yes")
    assert "no rotation to finish" in merchant.run("rotate --finish --yes", code=1).output
