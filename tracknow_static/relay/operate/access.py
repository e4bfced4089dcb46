"""What commands work on: the configuration, and the database that it names."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tracknow_static.errors import SettingsError
from tracknow_static.relay import logs
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import without_query

if TYPE_CHECKING:
    from collections.abc import Iterator


def configured(*, needs_secrets: bool = False) -> RelayConfig:
    """Read the configuration and set up the log.

    Only what verifies signatures needs the signing secret: the other commands work without it,
    also for a user who may not read its file. Raises :class:`SettingsError`.
    """
    config = RelayConfig.from_environ(needs_secrets=needs_secrets)
    logs.setup(config, everything=True)
    return config


@contextlib.contextmanager
def opened(config: RelayConfig) -> Iterator[Database]:
    """Open the database, and close it at the end."""
    database = Database.from_config(config)
    try:
        database.open()
        yield database
    finally:
        database.close()


def known_destination(database: Database, text: str) -> str:
    """Return the destination that a user means: its URL, whole or without the query.

    Raises :class:`SettingsError` when none or several are meant.
    """
    urls = [entry.destination for entry in queries.status(database).destinations]
    if text in urls:
        return text
    found = [url for url in urls if without_query(url) == text]
    if len(found) == 1:
        return found[0]
    accepted = ", ".join(map(without_query, urls)) or "none is known"
    raise SettingsError([f"destination: {text!r} is not accepted. Accepted: {accepted}."])
