"""How long a walk of the tests waits for a request."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

import pytest

from tracknow_static.walk import walker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="module")
def patience() -> Iterator[None]:
    """On a busy machine a request that is late is not lost."""
    with mock.patch.multiple(walker, _PATIENCE=60.0, _IDLE=60.0):
        yield
