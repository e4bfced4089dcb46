"""Stripe's own API description judges what we ask, and what our stand-in answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.account.conftest import RELAY, Merchant
from tests.account.description import prism
from tests.account.stand_in import Stripe, running
from tests.account.test_catalog import LINK
from tests.relay.operate.conftest import untouched_logging  # noqa: F401 - for every test
from tests.relay.operate.parts import environment, run, run_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = {"Authorization": "Bearer sk_test_good"}
SECONDS = 100

pytestmark = [pytest.mark.xdist_group("prism"), pytest.mark.slow, pytest.mark.timeout(500)]


def get(url: str) -> httpx.Response:
    """Ask a server that may be busy."""
    return httpx.get(url, headers=KEY, timeout=SECONDS)


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    """Prism answering from the description alone."""
    with prism("mock") as url:
        yield url


def test_every_request_is_one_that_the_description_knows(mock: str, tmp_path: Path) -> None:
    """Set-up against Prism: it refuses requests of the wrong shape, and took all of ours."""
    merchant = Merchant(Stripe(base=mock), tmp_path)
    result = merchant.json("setup --relay-url https://elsewhere.example --yes --not-a-relay x")
    assert result["plan"][0]["does"] == "create"
    assert result["endpoint"]["id"] == "we_123456"
    assert merchant.secrets == ["whsec_from_the_description"]


@pytest.fixture(scope="module")
def supervised() -> Iterator[tuple[Stripe, str]]:
    """The stand-in with Prism before it, which turns what breaks the description into an error."""
    state = Stripe()
    with running(state) as behind, prism("proxy", behind) as front:
        state.base = front
        yield state, front


@pytest.mark.parametrize(
    "form",
    [
        {"enabled_events[0]": "charge.succeeded"},
        {"url": RELAY, "enabled_events[0]": "sale.of.the.year"},
    ],
    ids=["no url", "no event of Stripe's"],
)
def test_the_description_has_teeth(mock: str, form: dict[str, str]) -> None:
    """The server that takes our requests refuses a wrong one."""
    answer = httpx.post(f"{mock}/v1/webhook_endpoints", headers=KEY, data=form, timeout=SECONDS)
    assert answer.status_code == 422


def test_supervision_has_teeth(supervised: tuple[Stripe, str]) -> None:
    """An answer of the stand-in that the description does not allow becomes an error."""
    state, front = supervised
    id_ = state.add(RELAY)
    assert get(f"{front}/v1/webhook_endpoints").status_code == 200
    del state.endpoints[id_]["enabled_events"]
    assert get(f"{front}/v1/webhook_endpoints").status_code == 500
    state.endpoints.clear()


def test_a_whole_life_under_supervision(supervised: tuple[Stripe, str], tmp_path: Path) -> None:
    """Every request, and every answer of the stand-in, is valid by the description.

    Set-up, status, rotation, removal and the payment links all go through.
    """
    state, front = supervised
    state.add("https://crm.example/hook", ("*",))
    state.links.append(LINK)
    merchant = Merchant(state, tmp_path)
    merchant.run(f"setup --relay-url {RELAY} --yes")
    state.add_event("evt_waiting", int(time.time()) - 60)
    assert merchant.json("status", code=1)["undelivered"][0]["id"] == "evt_waiting"
    state.events.clear()
    merchant.run("rotate --yes")
    merchant.run("rotate --finish --yes")
    merchant.run("remove --yes")
    (endpoint,) = state.endpoints.values()
    assert endpoint["url"] == "https://crm.example/hook"
    answer = get(f"{front}/v1/payment_links")
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"][0]["url"] == LINK["url"]


def template(mock: str, path: str) -> dict[str, Any]:
    """Return an object with every field that the description wants of it."""
    answer = get(f"{mock}{path}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()["data"][0]
    return found


def test_what_backfill_asks_and_is_answered(
    mock: str, supervised: tuple[Stripe, str], tmp_path: Path
) -> None:
    """Events, sessions and charges: requests and answers are valid by the description."""
    state, front = supervised
    now = int(time.time())
    old = now - 40 * 86_400
    state.add("https://relay.example.com/stripe/webhook")
    state.add_event("evt_1", now - 3600)
    fields = {"created": old, "livemode": False, "payment_intent": "pi_1", "customer": None}
    charge = {"id": "ch_1", "paid": True, "status": "succeeded", "invoice": None, **fields}
    session = {"id": "cs_1", "status": "complete", "payment_status": "paid", "mode": "payment"}
    state.charges.add({**template(mock, "/v1/charges"), **charge})
    state.sessions.add({**template(mock, "/v1/checkout/sessions"), **session, **fields})
    environ = {
        **environment(f"sqlite:///{tmp_path / 'relay.sqlite3'}", livemode="test"),
        "STRIPE_API_KEY": "sk_test_good",
        "TRACKNOW_STRIPE_API_BASE": front,
    }
    run(environ, "migrate")
    assert run_json(environ, "backfill", "--since", "2d", "--yes")["missing"] == 1
    found = run_json(environ, "backfill", "--sessions", "--since", "60d", code=1)
    assert [sale["id"] for sale in found["sales"]] == ["cs_1"]
    assert run_json(environ, "explain", "cs_1")["verdict"] == "not-received"
    assert run_json(environ, "explain", "ch_1")["verdict"] == "not-received"
