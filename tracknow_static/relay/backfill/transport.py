"""How answers of Stripe's API are read: a bounded number of bytes, in bounded time.

Imports the official library: import this module where a request is made.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import stripe
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Mapping

# A hundred events with the largest objects stay far below it.
LARGEST = 32 * 1024 * 1024
# Seconds for the connection and for each read, and for one answer as a whole.
_READ_SECONDS = 15.0
_SECONDS = 30.0
_CHUNK = 65_536


class BoundedClient(stripe.RequestsClient):
    """The library's client, which by itself reads whatever comes for as long as it comes."""

    def __init__(self, *, largest: int = LARGEST, seconds: float = _SECONDS) -> None:
        super().__init__(timeout=min(_READ_SECONDS, seconds))
        self._largest = largest
        self._seconds = seconds

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        **_more: Any,
    ) -> tuple[Any, int, Mapping[str, str]]:
        """Make a request and read its answer; raise the library's error for an endless one."""
        until = time.monotonic() + self._seconds
        raw, status, more = self.request_stream(method, url, headers, post_data)
        content = bytearray()
        try:
            while chunk := raw.read(_CHUNK, decode_content=True):
                content += chunk
                if len(content) > self._largest:
                    raise _broken("is too large", again=False)
                if time.monotonic() > until:
                    raise _broken("takes too long", again=True)
        except (HTTPError, OSError, ValueError) as error:
            raise _broken(f"broke off: {type(error).__name__}", again=True) from None
        finally:
            # Closed before its end, a connection is not used again.
            raw.close()
        return bytes(content), status, more


def _broken(what: str, *, again: bool) -> Exception:
    error: Exception = stripe.APIConnectionError(  # type: ignore[no-untyped-call]
        f"the answer {what}", should_retry=again
    )
    return error
