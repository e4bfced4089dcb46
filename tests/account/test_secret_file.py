"""The file of signing secrets: whose it is, for which mode, and what happens when it fails."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.account.conftest import RELAY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.account.conftest import Merchant

SETUP = f"setup --relay-url {RELAY} --yes"


def test_a_test_key_does_not_write_into_a_live_file(merchant: Merchant, tmp_path: Path) -> None:
    """A file that is live by name, or holds secrets unknown to test mode, is refused."""
    by_name = tmp_path / "webhook-secret.live"
    result = merchant.run(f"{SETUP} --secret-file {by_name}", code=6)
    assert "is named for live mode" in result.output
    plain = tmp_path / "webhook-secret"
    plain.write_text("whsec_live_perhaps\n")
    result = merchant.run(f"{SETUP} --secret-file {plain}", code=6)
    assert "may be of live mode" in result.output
    assert merchant.stripe.changes() == []


def test_a_plain_name_serves_either_mode(merchant: Merchant, tmp_path: Path) -> None:
    """A file of its own for a test relay needs no special name, also for the second run."""
    plain = tmp_path / "webhook-secret"
    merchant.run(f"{SETUP} --secret-file {plain}")
    merchant.run(SETUP, STRIPE_WEBHOOK_SECRET_FILE=str(plain))
    assert plain.read_text().strip() in merchant.stripe.secrets.values()


def test_live_mode_has_a_file_of_its_own(merchant: Merchant) -> None:
    """The default file carries the mode in its name."""
    merchant.stripe.mode = "live"
    merchant.run(SETUP)
    assert merchant.secret_file.name.endswith(".live")
    assert len(merchant.secrets) == 1


def test_a_file_that_cannot_be_written_is_found_out_first(
    merchant: Merchant, tmp_path: Path
) -> None:
    """A folder where the file should be: code 3, and Stripe was asked for nothing."""
    folder = tmp_path / "secrets-test"
    folder.mkdir()
    result = merchant.run(f"{SETUP} --secret-file {folder}", code=3)
    assert str(folder) in result.output
    assert merchant.stripe.changes() == []


def test_a_secret_that_cannot_be_kept_undoes_the_endpoint(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails after Stripe created the secret: the endpoint is deleted again."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    result = merchant.run(SETUP, code=3)
    assert "No space left on device" in result.output
    assert [request[0] for request in merchant.stripe.changes()] == ["POST", "DELETE"]
    assert merchant.stripe.endpoints == {}
    assert not merchant.secret_file.exists()


def test_a_file_for_a_group_is_closed_and_that_is_reported(merchant: Merchant) -> None:
    """Mode 0600 may shut out a relay of another user: the change is pointed out."""
    merchant.secret_file.parent.mkdir(parents=True)
    merchant.secret_file.write_text("whsec_another\n")
    merchant.secret_file.chmod(0o640)
    result = merchant.run(SETUP, code=1)
    assert "now has mode 0600" in result.output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_the_file_stays_its_owners(merchant: Merchant) -> None:
    """A relay that runs as another user can read its file after root has written it."""
    merchant.secret_file.parent.mkdir(parents=True)
    merchant.secret_file.write_text("whsec_another\n")
    merchant.secret_file.chmod(0o600)
    os.chown(merchant.secret_file, 12345, 12346)
    merchant.run(SETUP, code=1)
    status = merchant.secret_file.stat()
    assert (status.st_uid, status.st_gid) == (12345, 12346)
    assert status.st_mode & 0o777 == 0o600


def test_a_symlink_stays_one(merchant: Merchant, tmp_path: Path) -> None:
    """Secrets behind a symlink are written where it leads."""
    real, link = tmp_path / "real-test", tmp_path / "link-test"
    link.symlink_to(real)
    merchant.run(f"{SETUP} --secret-file {link}")
    assert link.is_symlink()
    assert real.read_text().startswith("whsec_")


def test_a_user_without_a_home_names_the_file(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """There is no default place: code 2, and the option is named."""
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    result = merchant.run(SETUP, code=2, XDG_CONFIG_HOME="")
    assert "--secret-file" in result.output
    merchant.run(f"{SETUP} --secret-file {tmp_path / 'secret'}", XDG_CONFIG_HOME="")
