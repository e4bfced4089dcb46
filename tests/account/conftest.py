"""An account, and the command run against it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tests.account.stand_in import Stripe, running
from tracknow_static.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

RELAY = "https://relay.example.com/stripe/webhook"
DIRECT = "https://shop-tracking.tracknow.info/stripe/postback"


@dataclass
class Merchant:
    """Somebody with an account, a key and a home folder, who runs ``tracknow-static stripe``."""

    stripe: Stripe
    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def secret_file(self) -> Path:
        """The default file of the signing secrets."""
        return self.home / "tracknow" / f"stripe-webhook-secret.{self.stripe.mode}"

    @property
    def secrets(self) -> list[str]:
        """The secrets in that file."""
        return self.secret_file.read_text().split() if self.secret_file.exists() else []

    def run(self, line: str, *, code: int = 0, **environ: str) -> Result:
        """Run a command line and insist on its exit code."""
        env = {
            "STRIPE_API_KEY": f"sk_{self.stripe.mode}_good",
            "TRACKNOW_STRIPE_API_BASE": self.stripe.base,
            "XDG_CONFIG_HOME": str(self.home),
            "COLUMNS": "200",
            **self.environ,
            **environ,
        }
        result = CliRunner().invoke(cli, ["stripe", *line.split()], env=env)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        for secret in self.stripe.secrets.values():
            shown = "--show-secret" in line
            assert shown or secret not in result.output
        assert "_good" not in result.output
        return result

    def json(self, line: str, *, code: int = 0) -> dict[str, Any]:
        """Run a command line with --json and read what it printed."""
        found: dict[str, Any] = json.loads(self.run(f"{line} --json", code=code).stdout)
        return found


@pytest.fixture
def merchant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Merchant]:
    """A merchant with an empty account of test mode."""
    for name in ("STRIPE_API_KEY", "STRIPE_API_KEY_FILE", "STRIPE_WEBHOOK_SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("TRACKNOW_NAMESPACE", raising=False)
    state = Stripe()
    with running(state):
        yield Merchant(state, tmp_path / "config")
