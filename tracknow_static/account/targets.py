"""Where the events of a sale go, and the webhook endpoints that an account has already."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from tracknow_static import rules
from tracknow_static.tracknow import (
    EVENT_TYPES,
    LOOPBACK,
    WEBHOOK_PATH,
    is_tracknow_url,
    postback_url,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind = Literal["direct", "relay"]

# Names in an endpoint's metadata: the mark that it is ours, a fingerprint of its secret, and the
# id of the endpoint that it replaces.
MARK = "tracknow_static"
FINGERPRINT = "tracknow_static_secret"
REPLACES = "tracknow_static_replaces"

_NAMESPACE = rules.namespace()


@dataclass(frozen=True)
class Target:
    """Where the events go; ``url`` is what Stripe posts to."""

    kind: Kind
    url: str

    @classmethod
    def tracknow(cls, namespace: str) -> Target:
        """Return the target for a Tracknow namespace.

        Raises ``ValueError`` with what is accepted.
        """
        try:
            name = _NAMESPACE.parse(namespace)
        except rules.InvalidValueError as wrong:
            hint = f" {wrong}" if str(wrong) else ""
            text = f"{namespace!r} is not accepted.{hint} Accepted: {_NAMESPACE.accepts}."
            raise ValueError(text) from None
        return cls("direct", postback_url(str(name)))

    @classmethod
    def relay(cls, url: str, *, live: bool = True) -> Target:
        """Return the target for the relay's public URL; without a path, the relay's path is added.

        Raises ``ValueError`` when Stripe could not post to it.
        """
        url = url.strip()
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError(f"{url!r} is not a URL.") from None
        if not host or parts.scheme not in ("https", "http") or re.search(r"[\s\\]", url):
            raise ValueError(
                f"{url!r} is not a URL such as https://relay.example.com{WEBHOOK_PATH}."
            )
        if parts.username or parts.password or parts.fragment:
            raise ValueError(f"{url!r}: leave user, password and fragment out.")
        if parts.scheme == "http" and live:
            raise ValueError(f"{url!r}: Stripe posts live events to https only.")
        if host in LOOPBACK or not _is_public(host):
            raise ValueError(f"{url!r}: Stripe cannot reach a local or private address.")
        if is_tracknow_url(url):
            raise ValueError(f"{url!r} is Tracknow itself: use --namespace.")
        path = parts.path if parts.path not in ("", "/") else WEBHOOK_PATH
        return cls("relay", parts._replace(netloc=parts.netloc.lower(), path=path).geturl())


@dataclass(frozen=True)
class Endpoint:
    """A webhook endpoint. ``created`` is in Unix seconds.

    ``managed`` ones are in Stripe's list of webhook endpoints (``/v1``); the others only in its
    list of event destinations (``/v2``): plans consider them but never change them. ``thin``
    events carry no purchase (docs.stripe.com/event-destinations).
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
    def of(cls, raw: Any, *, managed: bool = True) -> Endpoint:
        """Return the endpoint for the library's object, of an event destination if not ``managed``."""
        return cls(
            id=raw.id,
            url=raw.url if managed else raw.webhook_endpoint.url,
            events=tuple(raw.enabled_events),
            enabled=raw.status == "enabled",
            livemode=raw.livemode,
            created=raw.created if managed else 0,
            metadata=_metadata(raw),
            thin=not managed and raw.event_payload == "thin",
            managed=managed,
        )

    @property
    def ours(self) -> bool:
        """Whether this command made or adopted it."""
        return self.metadata.get(MARK) in ("direct", "relay")

    @property
    def replaces(self) -> str | None:
        """Id of the endpoint that it replaces in a rotation."""
        return self.metadata.get(REPLACES) if self.ours else None

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of its secret, if this command created it."""
        return self.metadata.get(FINGERPRINT)

    @property
    def kind(self) -> Kind | None:
        """Where it sends events: Tracknow, the relay (by our mark or its path), or elsewhere."""
        if is_tracknow_url(self.url):
            return "direct"
        if self.metadata.get(MARK) == "relay" or has_webhook_path(self.url):
            return "relay"
        return None

    def gets(self, event: str) -> bool:
        """Whether Stripe sends it this type of event."""
        return event in self.events or "*" in self.events

    @property
    def counts_sales(self) -> bool:
        """Whether Stripe sends it an event that makes a sale."""
        return self.enabled and not self.thin and any(map(self.gets, EVENT_TYPES))

    def same_url(self, url: str) -> bool:
        """Whether it has this URL; case of the host and a slash at the end do not count."""
        return _comparable(self.url) == _comparable(url)

    def as_json(self) -> dict[str, object]:
        """Return what ``--json`` prints; it holds no secret."""
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
    # Its text is JSON in every version of the library; its methods have changed.
    found = json.loads(str(raw.metadata)) if getattr(raw, "metadata", None) else {}
    return {str(name): str(value) for name, value in found.items()}


def replaced(endpoints: Iterable[Endpoint]) -> frozenset[str]:
    """Return the ids of the endpoints that a rotation is replacing."""
    return frozenset(endpoint.replaces for endpoint in endpoints if endpoint.replaces)


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:  # a name, which only DNS could resolve
        return True


def has_webhook_path(url: str) -> bool:
    """Whether a URL has the path that the relay receives events at, perhaps below a prefix."""
    return urlsplit(url).path.rstrip("/").endswith(WEBHOOK_PATH)


def _comparable(url: str) -> tuple[str, str, str, str]:
    """Return the parts of a URL that count when two are compared.

    The case of scheme and host does not count, nor a slash at the end of the path.
    """
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower(), parts.path.rstrip("/"), parts.query
