"""Whether Stripe still sends events to the relay: the state of its webhook endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracknow_static.errors import AccountError
from tracknow_static.relay import stripe_api
from tracknow_static.relay.store.backfill_state import ABSENT, DISABLED, ENABLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracknow_static.account.targets import Endpoint
    from tracknow_static.relay.config import RelayConfig


def look(config: RelayConfig) -> tuple[str, str]:
    """Return the state of the relay's endpoint at Stripe, or else empty and why it is unknown."""
    try:
        found = stripe_api.account_of(config).endpoints()
    except AccountError as error:
        return "", str(error)
    own = _own(config, found)
    if own:
        return (ENABLED if any(one.enabled for one in own) else DISABLED), ""
    if any(one.counts_sales and one.kind != "direct" for one in found):
        # A proxy may receive at another path than the relay.
        return "", "None of the account's webhook endpoints ends in /stripe/webhook."
    return ABSENT, ""


def _own(config: RelayConfig, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Return the endpoints that lead to a relay; only this one's where their secrets show it."""
    from tracknow_static.account.secret_file import fingerprint

    relays = [one for one in endpoints if one.kind == "relay" and not one.thin]
    prints = {fingerprint(secret) for secret in config.secrets.current()}
    return [one for one in relays if one.fingerprint in prints] or relays
