"""The file that the relay reads signing secrets from (STRIPE_WEBHOOK_SECRET_FILE).

It holds one secret on each line, or several separated by commas. Stripe shows a secret only once,
when the endpoint is created, so space for it is reserved on the disk *before* the request
(:meth:`SecretFile.reserve`).
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

from tracknow_static.errors import AccountError
from tracknow_static.exit_codes import CONFLICT, FAILED, MISUSE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_ROOM = 4096  # bytes reserved for a new secret, which has about 40


def fingerprint(secret: str) -> str:
    """Return twelve hex digits that identify a secret without revealing it."""
    return hashlib.sha256(b"tracknow-static:" + secret.encode()).hexdigest()[:12]


def default_path(mode: str) -> Path:
    """Return the file in the user's configuration folder for the secrets of a mode.

    Raises :class:`AccountError` for a user without a home folder.
    """
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111
    if not os.path.isabs(base):  # noqa: PTH117
        text = "This user has no home folder: name the file for the secret with --secret-file."
        raise AccountError(text, MISUSE)
    return Path(base) / "tracknow" / f"stripe-webhook-secret.{mode}"


@dataclass(frozen=True)
class SecretFile:
    """One file of secrets, all of one mode."""

    path: Path

    @classmethod
    def of(cls, path: Path, mode: str) -> SecretFile:
        """Return the file for a mode.

        Raises :class:`AccountError` when its name contains the other mode.
        """
        other = "live" if mode == "test" else "test"
        words = re.split(r"[^a-z]+", path.name.lower())
        if other in words and mode not in words:
            text = (
                f"{path} is named for {other} mode, but the API key is of {mode} mode. "
                "Keep live and test secrets in separate files: name another one with "
                "--secret-file."
            )
            raise AccountError(text, CONFLICT)
        # A symbolic link remains one: its target is written.
        return cls(Path(os.path.realpath(path)))

    def refuse_strangers(self, mode: str, known: Collection[str]) -> None:
        """Keep a test secret out of a file that may be the live relay's.

        ``known`` holds fingerprints of secrets of ``mode``. Raises :class:`AccountError` when a
        file without "test" in its name holds secrets of which none is known to be of test mode.
        """
        if mode != "test" or "test" in re.split(r"[^a-z]+", self.path.name.lower()):
            return
        secrets = self.read()
        if secrets and not {fingerprint(secret) for secret in secrets} & set(known):
            text = (
                f"{self.path} holds secrets that may be of live mode, but the API key is of test "
                "mode. Keep live and test secrets in separate files: name another one with "
                f"--secret-file, such as {self.path.name}.test."
            )
            raise AccountError(text, CONFLICT)

    def read(self) -> list[str]:
        """Return the secrets in the file, in order; none when there is no file yet."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise AccountError(f"{self.path}: cannot be read: {_reason(error)}", FAILED) from None
        return [item for item in re.split(r"[\s,]+", text) if item]

    @contextlib.contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Make sure that a secret can be written, before Stripe creates one.

        Creates the folder (0700) and a temporary file (0600) beside the file, with enough space.
        Raises :class:`AccountError` when that fails; then only the folder may remain.
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
        """Replace all secrets of the file, or none; with no secrets, delete the file."""
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
        """Whether the group or everyone may read the file, as a relay of another user may need."""
        try:
            return bool(self.path.stat().st_mode & 0o044)
        except OSError:
            return False

    def forget(self, mark: str | None) -> int:
        """Remove the secrets with a fingerprint; return their number."""
        secrets = self.read()
        kept = [secret for secret in secrets if fingerprint(secret) != mark]
        if len(kept) < len(secrets):
            self.write(kept)
        return len(secrets) - len(kept)

    def holds(self, mark: str | None) -> Literal["yes", "no", "unknown"]:
        """Whether the secret with a fingerprint is in the file; unknown without a fingerprint."""
        secrets = self.read()
        if not secrets:
            return "no"
        if mark is None:
            return "unknown"
        return "yes" if mark in {fingerprint(secret) for secret in secrets} else "no"


@dataclass(frozen=True)
class Reservation:
    """Space on the disk for a secret that Stripe is about to show."""

    file: SecretFile
    temporary: Path

    def commit(self, secrets: Sequence[str]) -> None:
        """Write ``secrets`` to the file, atomically, and flush them to the disk."""
        content = "".join(f"{secret}\n" for secret in dict.fromkeys(secrets)).encode()
        path = self.file.path
        try:
            with self.temporary.open("r+b") as file:
                file.write(content)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
            if path.exists():  # the relay may run as another user: keep the owner
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
