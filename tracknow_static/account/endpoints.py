"""A webhook endpoint of the account, as far as a sale's way to Tracknow is concerned."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracknow_static.account.targets import (
    Kind,
    comparable,
    ends_as_the_relays,
)
from tracknow_static.tracknow import EVENT_TYPES, is_tracknow_url

if TYPE_CHECKING:
    from collections.abc import Iterable

# Names in an endpoint's metadata. The first says that it is ours, the second holds a fingerprint
# of its secret, the third the id of the endpoint that it replaces.
MARK = "tracknow_static"
FINGERPRINT = "tracknow_static_secret"
REPLACES = "tracknow_static_replaces"


@dataclass(frozen=True)
class Endpoint:
    """A webhook endpoint. ``created`` is in Unix seconds.

    ``managed`` ones stand in Stripe's list of webhook endpoints (``/v1``); the others only in that
    of event destinations (``/v2``): they are taken into account, and left alone. ``thin`` events
    carry no purchase (docs.stripe.com/event-destinations).
    """

    id: str
    url: str
    events: tuple[str, ...]
    enabled: bool
    livemode: bool
    created: int
    metadata: dict[str, str]
    thin: bool = False
    managed: bool = True

    @classmethod
    def of(cls, raw: Any) -> Endpoint:
        """Read the library's object for an endpoint."""
        return cls(
            id=raw.id,
            url=raw.url,
            events=tuple(raw.enabled_events),
            enabled=raw.status == "enabled",
            livemode=raw.livemode,
            created=raw.created,
            metadata=_metadata(raw),
        )

    @classmethod
    def of_destination(cls, raw: Any) -> Endpoint:
        """Read the library's object for an event destination of the kind webhook endpoint."""
        return cls(
            id=raw.id,
            url=raw.webhook_endpoint.url,
            events=tuple(raw.enabled_events),
            enabled=raw.status == "enabled",
            livemode=raw.livemode,
            created=0,
            metadata=_metadata(raw),
            thin=raw.event_payload == "thin",
            managed=False,
        )

    @property
    def ours(self) -> bool:
        """Whether this command made or adopted it."""
        return self.metadata.get(MARK) in ("direct", "relay")

    @property
    def replaces(self) -> str | None:
        """Id of the endpoint whose place it takes in a rotation."""
        return self.metadata.get(REPLACES) if self.ours else None

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of its secret, when this command has seen it."""
        return self.metadata.get(FINGERPRINT)

    @property
    def kind(self) -> Kind | None:
        """Tracknow, the relay (by our mark, or by the relay's own path), or neither."""
        if is_tracknow_url(self.url):
            return "direct"
        if self.metadata.get(MARK) == "relay" or ends_as_the_relays(self.url):
            return "relay"
        return None

    @property
    def counts_sales(self) -> bool:
        """Whether Stripe sends it an event that makes a sale."""
        return self.enabled and not self.thin and bool({"*", *EVENT_TYPES} & set(self.events))

    def same_url(self, url: str) -> bool:
        """Compare scheme and host without case, and an absent path like "/"."""
        return comparable(self.url) == comparable(url)

    def as_json(self) -> dict[str, object]:
        """Give what a script may want; there is no secret in it."""
        return {
            "id": self.id,
            "url": self.url,
            "kind": self.kind,
            "enabled": self.enabled,
            "mode": "live" if self.livemode else "test",
            "events": list(self.events),
            "payload": "thin" if self.thin else "snapshot",
            "made_by_tracknow_static": self.ours,
            "replaces": self.replaces,
            "created": self.created or None,
        }


def _metadata(raw: Any) -> dict[str, str]:
    # As text it is JSON in every version of the library; the ways to a dictionary have changed.
    found = json.loads(str(raw.metadata)) if getattr(raw, "metadata", None) else {}
    return {str(name): str(value) for name, value in found.items()}


def replaced(endpoints: Iterable[Endpoint]) -> frozenset[str]:
    """Give the ids of the endpoints that a rotation is replacing."""
    return frozenset(one.replaces for one in endpoints if one.replaces)
