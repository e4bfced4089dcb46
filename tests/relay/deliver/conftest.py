"""A shop with a destination, on each database in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.relay.deliver.parts import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.relay.deliver.stand_in import StandIn


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
