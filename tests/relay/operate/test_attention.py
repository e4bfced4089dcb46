"""What `status --strict`, `check` and the metrics make of a relay that does not deliver."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.events import encode, purchase, sign
from tests.relay.operate.parts import (
    WEBHOOK,
    accept,
    database_of,
    environment,
    request,
    run,
    run_json,
)
from tests.relay.operate.test_health import samples
from tests.relay.store.parts import delivered
from tracknow_static.relay import create_application
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.operate.attention import attention
from tracknow_static.relay.store import destinations, leases, queries
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import BREAKER_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Mapping

ONE, TWO = "https://one.example/hook", "https://two.example/hook"
DAY = 86_400.0


def filled(database_url: str) -> dict[str, str]:
    """Store five events; TWO has accepted them, they wait for ONE."""
    environ = environment(database_url, ONE, TWO)
    accept(environ, *(encode(purchase(number)) for number in range(5)))
    database = database_of(environ)
    for claimed in leases.claim(database, limit=10, lease_seconds=60, destinations=[TWO]):
        delivered(database, claimed, status=200)
    database.close()
    return environ


def texts(environ: Mapping[str, str], *, later: float = 0.0, max_age: float = 3600.0) -> list[str]:
    """Return what needs attention, some seconds from now."""
    config = RelayConfig.from_environ(environ)
    database = Database.from_config(config, clock=lambda: time.time() + later)
    found = [
        entry.text
        for entry in attention(queries.status(database), config.destinations, max_age=max_age)
    ]
    database.close()
    return found


def test_what_has_just_arrived_needs_no_attention(either: dict[str, str]) -> None:
    """A delivery may wait for an hour."""
    run(either, "status", "--strict")
    assert texts(either, later=3500) == []


def test_a_delivery_that_waits_for_long_needs_attention(either: dict[str, str]) -> None:
    """No worker, or one event that nobody accepts: both show in the age."""
    assert texts(either, later=20 * DAY) == [f"5 wait for {ONE}, the oldest for 20 d"]
    assert texts(either, later=3700, max_age=2 * 3600) == []
    time.sleep(1.1)
    result = run(either, "status", "--strict", "--max-age", "1s", code=1)
    assert f"5 wait for {ONE}" in result.stdout
    assert run_json(either, "status", "--max-age", "1s")["attention"]
    run(either, "status", "--strict", "--max-age", "soon", code=2)


def test_a_destination_that_is_down_needs_attention(environ: dict[str, str]) -> None:
    """Also while its breaker waits for a probe."""
    database = database_of(environ)
    seen = destinations.breaker(database, ONE)
    assert destinations.set_breaker(database, seen, failures=BREAKER_THRESHOLD)
    database.close()
    assert run_json(environ, "status", "--strict", code=1)["attention"] == [f"{ONE} is down"]
    assert run_json(environ, "status")["destinations"][0]["down"] is True
    found = run_json(environ, "check", code=1)["checks"]
    assert {"what": "delivery", "result": "failed", "text": f"{ONE} is down"} in found


def test_what_waits_for_a_former_destination_needs_attention(environ: dict[str, str]) -> None:
    """It is not delivered any more; the command that helps is named, and metrics show it."""
    environ["TRACKNOW_RELAY_DESTINATIONS"] = TWO
    result = run(environ, "status", "--strict", code=1)
    assert f"5 wait for {ONE}, which is not configured: `tracknow-relay retire`" in result.stdout
    application = create_application(RelayConfig.from_environ(environ))
    found = samples(request(application, "/metrics")[2])
    application.stop(5)
    assert found["destination_configured", ONE] == 0
    assert found["destination_configured", TWO] == 1
    assert found["backlog", ONE] == 5


@pytest.mark.parametrize(
    ("secret", "needs_attention"), [("whsec_of_another_endpoint", True), ("", False)]
)
def test_calls_that_are_all_refused_need_attention(
    environ: dict[str, str], secret: str, needs_attention: bool
) -> None:
    """A wrong secret loses every sale; a stranger without a signature is no reason to wake anyone."""
    application = create_application(RelayConfig.from_environ(environ))
    body = encode(purchase(9))
    headers = {"HTTP_STRIPE_SIGNATURE": sign(body, secret)} if secret else {}
    assert request(application, WEBHOOK, body, **headers)[0] == 400
    assert application.stop(5)
    result = run(environ, "status", "--strict", code=int(needs_attention))
    assert ("signature_mismatch" in result.stdout) is needs_attention
    accept(environ, body)
    run(environ, "status", "--strict")
