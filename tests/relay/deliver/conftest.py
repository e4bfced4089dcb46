"""A shop with a destination, on each database in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.relay.deliver.parts import Shop
from tests.relay.deliver.stand_in import StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def destination() -> Iterator[StandIn]:
    """Provide a destination that accepts, until the test decides otherwise."""
    with StandIn().running() as stand_in:
        yield stand_in


@pytest.fixture
def shop(database_url: str, destination: StandIn) -> Iterator[Shop]:
    """Provide a shop that delivers to the destination."""
    made = Shop(database_url, [destination.url])
    yield made
    made.close()


@pytest.fixture
def small_shop(sqlite_url: str, destination: StandIn) -> Iterator[Shop]:
    """Provide a shop on SQLite, for what the database has no part in."""
    made = Shop(sqlite_url, [destination.url])
    yield made
    made.close()
