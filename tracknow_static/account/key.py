"""The API key: from the environment or a hidden prompt, never from the command line."""

from __future__ import annotations

import importlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from tracknow_static.errors import AccountError
from tracknow_static.exit_codes import CONFLICT, KEY, MISUSE
from tracknow_static.tracknow import LOOPBACK

if TYPE_CHECKING:
    from stripe import StripeClient

# docs.stripe.com/keys: secret and restricted keys, with their mode in the prefix.
_KEY = re.compile(r"(sk|rk)_(live|test)_[A-Za-z0-9_]{3,250}")


@dataclass(frozen=True)
class ApiKey:
    """A secret or restricted key; ``mode`` is ``live`` or ``test``. Its value is never shown."""

    value: str = field(repr=False)
    mode: str

    @property
    def livemode(self) -> bool:
        """Stripe's word for the mode."""
        return self.mode == "live"

    @classmethod
    def parse(cls, text: str) -> ApiKey:
        """Return the key, checked. Raises :class:`AccountError`, which never shows the key."""
        text = text.strip()
        match = _KEY.fullmatch(text)
        if match:
            return cls(text, match.group(2))
        if text.startswith("pk_"):
            problem = "This is a publishable key; the task needs a secret or restricted one."
        elif text.startswith("whsec_"):
            problem = "This is a webhook signing secret, not an API key."
        elif text.startswith("sk_org_"):
            problem = "This is the key of an organization; use one of the account that sells."
        else:
            problem = "This is not a Stripe API key."
        wanted = "Expected sk_live_…, rk_live_…, sk_test_… or rk_test_…."
        raise AccountError(f"{problem} {wanted}", KEY)

    def client(self, *, http_client: Any = None) -> StripeClient:
        """Return the official client; it repeats a request at most twice, with one idempotency key.

        ``http_client`` is one of the library's to use instead of its default. Raises
        :class:`AccountError` when the library is not installed.
        """
        stripe = library()
        options: dict[str, Any] = {"max_network_retries": 2, "http_client": http_client}
        # For this project's tests; loopback only, so that no key can be sent elsewhere.
        base = os.environ.get("TRACKNOW_STRIPE_API_BASE")
        if base:
            if urlsplit(base).hostname not in LOOPBACK:
                text = "TRACKNOW_STRIPE_API_BASE is for tests and accepts loopback addresses only."
                raise AccountError(text, MISUSE)
            options["base_addresses"] = {"api": base}
        client: StripeClient = stripe.StripeClient(self.value, **options)
        return client


def library(*others: str) -> Any:
    """Import the official library, and others that a command needs beside it.

    Raises :class:`AccountError` when the extra is missing.
    """
    try:
        for name in others:
            importlib.import_module(name)
        import stripe
    except ImportError as error:
        text = (
            f"The package {error.name} is not installed. "
            "Install it with: pip install 'tracknow-static[stripe]'"
        )
        raise AccountError(text, MISUSE) from None
    # It would measure requests for Stripe and write an identity to the user's folder.
    stripe.enable_telemetry = False
    return stripe


def obtain(mode: str | None = None) -> ApiKey:
    """Return the key from STRIPE_API_KEY, STRIPE_API_KEY_FILE or a hidden prompt.

    Raises :class:`AccountError` when there is no key, or when it is not of ``mode``.
    """
    text = os.environ.get("STRIPE_API_KEY", "")
    path = os.environ.get("STRIPE_API_KEY_FILE")
    if not text and path:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise AccountError(f"STRIPE_API_KEY_FILE: cannot read {path}: {error}", KEY) from None
    if not text.strip() and sys.stdin.isatty():
        text = click.prompt("Stripe API key (not shown)", hide_input=True, err=True)
    if not text.strip():
        wanted = "Set STRIPE_API_KEY or STRIPE_API_KEY_FILE, or run it on a terminal to be asked."
        raise AccountError(f"No Stripe API key. {wanted}", KEY)
    key = ApiKey.parse(text)
    if mode is not None and key.mode != mode:
        raise AccountError(f"--mode {mode} was given, but this is a {key.mode} API key.", CONFLICT)
    return key
