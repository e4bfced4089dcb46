"""Shops, on both kinds of database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.account.stand_in import Stripe, running
from tests.relay.backfill.parts import HOOK, SIGNED, Shop, config_of
from tests.relay.deliver.stand_in import StandIn
from tracknow_static.relay.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.relay.store.parts import Clock


@pytest.fixture(scope="module")
def account() -> Iterator[Stripe]:
    """A live account that is served; empty it before use."""
    state = Stripe(mode="live")
    with running(state):
        yield state


@pytest.fixture
def destination() -> Iterator[StandIn]:
    """A destination that accepts."""
    with StandIn().running() as stand_in:
        yield stand_in


@pytest.fixture
def shop(
    account: Stripe, database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """An empty account, and a database that was made ten days ago."""
    monkeypatch.setenv("TRACKNOW_STRIPE_API_BASE", account.base)
    account.reset()
    database = Database(database_url, [HOOK, SIGNED], signed=[SIGNED], clock=clock)
    made = Shop(account, database, clock, config_of(database, signed_destinations=(SIGNED,)))
    made.made(clock.time - 10 * 86_400)
    yield made
    database.close()
