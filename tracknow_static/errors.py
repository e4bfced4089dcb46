"""What can go wrong, as one shallow tree; the data sit on the exception."""

from __future__ import annotations


class TracknowError(Exception):
    """Base of every error this project raises on purpose; its text is meant for the user."""


class SettingsError(TracknowError):
    """An option is unknown or has a value that is not accepted.

    ``problems`` holds one sentence for each option at fault, so that a user mends all at once.
    """

    def __init__(self, problems: list[str], *, where: str = "") -> None:
        self.problems = problems
        self.where = where
        prefix = f"{where}: " if where else ""
        super().__init__("\n".join(prefix + problem for problem in problems))


class SiteError(TracknowError):
    """A built site cannot be worked on at all: the folder is missing or is not a folder."""


class RelayError(TracknowError):
    """The relay is configured wrongly or cannot reach its database."""
