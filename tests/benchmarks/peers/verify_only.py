"""A bound: our application on the same server, verifying and parsing, with no database."""

from __future__ import annotations

from tracknow_static.relay.application import Relay
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.outbox import Outbox
from tracknow_static.relay.records import Accepted, NewEvent
from tracknow_static.relay.rsgi import RsgiRelay


class _Nowhere(Outbox):
    def accept(self, event: NewEvent) -> Accepted:
        return Accepted(event.id, new=True)

    async def accept_async(self, event: NewEvent) -> Accepted:
        return Accepted(event.id, new=True)


def create() -> RsgiRelay:
    """Make the application as `serve` runs it, from the environment."""
    config = RelayConfig.from_environ()
    return RsgiRelay(Relay(config, _Nowhere.from_config(config)))
