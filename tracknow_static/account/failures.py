"""What can go wrong with a Stripe account, in the words of the task, and the exit codes."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tracknow_static.errors import TracknowError
from tracknow_static.exit_codes import CONFLICT, FAILED, INTERRUPTED, KEY, STRIPE, epilog

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_CODES = epilog(
    FAILED,
    KEY,
    STRIPE,
    CONFLICT,
    INTERRUPTED,
    attention="done, but something needs your attention; or nothing was found, or you declined",
)

# "Having the 'rak_webhook_read' permission would allow …", since 2026 also
# "Enabling Webhook Endpoints, Event Destinations Read ('webhook_read') permissions …".
_PERMISSION = re.compile(r"\(?['‘](?:rak_)?([a-z0-9_]+_(?:read|write))['’]")
_ROWS = {
    "webhook": "Webhook Endpoints",
    "event": "Events",
    "payment_link": "Payment Links",
    "payment_links": "Payment Links",
    "bucket_payment_links": "Payment Links",
}


class AccountError(TracknowError):
    """A Stripe task cannot be done; ``code`` is the exit code."""

    def __init__(self, text: str, code: int) -> None:
        self.code = code
        super().__init__(text)


def permission_text(message: str, needed: str) -> str:
    """Name the permission of a restricted key that is missing.

    ``message`` is Stripe's, ``needed`` what the task needs ("Events: Read") when Stripe's words
    name none.
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
def in_words(task: str, needed: str) -> Iterator[None]:
    """Turn the library's errors into :class:`AccountError`.

    ``task`` completes "Could not …"; ``needed`` is the permission that the task takes.
    """
    import stripe

    try:
        yield
    except stripe.AuthenticationError:
        text = (
            f"Could not {task}: Stripe does not know this API key. "
            "It may be expired, rolled, or cut short when it was copied."
        )
        raise AccountError(text, KEY) from None
    except stripe.PermissionError as error:
        text = f"Could not {task}. {permission_text(error.user_message or '', needed)}"
        raise AccountError(text, KEY) from None
    except stripe.RateLimitError:
        text = f"Could not {task}: Stripe asks for fewer requests just now. Run again in a minute."
        raise AccountError(text, STRIPE) from None
    except stripe.APIConnectionError:
        text = (
            f"Could not {task}: api.stripe.com cannot be reached. "
            "Check the network, a proxy or a firewall, and run again: it is safe to repeat."
        )
        raise AccountError(text, STRIPE) from None
    except stripe.StripeError as error:
        raise AccountError(_other(task, error.user_message or "", error), STRIPE) from None


def _other(task: str, message: str, error: Exception) -> str:
    if re.search(r"maximum of \d+", message):
        return (
            f"Could not {task}: the account has as many webhook endpoints as Stripe allows. "
            "Delete one that is not used any more in the Dashboard, and run again.\n"
            f"Stripe says: {message}"
        )
    status = getattr(error, "http_status", None)
    if status is not None and status >= 500:
        return f"Could not {task}: Stripe has a fault of its own ({status}). Run again later."
    return f"Could not {task}. Stripe says: {message or error}"
