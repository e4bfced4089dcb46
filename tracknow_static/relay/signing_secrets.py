"""The signing secrets: several at once, and a file that may change under a running relay."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_SEPARATOR = re.compile(r"[,\s]+")
# RFC 3986 unreserved characters and base64: whatever signs with the secret got it as such a text.
_SECRET = re.compile(r"[\x21-\x7e]{8,512}")


class UnusableSecretError(ValueError):
    """A secret cannot be one; the text says why and never shows it."""


class Secrets:
    """The signing secrets that count now; false when there is none.

    Given a ``file``, secrets are read from it again whenever it changes, so that a secret can be
    rolled without a restart. A file that cannot be read later on leaves the last good secrets.

    Raises :class:`UnusableSecretError` for a text that cannot be a signing secret.
    """

    __slots__ = ("_current", "_file", "_stamp")

    def __init__(self, current: tuple[str, ...] = (), *, file: Path | None = None) -> None:
        self._current = current
        self._file = file
        self._stamp: tuple[int, int, int] | None = None
        if file is not None:
            self._read(file)

    @classmethod
    def from_text(cls, text: str) -> Secrets:
        """Take secrets separated by commas or white space."""
        return cls(_parse(text))

    @property
    def file(self) -> Path | None:
        """The file that holds the secrets, if one does."""
        return self._file

    def current(self) -> tuple[str, ...]:
        """Give the secrets that count now; costs one ``stat`` when they are in a file."""
        if self._file is not None:
            try:
                if _stamp(self._file) != self._stamp:
                    self._read(self._file)
            except (OSError, ValueError):
                log.warning("secret file %s cannot be read; the last secrets count", self._file)
        return self._current

    def __bool__(self) -> bool:
        return bool(self._current)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secrets):
            return NotImplemented
        return (self._current, self._file) == (other._current, other._file)

    def __hash__(self) -> int:
        return hash(self._file)

    def __repr__(self) -> str:
        return f"<{len(self._current)} secrets>"

    def _read(self, file: Path) -> None:
        stamp = _stamp(file)
        # Remembered first: a bad file is complained about once for each change, not per request.
        self._stamp = stamp
        self._current = _parse(file.read_text(encoding="utf-8"))


def _stamp(file: Path) -> tuple[int, int, int]:
    stat = file.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _parse(text: str) -> tuple[str, ...]:
    secrets = tuple(dict.fromkeys(part for part in _SEPARATOR.split(text) if part))
    if not secrets:
        raise UnusableSecretError("It is empty.")
    for secret in secrets:
        if secret.startswith(("sk_", "rk_", "pk_")):
            raise UnusableSecretError("It is an API key, not the signing secret of an endpoint.")
        if not _SECRET.fullmatch(secret):
            raise UnusableSecretError("It is shorter than 8 characters or not plain ASCII.")
    return secrets
