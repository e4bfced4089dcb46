"""The few things this command asks of Stripe, with the official library.

Stripe's ``webhook_endpoints`` always send snapshot payloads, which Tracknow needs
(docs.stripe.com/api/webhook_endpoints).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracknow_static.account.endpoints import MARK, REPLACES, Endpoint
from tracknow_static.account.failures import AccountError, in_words
from tracknow_static.exit_codes import CONFLICT, STRIPE

if TYPE_CHECKING:
    from stripe import StripeClient

    from tracknow_static.account.key import ApiKey
    from tracknow_static.account.targets import Target

READ = "Webhook Endpoints: Read"
WRITE = "Webhook Endpoints: Write"
MOST_TYPES = 20  # docs.stripe.com/api/events/list


@dataclass(frozen=True)
class Undelivered:
    """An event that is pending or failed on at least one endpoint."""

    id: str
    type: str
    created: int
    pending: int

    def as_json(self) -> dict[str, object]:
        """Give what a script may want."""
        return {
            "id": self.id,
            "type": self.type,
            "created": self.created,
            "pending_webhooks": self.pending,
        }


class Account:
    """A Stripe account in one mode. Every method raises :class:`AccountError`."""

    def __init__(self, key: ApiKey) -> None:
        self.key = key
        self._client: StripeClient = key.client()

    def endpoints(self) -> list[Endpoint]:
        """List all endpoints, newest first; event destinations that are no endpoints come last."""
        with in_words("list the account's webhook endpoints", READ):
            page = self._client.v1.webhook_endpoints.list({"limit": 100})
            found = [Endpoint.of(raw) for raw in page.auto_paging_iter()]
        urls = {one.url for one in found}
        found += [one for one in self._destinations() if one.url not in urls]
        for endpoint in found:
            if endpoint.livemode != self.key.livemode:
                text = f"{endpoint.id} is not of {self.key.mode} mode, the API key is: not touched."
                raise AccountError(text, CONFLICT)
        return found

    def _destinations(self) -> list[Endpoint]:
        parameters: Any = {"limit": 100, "include": ["webhook_endpoint.url"]}
        try:
            with in_words("list the account's event destinations", READ):
                page = self._client.v2.core.event_destinations.list(parameters)
                return [
                    Endpoint.of_destination(raw)
                    for raw in page.auto_paging_iter()
                    if raw.webhook_endpoint and raw.webhook_endpoint.url
                ]
        except AccountError:
            # Older accounts and narrow keys cannot ask; the endpoints themselves have been listed.
            return []

    def create(
        self,
        target: Target,
        events: tuple[str, ...],
        existing: list[Endpoint],
        *,
        replaces: Endpoint | None = None,
    ) -> tuple[Endpoint, str | None]:
        """Make an endpoint and give it with its secret, which Stripe tells only now.

        Two runs at the same moment, which saw the same ``existing`` endpoints, make one endpoint
        and are both told its secret. When Stripe keeps the secret of a relay's endpoint to itself
        (seen with restricted keys) the endpoint is deleted again: nobody could verify what it
        sends.
        """
        metadata: dict[str, str] = {MARK: target.kind}
        if replaces:
            metadata[REPLACES] = replaces.id
        parameters: Any = {
            "url": target.url,
            "enabled_events": list(events),
            "description": "Sales to Tracknow, made by tracknow-static",
            "metadata": metadata,
        }
        seen = sorted(one.id for one in existing)
        content = json.dumps([parameters, seen], sort_keys=True).encode()
        shared = f"tracknow-static-{hashlib.sha256(content).hexdigest()}"
        with in_words("make the webhook endpoint", WRITE):
            raw = self._create_once(parameters, shared)
        secret = getattr(raw, "secret", None)
        if not secret and target.kind == "relay":
            self.delete(raw.id)
            text = (
                "Stripe made the endpoint but did not tell its signing secret, so it was deleted "
                "again. Some restricted keys are not told: use a secret key (sk_…) for this once."
            )
            raise AccountError(text, STRIPE)
        return Endpoint.of(raw), secret

    def _create_once(self, parameters: Any, shared: str) -> Any:
        """Create with a shared idempotency key, and anew when the answer is an old one.

        Stripe repeats its first answer to a key for at least 24 hours, also when that was an error
        or the endpoint is deleted since (docs.stripe.com/api/idempotent_requests).
        """
        import stripe

        endpoints = self._client.v1.webhook_endpoints
        try:
            raw = endpoints.create(parameters, {"idempotency_key": shared})
        except stripe.StripeError as error:
            if not _repeated(error.headers):
                raise
        else:
            if not _repeated(raw.last_response.headers if raw.last_response else {}):
                return raw
            try:
                endpoints.retrieve(raw.id)
            except stripe.InvalidRequestError as error:
                if error.http_status != 404:
                    raise
            else:
                return raw
        return endpoints.create(parameters, {"idempotency_key": str(uuid.uuid4())})

    def update(self, id_: str, **changes: Any) -> Endpoint:
        """Change an endpoint: ``url``, ``enabled_events``, ``disabled``, ``metadata``.

        Metadata is merged by Stripe: names that are not given stay.
        """
        parameters: Any = changes
        with in_words(f"change the webhook endpoint {id_}", WRITE):
            return Endpoint.of(self._client.v1.webhook_endpoints.update(id_, parameters))

    def delete(self, id_: str) -> None:
        """Delete an endpoint; one that is gone already is fine."""
        import stripe

        with in_words(f"delete the webhook endpoint {id_}", WRITE):
            try:
                self._client.v1.webhook_endpoints.delete(id_)
            except stripe.InvalidRequestError as error:
                if error.http_status != 404:
                    raise

    def undelivered(
        self, types: tuple[str, ...], since: int, *, before: int | None = None, most: int = 100
    ) -> list[Undelivered]:
        """List events that some endpoint has not accepted, newest first, at most ``most``.

        ``since`` and ``before`` are Unix seconds; Stripe keeps events for 30 days and cannot say
        which endpoint it was (docs.stripe.com/webhooks/process-undelivered-events).
        """
        created: dict[str, int] = {"gte": since}
        if before is not None:
            created["lt"] = before
        parameters: Any = {
            "delivery_success": False,
            "types": list(types[:MOST_TYPES]),
            "created": created,
            "limit": min(most, 100),
        }
        found: list[Undelivered] = []
        with in_words("list undelivered events", "Events: Read"):
            for raw in self._client.v1.events.list(parameters).auto_paging_iter():
                found.append(Undelivered(raw.id, raw.type, raw.created, raw.pending_webhooks))
                if len(found) >= most:
                    break
        return found


def _repeated(headers: Any) -> bool:
    return any(
        str(name).lower() == "idempotent-replayed" and str(value).lower() == "true"
        for name, value in dict(headers or {}).items()
    )
