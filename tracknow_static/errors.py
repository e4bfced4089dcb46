"""What can go wrong, as one shallow tree; the data are on the exception."""

from __future__ import annotations

from tracknow_static.exit_codes import FAILED, MISUSE


class TracknowError(Exception):
    """Base of every error this project raises on purpose; its text is meant for the user.

    ``exit_code`` is what a command that it stops returns.
    """

    exit_code = FAILED

    def __init__(self, text: str, exit_code: int | None = None) -> None:
        super().__init__(text)
        self.exit_code = exit_code or self.exit_code


class SettingsError(TracknowError):
    """An option is unknown or has a value that is not accepted.

    ``problems`` holds one sentence for each wrong option, so that a user can fix all at once.
    """

    exit_code = MISUSE

    def __init__(self, problems: list[str], *, where: str = "") -> None:
        self.problems = problems
        self.where = where
        prefix = f"{where}: " if where else ""
        super().__init__("\n".join(prefix + problem for problem in problems))


class SiteError(TracknowError):
    """A built site cannot be worked on at all: the folder is missing or is not a folder."""

    exit_code = MISUSE


class RelayError(TracknowError):
    """The relay is configured wrongly or cannot reach its database."""


class StorageError(RelayError):
    """The database did not store what it was given; ``code`` is short and stable."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


class AccountError(TracknowError):
    """Something cannot be done with a Stripe account or with the file of its signing secrets."""
