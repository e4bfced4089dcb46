"""The signing secrets of Stripe's webhook endpoints, which can change while the relay runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tracknow_static.relay.rules import signing_secrets
from tracknow_static.rules import InvalidValueError

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


class Secrets:
    """The signing secrets that count now; false when there are none.

    With a ``file`` they are read from it again whenever it changes, so that a secret can be
    rotated without a restart. A file that cannot be read later on leaves the last good secrets.
    """

    __slots__ = ("_current", "_file", "_stamp")

    def __init__(self, current: tuple[str, ...] = (), *, file: Path | None = None) -> None:
        self._current = current
        self._file = file
        self._stamp: tuple[int, int, int] | None = None  # so the first use reads the file

    @property
    def file(self) -> Path | None:
        """The file that holds the secrets, if one does."""
        return self._file

    def current(self) -> tuple[str, ...]:
        """Return the secrets that count now; costs one ``stat`` when they are in a file."""
        if self._file is None:
            return self._current
        stamp = _stamp(self._file)
        if stamp != self._stamp:
            self._stamp = stamp  # first: a bad file is logged once for each change
            try:
                self._current = _read_secrets(self._file)
            except (OSError, ValueError, InvalidValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                _log.warning(
                    "secret file %s cannot be used; the last secrets count: %s", self._file, reason
                )
        return self._current

    def __bool__(self) -> bool:
        return bool(self.current())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secrets):
            return NotImplemented
        return (self._current, self._file) == (other._current, other._file)

    def __hash__(self) -> int:
        return hash(self._file)

    def __repr__(self) -> str:
        return f"<{len(self._current)} secrets>"


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file does; None for a file that is not there."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read_secrets(file: Path) -> tuple[str, ...]:
    secrets = signing_secrets().parse(file.read_text(encoding="utf-8"))
    assert isinstance(secrets, tuple)  # noqa: S101 - the rule's own type
    return secrets
