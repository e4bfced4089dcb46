"""What all tests of the probe share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server on a busy machine take its time; the limit of the whole probe stays."""
    monkeypatch.setattr("tracknow_static.probe.client._REQUEST_SECONDS", 100.0)
