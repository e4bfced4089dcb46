"""Where the events of a sale go: Tracknow itself, or the relay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from tracknow_static import rules
from tracknow_static.tracknow import LOOPBACK, WEBHOOK_PATH, is_tracknow_url, postback_url

Kind = Literal["direct", "relay"]

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
            raise ValueError(f"{url!r} is no URL.") from None
        if not host or parts.scheme not in ("https", "http") or re.search(r"[\s\\]", url):
            raise ValueError(f"{url!r} is no URL such as https://relay.example.com{WEBHOOK_PATH}.")
        if parts.username or parts.password or parts.fragment:
            raise ValueError(f"{url!r}: leave user, password and fragment out.")
        if parts.scheme == "http" and live:
            raise ValueError(f"{url!r}: Stripe posts live events to https only.")
        if host in LOOPBACK:
            raise ValueError(f"{url!r}: Stripe cannot reach this machine's own address.")
        if is_tracknow_url(url):
            raise ValueError(f"{url!r} is Tracknow itself: use --namespace.")
        path = parts.path if parts.path not in ("", "/") else WEBHOOK_PATH
        return cls("relay", parts._replace(netloc=parts.netloc.lower(), path=path).geturl())


def ends_as_the_relays(url: str) -> bool:
    """Whether a URL has the path that the relay receives events at, perhaps below a prefix."""
    return urlsplit(url).path.rstrip("/").endswith(WEBHOOK_PATH)


def comparable(url: str) -> tuple[str, str, str, str]:
    """Return the parts of a URL that count when two are compared.

    The case of scheme and host does not count, nor a slash at the end of the path.
    """
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower(), parts.path.rstrip("/"), parts.query
