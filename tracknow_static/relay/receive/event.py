"""What a verified body is: an event or not, and to be forwarded or not."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from tracknow_static.relay.receive.response import Rejected
from tracknow_static.relay.store.model import UNATTRIBUTED, WAITING, NewEvent
from tracknow_static.relay.values import id_of, text_of, whole_number_of

if TYPE_CHECKING:
    from tracknow_static.relay.config import RelayConfig

THIN_HELP = (
    "Thin event: Tracknow needs the whole object. In Stripe's Workbench, under Event destinations, "
    "make a destination with the payload style Snapshot for this address, and delete the one with "
    "the payload style Thin."
)

# Stripe's ids are letters, digits and _; 255 is the longest it announces (docs.stripe.com/upgrades).
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_TYPE = re.compile(r"[A-Za-z0-9_.\[\]-]{1,255}")


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError  # NaN and Infinity are no JSON (RFC 8259, 6)


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def event_of(
    text: str,
    payload: bytes,
    config: RelayConfig,
    *,
    content_type: str | None,
    signature: str | None,
) -> NewEvent:
    """Return the event in a verified body, and whether it is forwarded.

    ``skipped_because`` of the result is None for one that is.

    Raises :class:`Rejected` for a body that is no event.
    """
    body = _parse(text)
    event_id, kind = _shape(body)
    subject = _subject(body)
    account = _account(body)
    livemode = body.get("livemode")
    livemode = livemode if isinstance(livemode, bool) else None
    checkout = kind.startswith("checkout.session.")
    intent = id_of(subject.get("payment_intent"))
    if subject.get("object") == "payment_intent":
        intent = id_of(subject)
    reference = text_of(subject.get("client_reference_id")) if checkout else None
    skipped_because = _skipped_because(body, kind, livemode, account, config)
    if skipped_because is None and config.forward == "attributed":
        if not checkout:
            skipped_because = WAITING
        elif not config.is_click_id(reference):
            skipped_because = UNATTRIBUTED
    return NewEvent(
        id=event_id,
        type=kind,
        payload=payload,
        object_id=id_of(subject),
        reference=reference,
        payment_intent=intent,
        customer=id_of(subject.get("customer")),
        livemode=livemode,
        account=account,
        created=whole_number_of(body.get("created")),
        content_type=content_type,
        signature=signature,
        skipped_because=skipped_because,
    )


def _parse(text: str) -> dict[str, Any]:
    try:
        body = _decode(text)
    except (ValueError, RecursionError):
        raise Rejected(400, "invalid_json", "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Rejected(400, "not_an_event", "The body is not a Stripe event.")
    return body


def _shape(body: dict[str, Any]) -> tuple[str, str]:
    match body:
        case {"object": "event" | "v2.core.event", "id": str(event_id), "type": str(kind)} if (
            _ID.fullmatch(event_id) and _TYPE.fullmatch(kind)
        ):
            return event_id, kind
    raise Rejected(400, "not_an_event", "The body is not a Stripe event.")


def _account(body: dict[str, Any]) -> str | None:
    """Return the account that an event belongs to, if it is not the endpoint's own.

    Connect events name it in ``account``, those of an organisation's destination in ``context``,
    which may be a path that ends with it (docs.stripe.com/context).
    """
    account = text_of(body.get("account"))
    if account is not None:
        return account
    context = text_of(body.get("context"))
    return context.rpartition("/")[2] if context and "acct_" in context else None


def _subject(body: dict[str, Any]) -> dict[str, Any]:
    """Return the object that the event is about; thin events name it without carrying it."""
    if body["object"] == "v2.core.event":
        related = body.get("related_object")
        return {"id": related.get("id")} if isinstance(related, dict) else {}
    data = body.get("data")
    subject = data.get("object") if isinstance(data, dict) else None
    if not isinstance(subject, dict):
        raise Rejected(400, "not_an_event", "The body is not a Stripe event: no data.object.")
    return subject


def _skipped_because(
    body: dict[str, Any],
    kind: str,
    livemode: bool | None,
    account: str | None,
    config: RelayConfig,
) -> str | None:
    if body["object"] != "event":
        return "thin"
    if kind not in config.events:
        return "type"
    if config.livemode != "both" and livemode is not (config.livemode == "live"):
        return "mode"
    if account is not None and account not in config.accounts:
        return "account"
    return None
