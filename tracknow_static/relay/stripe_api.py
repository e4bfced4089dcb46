"""The relay's access to Stripe's API; the official library is imported when it is used.

Nothing here runs while a webhook is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracknow_static.errors import AccountError
from tracknow_static.exit_codes import CONFLICT, KEY

if TYPE_CHECKING:
    from stripe import StripeClient

    from tracknow_static.account.key import ApiKey
    from tracknow_static.account.stripe_api import Account
    from tracknow_static.relay.config import RelayConfig


def key_of(config: RelayConfig) -> ApiKey:
    """Return the API key, which is of a mode whose events the relay forwards.

    Raises :class:`AccountError` when there is none, or when it is of the other mode.
    """
    key = config.api_key
    if key is None:
        text = "No Stripe API key. Set STRIPE_API_KEY or STRIPE_API_KEY_FILE."
        raise AccountError(text, KEY)
    if config.livemode not in ("both", key.mode):
        text = (
            f"STRIPE_API_KEY is a key of {key.mode} mode, but the relay forwards {config.livemode} "
            f"events (TRACKNOW_RELAY_LIVEMODE). Use a key of {config.livemode} mode."
        )
        raise AccountError(text, CONFLICT)
    return key


def client_of(key: ApiKey) -> StripeClient:
    """Return the official client, whose answers are read within bounds.

    Raises :class:`AccountError` when the library is not installed.
    """
    from tracknow_static.account.key import library

    library()
    from tracknow_static.relay.backfill.transport import BoundedClient

    return key.client(http_client=BoundedClient())


def account_of(config: RelayConfig) -> Account:
    """Return the account of the API key.

    Raises :class:`AccountError` as :func:`key_of` and :func:`client_of` do.
    """
    from tracknow_static.account.stripe_api import Account

    key = key_of(config)
    return Account(key, client_of(key))
