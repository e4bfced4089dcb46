"""The requests that these commands send to Stripe, with the official library, and its errors.

Stripe's ``webhook_endpoints`` always send snapshot payloads, which Tracknow needs
(docs.stripe.com/api/webhook_endpoints).
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracknow_static.account.targets import MARK, REPLACES, Endpoint
from tracknow_static.errors import AccountError
from tracknow_static.exit_codes import CONFLICT, KEY, STRIPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stripe import StripeClient

    from tracknow_static.account.key import ApiKey
    from tracknow_static.account.targets import Target

RETRIED = 3 * 86_400
"""Seconds for which Stripe tries to deliver a live event (docs.stripe.com/webhooks)."""

_READ = "Webhook Endpoints: Read"
_WRITE = "Webhook Endpoints: Write"
_LONGEST = 500
_MOST_TYPES = 20  # docs.stripe.com/api/events/list

# "Having the 'rak_webhook_read' permission would allow …", since 2026 also
# "Enabling Webhook Endpoints, Event Destinations Read ('webhook_read') permissions …".
_PERMISSION = re.compile(r"\(?['‘](?:rak_)?([a-z0-9_]+_(?:read|write))['’]")
_ROWS = {
    "webhook": "Webhook Endpoints",
    "event": "Events",
    "charge": "Charges",
    "checkout_session": "Checkout Sessions",
    "payment_link": "Payment Links",
    "payment_links": "Payment Links",
    "bucket_payment_links": "Payment Links",
}


def permission_text(message: str, needed: str) -> str:
    """Return which permission a restricted key lacks, and how to fix that.

    ``message`` is Stripe's; ``needed`` is what the task needs ("Events: Read"), for a message that
    names no permission.
    """
    named = _PERMISSION.search(message)
    permission = needed
    if named:
        resource, _, level = named.group(1).rpartition("_")
        if resource in _ROWS:
            permission = f"{_ROWS[resource]}: {level.capitalize()}"
        else:
            permission = f"{named.group(1)} ({needed})"
    return (
        f"The API key may not do this: it lacks the permission {permission}.\n"
        "Edit the restricted key in Stripe's Dashboard (Developers, API keys) and run again."
    )


@contextmanager
def explain_errors(task: str, needed: str) -> Iterator[None]:
    """Turn the library's errors into :class:`AccountError`, with what could not be done.

    ``task`` completes "Could not …"; ``needed`` is the permission that the task takes.
    """
    import stripe

    try:
        yield
    except stripe.AuthenticationError:
        text = (
            f"Could not {task}: Stripe does not know this API key. "
            "It may be expired, rotated, or copied incompletely."
        )
        raise AccountError(text, KEY) from None
    except stripe.PermissionError as error:
        text = f"Could not {task}. {permission_text(_message(error), needed)}"
        raise AccountError(text, KEY) from None
    except stripe.RateLimitError:
        text = f"Could not {task}: Stripe is receiving too many requests. Run again in a minute."
        raise AccountError(text, STRIPE) from None
    except stripe.APIConnectionError:
        text = (
            f"Could not {task}: api.stripe.com cannot be reached. "
            "Check the network, a proxy or a firewall, and run again: it is safe to repeat."
        )
        raise AccountError(text, STRIPE) from None
    except stripe.StripeError as error:
        raise AccountError(_other(task, _message(error), error), STRIPE) from None


def _message(error: Any) -> str:
    """Return Stripe's text; a proxy's answer may hold anything in its place."""
    message = error.user_message
    return message if isinstance(message, str) else ""


def _other(task: str, message: str, error: Exception) -> str:
    if re.search(r"maximum of \d+", message):
        return (
            f"Could not {task}: the account has as many webhook endpoints as Stripe allows. "
            "Delete one that is no longer used in the Dashboard, and run again.\n"
            f"Stripe's message: {message}"
        )
    status = getattr(error, "http_status", None)
    if status is not None and status >= 500:
        return f"Could not {task}: Stripe had an internal error ({status}). Run again later."
    # An answer that is not Stripe's is quoted by the library as a whole.
    text = message or " ".join(map(str, error.args))
    text = "".join(char for char in text[:_LONGEST] if char.isprintable())
    return f"Could not {task}. Stripe's message: {text}"


@dataclass(frozen=True)
class Undelivered:
    """An event that is pending or failed on at least one endpoint."""

    id: str
    type: str
    created: int
    pending: int

    def as_json(self) -> dict[str, object]:
        """Return what ``--json`` prints."""
        return {
            "id": self.id,
            "type": self.type,
            "created": self.created,
            "pending_webhooks": self.pending,
        }


class Account:
    """A Stripe account in one mode. Every method raises :class:`AccountError`."""

    def __init__(self, key: ApiKey, client: StripeClient | None = None) -> None:
        self.key = key
        self._client: StripeClient = client or key.client()

    def endpoints(self) -> list[Endpoint]:
        """Return all endpoints, newest first; event destinations that are no endpoints come last."""
        with explain_errors("list the account's webhook endpoints", _READ):
            page = self._client.v1.webhook_endpoints.list({"limit": 100})
            found = [Endpoint.of(raw) for raw in page.auto_paging_iter()]
        urls = {endpoint.url for endpoint in found}
        found += [other for other in self._destinations() if other.url not in urls]
        for endpoint in found:
            if endpoint.livemode != self.key.livemode:
                text = f"{endpoint.id} is not in {self.key.mode} mode, but the API key is. Nothing was changed."
                raise AccountError(text, CONFLICT)
        return found

    def _destinations(self) -> list[Endpoint]:
        parameters: Any = {"limit": 100, "include": ["webhook_endpoint.url"]}
        try:
            with explain_errors("list the account's event destinations", _READ):
                page = self._client.v2.core.event_destinations.list(parameters)
                return [
                    Endpoint.of(raw, managed=False)
                    for raw in page.auto_paging_iter()
                    if raw.webhook_endpoint and raw.webhook_endpoint.url
                ]
        except AccountError:
            # Older accounts and restricted keys may not; the endpoints themselves have been listed.
            return []

    def create(
        self,
        target: Target,
        events: tuple[str, ...],
        existing: list[Endpoint],
        *,
        replaces: Endpoint | None = None,
    ) -> tuple[Endpoint, str | None]:
        """Create an endpoint; return it with its secret, which Stripe's API shows only now.

        Two runs at the same moment, which saw the same ``existing`` endpoints, create one endpoint
        and both get its secret. When Stripe does not return the secret of a relay's endpoint (seen
        with restricted keys) the endpoint is deleted again: nothing could verify its events.
        """
        metadata: dict[str, str] = {MARK: target.kind}
        if replaces:
            metadata[REPLACES] = replaces.id
        parameters: Any = {
            "url": target.url,
            "enabled_events": list(events),
            "description": "Sales to Tracknow, created by tracknow-static",
            "metadata": metadata,
        }
        seen = sorted(endpoint.id for endpoint in existing)
        content = json.dumps([parameters, seen], sort_keys=True).encode()
        shared = f"tracknow-static-{hashlib.sha256(content).hexdigest()}"
        with explain_errors("create the webhook endpoint", _WRITE):
            raw = self._create_once(parameters, shared)
        secret = getattr(raw, "secret", None)
        if not secret and target.kind == "relay":
            self.delete(raw.id)
            text = (
                "Stripe created the endpoint but did not return its signing secret, so it was deleted "
                "again. Some restricted keys never get it: use a secret key (sk_…) this once."
            )
            raise AccountError(text, STRIPE)
        return Endpoint.of(raw), secret

    def _create_once(self, parameters: Any, shared: str) -> Any:
        """Create with a shared idempotency key, and again without it when the response is old.

        Stripe repeats its first response to a key for at least 24 hours, even if that was an error
        or the endpoint was deleted since (docs.stripe.com/api/idempotent_requests).
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

        Stripe merges metadata: names that are not given stay.
        """
        parameters: Any = changes
        with explain_errors(f"change the webhook endpoint {id_}", _WRITE):
            return Endpoint.of(self._client.v1.webhook_endpoints.update(id_, parameters))

    def delete(self, id_: str) -> None:
        """Delete an endpoint, if it still exists."""
        import stripe

        with explain_errors(f"delete the webhook endpoint {id_}", _WRITE):
            try:
                self._client.v1.webhook_endpoints.delete(id_)
            except stripe.InvalidRequestError as error:
                if error.http_status != 404:
                    raise

    def undelivered(
        self, types: tuple[str, ...], since: int, *, before: int | None = None, most: int
    ) -> list[Undelivered]:
        """Return events that some endpoint has not accepted, newest first, at most ``most``.

        ``since`` and ``before`` are Unix seconds; Stripe keeps events for 30 days and does not
        report which endpoint it was (docs.stripe.com/webhooks/process-undelivered-events).
        """
        created: dict[str, int] = {"gte": since}
        if before is not None:
            created["lt"] = before
        parameters: Any = {
            "delivery_success": False,
            "types": list(types[:_MOST_TYPES]),
            "created": created,
            "limit": min(most, 100),
        }
        found: list[Undelivered] = []
        with explain_errors("list undelivered events", "Events: Read"):
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
