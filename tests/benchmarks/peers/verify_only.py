"""A bound: our application on the same server, verifying and parsing, with no database."""

from __future__ import annotations

from tracknow_static.relay.app import Parts, Relay
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.receive.rsgi import RsgiRelay
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.ingest import Ingest
from tracknow_static.relay.store.model import Accepted, NewEvent


class _Nowhere(Ingest):
    def accept(self, event: NewEvent) -> Accepted:
        return Accepted(event.id, new=True)

    async def accept_async(self, event: NewEvent) -> Accepted:
        return Accepted(event.id, new=True)


def _build(config: RelayConfig) -> Parts:
    return Parts(_Nowhere.from_config(config, Database.from_config(config)))


def create() -> RsgiRelay:
    """Make the application as `serve` runs it, from the environment."""
    config = RelayConfig.from_environ()
    return RsgiRelay(Relay(config, _build))
