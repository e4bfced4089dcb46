"""Where the events of a sale shall go: Tracknow itself, or the relay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["direct", "relay"]

RELAY_PATH = "/stripe/webhook"

# RFC 1035: the namespace with "-tracking" behind it is one DNS label of at most 63 characters.
_NAMESPACE = re.compile(r"(?!.*-tracking\Z)[a-z0-9](?:[a-z0-9-]{0,52}[a-z0-9])?")
_DIRECT_HOST = re.compile(r"[a-z0-9-]+-tracking\.tracknow\.info")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Target:
    """Where the events shall go; ``url`` is what Stripe posts to."""

    kind: Kind
    url: str

    @classmethod
    def tracknow(cls, namespace: str) -> Target:
        """Take a Tracknow namespace, a DNS label. Raises ``ValueError`` with what is accepted."""
        name = namespace.strip().lower()
        if not _NAMESPACE.fullmatch(name):
            text = (
                f"{namespace!r} is no Tracknow namespace. Accepted: the part before -tracking in "
                "NAMESPACE-tracking.tracknow.info (1 to 54 letters, digits and hyphens)."
            )
            raise ValueError(text)
        return cls("direct", f"https://{name}-tracking.tracknow.info/stripe/postback")

    @classmethod
    def relay(cls, url: str, *, live: bool = True) -> Target:
        """Take the relay's public URL; without a path, the relay's own path is meant.

        Raises ``ValueError`` when Stripe could not post to it.
        """
        url = url.strip()
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError(f"{url!r} is no URL.") from None
        if not host or parts.scheme not in ("https", "http") or re.search(r"[\s\\]", url):
            raise ValueError(f"{url!r} is no URL such as https://relay.example.com{RELAY_PATH}.")
        if parts.username or parts.password or parts.fragment:
            raise ValueError(f"{url!r}: leave user, password and fragment out.")
        if parts.scheme == "http" and live:
            raise ValueError(f"{url!r}: Stripe posts live events to https only.")
        if host in LOOPBACK:
            raise ValueError(f"{url!r}: Stripe cannot reach this machine's own address.")
        if leads_to_tracknow(url):
            raise ValueError(f"{url!r} is Tracknow itself: use --namespace.")
        path = parts.path if parts.path not in ("", "/") else RELAY_PATH
        return cls("relay", parts._replace(netloc=parts.netloc.lower(), path=path).geturl())


def leads_to_tracknow(url: str) -> bool:
    """Whether a URL is an address of Tracknow's."""
    return bool(_DIRECT_HOST.fullmatch((urlsplit(url).hostname or "").lower()))


def ends_as_the_relays(url: str) -> bool:
    """Whether a URL has the path that the relay answers at, perhaps below a prefix."""
    return urlsplit(url).path.rstrip("/").endswith(RELAY_PATH)


def comparable(url: str) -> tuple[str, str, str, str]:
    """Give a URL as what counts when two are compared: no case of scheme and host, "/" for ""."""
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower(), parts.path or "/", parts.query
