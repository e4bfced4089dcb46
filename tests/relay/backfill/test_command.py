"""``tracknow-relay backfill``: what it prints, asks for and refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.account.stand_in import Failure
from tests.events import encode
from tests.relay.backfill.parts import DAY, SIGNED, sale
from tests.relay.operate.parts import accept, run, run_json
from tracknow_static.relay.operate import backfill as command
from tracknow_static.relay.operate.cli import cli
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.store import queries

if TYPE_CHECKING:
    from tests.relay.backfill.place import Place


def test_what_was_missing_is_reported_and_shown(place: Place) -> None:
    """Numbers by type; and of one event, where it came from and who does not get it."""
    place.sell("a", DAY)
    found = run_json(place.environ, "backfill")
    assert (found["listed"], found["missing"], found["endpoint"]) == (2, 2, "enabled")
    assert found["missing_by_type"] == {"charge.succeeded": 1, "checkout.session.completed": 1}
    again = run(place.environ, "backfill", "--since", "2d").output
    assert "2 events at Stripe" in again
    assert "; 0 were missing" in again
    shown = run(place.environ, "show", "evt_a").output
    assert "fetched from Stripe's API" in shown
    assert f"{SIGNED}  not delivered" in shown
    assert run_json(place.environ, "show", "evt_a")["source"] == "api"


def test_connected_accounts_are_named_as_a_limit(place: Place) -> None:
    """Their events are not fetched: whoever has their sales is warned, and nobody else."""
    place.sell("a", DAY)
    assert "connected accounts" not in run(place.environ, "backfill").stderr
    accept(place.environ, *(encode({**body, "account": "acct_1"}) for body in sale("b", place.now)))
    Ledger(place.database).catch_up(60)
    for args in ([], ["--json"]):
        assert run(place.environ, "backfill", *args).stderr.count("connected accounts") == 1


def test_a_dry_run_stores_nothing(place: Place) -> None:
    """It counts, also before the database was made, and changes nothing."""
    place.sell("a", DAY)
    place.sell("old", 20 * DAY)
    assert run_json(place.environ, "backfill", "--dry-run")["missing"] == 2
    assert run_json(place.environ, "backfill", "--dry-run", "--since", "25d")["missing"] == 4
    assert place.stored() == 0


def test_sales_that_tracknow_may_have_need_a_yes(place: Place) -> None:
    """Nothing older than the database is fetched unless somebody confirms it."""
    place.sell("old", 20 * DAY)
    refused = run(place.environ, "backfill", "--since", "25d", code=2)
    assert "would count twice" in refused.output
    assert "--yes" in refused.output
    assert place.stored() == 0
    run(place.environ, "backfill", "--since", "5d")
    assert place.stored() == 0
    assert run_json(place.environ, "backfill", "--since", "25d", "--yes")["missing"] == 2
    assert place.stored() == 2


@pytest.mark.parametrize("answer", ["n", "y"])
def test_on_a_terminal_it_asks(place: Place, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """The answer decides; nothing is fetched before it."""
    place.sell("old", 20 * DAY)
    monkeypatch.setattr(command, "_is_terminal", lambda: True)
    result = CliRunner().invoke(
        cli, ["backfill", "--since", "25d"], env=place.environ, input=f"{answer}\n"
    )
    assert "Fetch them?" in result.output
    assert result.exit_code == (0 if answer == "y" else 1)
    assert place.stored() == (2 if answer == "y" else 0)


@pytest.mark.parametrize(
    ("key", "code", "text"),
    [
        ("", 4, "STRIPE_API_KEY or STRIPE_API_KEY_FILE"),
        ("rk_test_good", 6, "is a key of test mode, but the relay forwards live events"),
        ("rk_live_wrong", 4, "Stripe does not know this API key"),
        ("whsec_123456", 2, "This is a webhook signing secret, not an API key"),
    ],
)
def test_a_key_that_does_not_do(place: Place, key: str, code: int, text: str) -> None:
    """The text names what is wrong, and never the key."""
    place.sell("a", DAY)
    result = run({**place.environ, "STRIPE_API_KEY": key}, "backfill", code=code)
    assert text in result.output
    assert "rk_live_wrong" not in result.output
    assert place.stored() == 0


def test_a_key_without_permission(place: Place) -> None:
    """The permission that is missing is named."""
    place.stripe.denied = ("/v1/events",)
    assert "Events: Read" in run(place.environ, "backfill", code=4).output


def test_a_key_that_may_not_see_endpoints_is_enough(place: Place) -> None:
    """What it cannot know is printed with the permission that would show it."""
    place.stripe.denied = ("webhook_endpoints",)
    assert "Webhook Endpoints: Read" in run(place.environ, "backfill").output


def test_a_disabled_endpoint_is_reported_everywhere(place: Place) -> None:
    """By the command itself, by status and by check."""
    for endpoint in place.stripe.endpoints.values():
        endpoint["status"] = "disabled"
    text = "Stripe has disabled the relay's webhook endpoint"
    assert text in run(place.environ, "backfill", code=1).output
    assert text in run(place.environ, "status", "--strict", code=1).output
    assert "missed events looked for" in run(place.environ, "status").output


def test_stripe_that_is_down(place: Place) -> None:
    """A clear text, and the next run finds everything."""
    place.sell("a", DAY)
    place.stripe.failures.append(Failure(500, times=9, on="/v1/events"))
    assert "internal error (500)" in run(place.environ, "backfill", code=5).output
    place.stripe.failures.clear()
    assert run_json(place.environ, "backfill")["missing"] == 2


def test_check_tries_the_key(place: Place) -> None:
    """What it can do, and how the endpoint is, are checks of their own."""
    found = {one["what"]: one["result"] for one in _checks(place)}
    assert (found["stripe"], found["endpoint"]) == ("ok", "ok")
    place.stripe.denied = ("/v1/events",)
    text = next(one["text"] for one in _checks(place) if one["what"] == "stripe")
    assert "Events: Read" in text


def _checks(place: Place) -> list[dict[str, str]]:
    # The destinations do not exist.
    checks: list[dict[str, str]] = run_json(place.environ, "check", code=1)["checks"]
    return checks


def test_explain_and_metrics_know_how_an_event_came(place: Place) -> None:
    """A fetched event is one in the story of its sale, and in the counters."""
    place.sell("a", DAY)
    run(place.environ, "backfill")
    run(place.environ, "sales", "--rebuild")
    story = run_json(place.environ, "explain", "cs_a")["evidence"]
    assert {one["what"] for one in story} == {"created", "fetched", "unsigned", "due"}
    assert {one["detail"] for one in story if one["what"] == "unsigned"} == {SIGNED}
    assert "signature only" in run(place.environ, "explain", "cs_a").output
    tallies = queries.status(place.database).tallies
    assert (tallies["accepted", ""], tallies["fetched", ""]) == (2, 2)


def test_a_replay_respects_who_verifies(place: Place) -> None:
    """A fetched event has no signature, however often it is replayed."""
    place.sell("a", DAY)
    run(place.environ, "backfill")
    done = run_json(place.environ, "replay", "evt_a", "--destination", SIGNED, code=1)
    assert (done["deliveries"], done["not_replayed"]["unsigned"]) == (0, 1)
    assert run_json(place.environ, "replay", "evt_a")["deliveries"] == 1


def test_when_everybody_verifies_it_is_kept(place: Place) -> None:
    """An event that nobody gets is stored with the reason."""
    place.sell("a", DAY)
    place.environ["TRACKNOW_RELAY_DESTINATIONS"] = SIGNED
    run(place.environ, "backfill")
    assert run_json(place.environ, "show", "evt_a")["skipped_because"] == "unsigned"
    place.environ["TRACKNOW_RELAY_SIGNED_DESTINATIONS"] = ""
    assert run_json(place.environ, "replay", "evt_a")["deliveries"] == 1
