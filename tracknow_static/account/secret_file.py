"""The file that the relay reads signing secrets from (STRIPE_WEBHOOK_SECRET_FILE).

Secrets stand in it one a line, or separated by commas. Stripe tells a secret once, when the
endpoint is made, so room for it is taken on the disk *before* Stripe is asked (:meth:`reserve`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tracknow_static.account.failures import AccountError
from tracknow_static.exit_codes import CONFLICT, FAILED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_ROOM = 4096  # bytes kept for a new secret; one is about 40


def fingerprint(secret: str) -> str:
    """Twelve hex digits that recognise a secret and do not give it away."""
    return hashlib.sha256(b"tracknow-static:" + secret.encode()).hexdigest()[:12]


def default_path(mode: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where secrets of a mode go when nobody says: the user's configuration folder."""
    base = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "tracknow" / f"stripe-webhook-secret.{mode}"


@dataclass(frozen=True)
class SecretFile:
    """One file of secrets, of one mode."""

    path: Path

    @classmethod
    def of(cls, path: Path, mode: str) -> SecretFile:
        """Take a file for a mode.

        Raises :class:`AccountError` when its name says that it is for the other mode.
        """
        other = "live" if mode == "test" else "test"
        words = re.split(r"[^a-z]+", path.name.lower())
        if other in words and mode not in words:
            text = (
                f"{path} is for {other}-mode secrets by its name, the API key is of {mode} mode. "
                "Live and test secrets are kept in separate files: name another one with "
                "--secret-file."
            )
            raise AccountError(text, CONFLICT)
        # Writing through a symlink keeps it a symlink.
        return cls(Path(os.path.realpath(path)))

    def refuse_strangers(self, mode: str, known: Collection[str]) -> None:
        """Keep a test secret out of a file that may be the live relay's.

        ``known`` holds fingerprints of secrets of ``mode``. Raises :class:`AccountError` when a
        file whose name does not say "test" holds secrets, and none is known to be of test mode.
        """
        if mode != "test" or "test" in re.split(r"[^a-z]+", self.path.name.lower()):
            return
        secrets = self.read()
        if secrets and not {fingerprint(secret) for secret in secrets} & set(known):
            text = (
                f"{self.path} holds secrets that may be of live mode, and the API key is of test "
                "mode. Live and test secrets are kept in separate files: name another one with "
                f"--secret-file, such as {self.path.name}.test."
            )
            raise AccountError(text, CONFLICT)

    def read(self) -> list[str]:
        """Give the secrets in the file, in order; none when there is no file yet."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise AccountError(f"{self.path}: cannot be read: {_reason(error)}", FAILED) from None
        return [item for item in re.split(r"[\s,]+", text) if item]

    @contextlib.contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Make sure that a secret can be written, before Stripe gives one.

        Creates the folder (0700) and a temporary file (0600) beside the file, with room for what
        comes. Raises :class:`AccountError` when that fails; leaves nothing behind but the folder.
        """
        before = self.read()
        name = ""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(21, "Is a directory")
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(b"\n" * (_ROOM + sum(len(secret) + 1 for secret in before)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if name:
                Path(name).unlink(missing_ok=True)
            raise AccountError(
                f"{self.path}: cannot be written: {_reason(error)}", FAILED
            ) from None
        try:
            yield Reservation(self, Path(name))
        finally:
            Path(name).unlink(missing_ok=True)

    def write(self, secrets: Sequence[str]) -> None:
        """Replace the file's secrets, whole or not at all; none leaves no file."""
        if not secrets:
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                text = f"{self.path}: cannot be deleted: {_reason(error)}"
                raise AccountError(text, FAILED) from None
            return
        with self.reserve() as reservation:
            reservation.commit(secrets)

    def open_to_others(self) -> bool:
        """Whether the group or everybody may read the file, as a relay of another user may need."""
        try:
            return bool(self.path.stat().st_mode & 0o044)
        except OSError:
            return False

    def forget(self, mark: str | None) -> int:
        """Take out the secrets with a fingerprint and say how many that were."""
        secrets = self.read()
        kept = [secret for secret in secrets if fingerprint(secret) != mark]
        if len(kept) < len(secrets):
            self.write(kept)
        return len(secrets) - len(kept)

    def holds(self, mark: str | None) -> Literal["yes", "no", "unknown"]:
        """Say whether the secret with a fingerprint is in the file; unknown for no fingerprint."""
        secrets = self.read()
        if not secrets:
            return "no"
        if mark is None:
            return "unknown"
        return "yes" if mark in {fingerprint(secret) for secret in secrets} else "no"


@dataclass(frozen=True)
class Reservation:
    """Room on the disk for a secret that is about to be told."""

    file: SecretFile
    temporary: Path

    def commit(self, secrets: Sequence[str]) -> None:
        """Make ``secrets`` the file's content, atomically, flushed to the disk."""
        content = "".join(f"{secret}\n" for secret in dict.fromkeys(secrets)).encode()
        path = self.file.path
        try:
            with self.temporary.open("r+b") as file:
                file.write(content)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
            if path.exists():  # the relay may run as another user: keep who may read
                _keep_owner(path, self.temporary)
            self.temporary.replace(path)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise AccountError(f"{path}: cannot be written: {_reason(error)}", FAILED) from None


def _keep_owner(path: Path, temporary: Path) -> None:
    before = path.stat()
    with contextlib.suppress(PermissionError):
        os.chown(temporary, before.st_uid, before.st_gid)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8 text"
