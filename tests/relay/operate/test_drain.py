"""Draining: what cron runs."""

from __future__ import annotations

from tests.events import encode, purchase
from tests.relay.deliver.stand_in import StandIn, answer
from tests.relay.operate.parts import (
    accept,
    environment,
    run,
    run_json,
)


def test_drain_delivers_what_is_due(database_url: str, destination: StandIn) -> None:
    """One call delivers the stored bytes, and prints their number."""
    environ = environment(database_url, destination.url)
    accept(environ, encode(purchase(1)), encode(purchase(2)))
    found = run_json(environ, "drain")
    assert found == {
        "delivered": 2,
        "rejected": 0,
        "retried": 0,
        "dead": 0,
        "lost": 0,
        "left": 0,
    }
    assert sorted(one.body for one in destination.requests) == [
        encode(purchase(1)),
        encode(purchase(2)),
    ]


def test_drain_is_silent_when_nothing_is_due(sqlite_url: str, destination: StandIn) -> None:
    """Cron sends a mail for every line."""
    environ = environment(sqlite_url, destination.url)
    run(environ, "migrate")
    result = run(environ, "drain")
    assert result.output == ""


def test_drain_fails_for_a_dead_letter(sqlite_url: str, destination: StandIn) -> None:
    """A refused event needs a person."""
    destination.decide = lambda _request: answer(422)
    environ = environment(sqlite_url, destination.url)
    accept(environ, encode(purchase(1)))
    assert run_json(environ, "drain", code=1)["dead"] == 1


def test_drain_needs_no_signing_secret(sqlite_url: str, destination: StandIn) -> None:
    """A host that only delivers need not hold the secret that verifies."""
    environ = environment(sqlite_url, destination.url)
    accept(environ, encode(purchase(1)))
    del environ["STRIPE_WEBHOOK_SECRET"]
    assert run_json(environ, "drain")["delivered"] == 1
