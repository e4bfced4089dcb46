"""Shops, on both kinds of database."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.account.stand_in import Stripe, running
from tests.relay.backfill.parts import HOOK, SIGNED, Shop, config_of
from tests.relay.backfill.place import Place
from tests.relay.operate.conftest import untouched_logging  # noqa: F401 - for every test
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
def shop(
    account: Stripe, database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """An empty account, and a database that was made ten days ago."""
    monkeypatch.setenv("TRACKNOW_STRIPE_API_BASE", account.base)
    with opened(account, database_url, clock) as made:
        yield made


@pytest.fixture
def small_shop(
    account: Stripe, sqlite_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """The same on SQLite, for what the database has no part in."""
    monkeypatch.setenv("TRACKNOW_STRIPE_API_BASE", account.base)
    with opened(account, sqlite_url, clock) as made:
        yield made


@contextlib.contextmanager
def opened(account: Stripe, url: str, clock: Clock) -> Iterator[Shop]:
    """Provide a shop with an empty account."""
    account.reset()
    database = Database(url, [HOOK, SIGNED], signed=[SIGNED], clock=clock)
    made = Shop(account, database, clock, config_of(database, signed_destinations=(SIGNED,)))
    made.made(clock.time - 10 * 86_400)
    yield made
    database.close()


@pytest.fixture
def place(account: Stripe, sqlite_url: str) -> Iterator[Place]:
    """A relay with an enabled endpoint, for its commands."""
    account.reset()
    account.add("https://relay.example.com/stripe/webhook")
    made = Place(account, sqlite_url)
    yield made
    made.database.close()
