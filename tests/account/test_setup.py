"""``stripe setup``: one endpoint, created once, fixed when wrong, and no sale counted twice."""

from __future__ import annotations

import stat
import threading
from typing import TYPE_CHECKING

from tests.account.conftest import DIRECT, RELAY
from tests.account.stand_in import Failure
from tracknow_static.account.key import ApiKey
from tracknow_static.account.stripe_api import Account
from tracknow_static.account.targets import Target
from tracknow_static.tracknow import EVENT_TYPES, SALE_EVENT_TYPES

if TYPE_CHECKING:
    import pytest

    from tests.account.conftest import Merchant

BOTH = ["charge.succeeded", "checkout.session.completed"]


def test_a_plan_changes_nothing(merchant: Merchant) -> None:
    """--dry-run shows what would be made, asks Stripe only questions and writes no file."""
    result = merchant.run(f"setup --relay-url {RELAY} --dry-run")
    assert f"+ create a webhook endpoint for {RELAY}" in result.output
    assert f"events: {', '.join(SALE_EVENT_TYPES)}" in result.output
    assert merchant.stripe.changes() == []
    assert not merchant.home.exists()


def test_nothing_is_done_without_consent(merchant: Merchant) -> None:
    """Without a terminal and without --yes the plan is shown and refused."""
    result = merchant.run(f"setup --relay-url {RELAY}", code=2)
    assert "Add --yes" in result.output
    assert merchant.stripe.changes() == []


def test_it_makes_the_endpoint_of_the_guide(merchant: Merchant) -> None:
    """Tracknow's own URL, exactly the two events, and no secret file: Tracknow needs none."""
    merchant.run("setup --namespace shop --yes")
    (made,) = merchant.stripe.endpoints.values()
    assert made["url"] == DIRECT
    assert made["enabled_events"] == BOTH
    assert not merchant.home.exists()


def test_the_namespace_may_come_from_the_relays_variable(merchant: Merchant) -> None:
    """TRACKNOW_NAMESPACE stands in for --namespace."""
    merchant.run("setup --yes", TRACKNOW_NAMESPACE="shop")
    assert [endpoint["url"] for endpoint in merchant.stripe.endpoints.values()] == [DIRECT]


def test_the_secret_goes_where_the_relay_reads_it(merchant: Merchant) -> None:
    """The signing secret is in the file, mode 0600 in a folder 0700, and is not printed."""
    merchant.run(f"setup --relay-url {RELAY} --yes")
    (id_,) = merchant.stripe.endpoints
    assert merchant.secrets == [merchant.stripe.secrets[id_]]
    assert stat.S_IMODE(merchant.secret_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(merchant.secret_file.parent.stat().st_mode) == 0o700
    assert [path.name for path in merchant.secret_file.parent.iterdir()] == [
        merchant.secret_file.name
    ]


def test_the_relay_reads_the_file_that_setup_wrote(merchant: Merchant) -> None:
    """The relay's own reader accepts the file, and returns the secret that Stripe created."""
    from tracknow_static.relay.signing_secrets import Secrets

    merchant.run(f"setup --relay-url {RELAY} --yes")
    (secret,) = merchant.stripe.secrets.values()
    assert Secrets(file=merchant.secret_file).current() == (secret,)


def test_a_secret_is_shown_when_asked_for(merchant: Merchant) -> None:
    """--show-secret prints it, also in JSON."""
    result = merchant.json(f"setup --relay-url {RELAY} --yes --show-secret")
    assert result["secret"] == merchant.secrets[0]


def test_a_second_run_changes_nothing(merchant: Merchant) -> None:
    """What is right stays as it is: no request but questions, same file, exit code 0."""
    merchant.run(f"setup --relay-url {RELAY} --yes")
    before = merchant.secret_file.stat()
    merchant.stripe.requests.clear()
    result = merchant.run(f"setup --relay-url {RELAY} --yes")
    assert "Nothing to do" in result.output
    assert merchant.stripe.changes() == []
    assert merchant.secret_file.stat().st_mtime_ns == before.st_mtime_ns


def test_json_tells_a_script_what_happened(merchant: Merchant) -> None:
    """The JSON names the endpoint, the plan and the file, and holds no secret."""
    made = merchant.json(f"setup --relay-url {RELAY} --yes")
    assert made["changed"] is True
    assert made["endpoint"]["url"] == RELAY
    assert made["endpoint"]["made_by_tracknow_static"] is True
    assert made["plan"][0]["does"] == "create"
    assert made["secret_file"] == str(merchant.secret_file)
    assert "secret" not in made
    assert merchant.json(f"setup --relay-url {RELAY}")["plan"] == []


def test_more_events_on_request(merchant: Merchant) -> None:
    """--also adds an event; without it the next run drops it again, and reports that."""
    more = "charge.dispute.funds_withdrawn"
    merchant.run(f"setup --relay-url {RELAY} --yes --also {more}")
    (made,) = merchant.stripe.endpoints.values()
    assert made["enabled_events"] == [*SALE_EVENT_TYPES, more]
    result = merchant.run(f"setup --relay-url {RELAY} --yes")
    assert f"drop event {more}" in result.output
    assert made["enabled_events"] == list(SALE_EVENT_TYPES)


def test_a_path_that_is_not_the_relays(merchant: Merchant) -> None:
    """Below a prefix the relay's path is recognised; for another path the plan shows what it needs."""
    result = merchant.run("setup --relay-url https://shop.example/hooks --dry-run")
    assert "your proxy must map this path to it" in result.output
    url = "https://shop.example/relay/stripe/webhook"
    assert "your proxy" not in merchant.run(f"setup --relay-url {url} --dry-run").output
    merchant.stripe.add(url)
    merchant.run("setup --namespace shop --yes", code=6)


def test_a_slash_at_the_end_of_the_relays_path(merchant: Merchant) -> None:
    """It is kept, as the relay accepts it, and makes no other endpoint of the same URL."""
    merchant.run(f"setup --relay-url {RELAY}/ --yes")
    (made,) = merchant.stripe.endpoints.values()
    assert made["url"] == f"{RELAY}/"
    for url in (RELAY, f"{RELAY}/"):
        assert "Nothing to do" in merchant.run(f"setup --relay-url {url} --yes").output


def test_what_was_changed_by_hand_is_fixed(merchant: Merchant) -> None:
    """Missing events and a disabled state are put right, in the endpoint that is there."""
    merchant.run("setup --namespace shop --yes")
    (made,) = merchant.stripe.endpoints.values()
    made.update(status="disabled", enabled_events=["charge.succeeded"])
    result = merchant.run("setup --namespace shop --yes")
    assert "add event checkout.session.completed" in result.output
    assert "enable it" in result.output
    assert (made["status"], made["enabled_events"]) == ("enabled", BOTH)
    assert len(merchant.stripe.endpoints) == 1


def test_our_endpoint_moves_with_the_relay(merchant: Merchant) -> None:
    """A new --relay-url changes the endpoint that this command made; its secret stays valid."""
    merchant.run(f"setup --relay-url {RELAY} --yes")
    merchant.run("setup --relay-url https://new.example.com --yes")
    (made,) = merchant.stripe.endpoints.values()
    assert made["url"] == "https://new.example.com/stripe/webhook"
    assert len(merchant.secrets) == 1


def test_an_endpoint_made_by_hand_is_recognised(merchant: Merchant) -> None:
    """It is adopted, not created again; that its secret is unknown is reported."""
    id_ = merchant.stripe.add(RELAY, ("*",))
    result = merchant.run(f"setup --relay-url {RELAY} --yes", code=1)
    assert "mark it as ours: it was created by hand" in result.output
    assert "drop event *" in result.output
    assert "does not hold the signing secret" in result.output
    assert list(merchant.stripe.endpoints) == [id_]
    assert merchant.stripe.endpoints[id_]["metadata"] == {"tracknow_static": "relay"}


def test_a_secret_pasted_by_hand_may_be_right(merchant: Merchant) -> None:
    """With a secret in the file and an endpoint made by hand nothing is claimed either way."""
    merchant.stripe.add(RELAY)
    merchant.secret_file.parent.mkdir(parents=True)
    merchant.secret_file.write_text("whsec_pasted_by_hand\n")
    result = merchant.run(f"setup --relay-url {RELAY} --yes", code=1)
    assert "It is unknown whether" in result.output


def test_two_runs_at_the_same_moment_make_one_endpoint(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both see an empty account; one endpoint comes of it, whose secret both know."""
    merchant.stripe.meeting = threading.Barrier(2)
    monkeypatch.setenv("TRACKNOW_STRIPE_API_BASE", merchant.stripe.base)
    results: list[dict[str, object]] = []

    def run() -> None:
        account = Account(ApiKey.parse("sk_test_good"))
        seen = account.endpoints()
        _, secret = account.create(Target.relay(RELAY), EVENT_TYPES, seen)
        results.append({"seen": len(seen), "secret": secret})

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (id_,) = merchant.stripe.endpoints
    assert results == [{"seen": 0, "secret": merchant.stripe.secrets[id_]}] * 2


def test_set_up_removed_and_set_up_again(merchant: Merchant) -> None:
    """An answer that Stripe repeats from an earlier run is not taken for a new endpoint."""
    for _ in range(3):
        merchant.run(f"setup --relay-url {RELAY} --yes")
        (id_,) = merchant.stripe.endpoints
        assert merchant.secrets == [merchant.stripe.secrets[id_]]
        merchant.run("remove --yes")
        assert merchant.stripe.endpoints == {}


def test_a_failure_is_not_repeated_for_a_day(merchant: Merchant) -> None:
    """Stripe remembers a failed request by its key: the next run is not given that failure."""
    merchant.stripe.failures.append(Failure(500, "sorry", on="POST", headers={}, times=1))
    merchant.stripe.failures[0].headers["Stripe-Should-Retry"] = "false"
    merchant.run(f"setup --relay-url {RELAY} --yes", code=5)
    assert merchant.secrets == []
    merchant.run(f"setup --relay-url {RELAY} --yes")
    assert len(merchant.stripe.endpoints) == 1


def test_a_lost_answer_makes_no_second_endpoint(merchant: Merchant) -> None:
    """The endpoint was made and the answer lost on the way: asked again, Stripe gives the same."""
    merchant.stripe.failures.append(Failure(0, on="POST", after=True))
    merchant.run(f"setup --relay-url {RELAY} --yes")
    (id_,) = merchant.stripe.endpoints
    assert merchant.secrets == [merchant.stripe.secrets[id_]]
