"""A running notification service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.relay.alerts.parts import Service
from tests.relay.operate.conftest import untouched_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["untouched_logging"]


@pytest.fixture
def service() -> Iterator[Service]:
    """Provide a service that keeps what it gets."""
    with Service().running() as made:
        yield made
