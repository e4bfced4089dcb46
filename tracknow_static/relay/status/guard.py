"""The status page's password: HTTP Basic (RFC 7617), and a pause for whoever guesses.

Each caller has some tries; then it waits between two tries, longer each time, for half a minute at
most. A try that comes too early is not looked at, so that guessing faster gains nothing, and it
does not prolong the pause. Callers are known by their address: one that guesses locks nobody
else out. All of it is per process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import logging
import math
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

_FREE_TRIES = 5
LONGEST_PAUSE = 30.0
# Seconds after which wrong tries are forgotten, and how many callers are remembered.
_MEMORY_SECONDS = 900.0
MOST_CALLERS = 1024
_REPORT_SECONDS = 60.0

# Whoever has half of the addresses of an IPv6 network has all of them.
_IPV6_NETWORK = 64


class _Tries(NamedTuple):
    wrong: int
    last: float

    @property
    def until(self) -> float:
        """When the next try may come."""
        if self.wrong < _FREE_TRIES:
            return -math.inf
        return self.last + min(LONGEST_PAUSE, 2.0 ** min(self.wrong - _FREE_TRIES, 10))


_NONE = _Tries(0, 0.0)


class Guard:
    """Decides who may see the page; safe to use from threads. ``clock`` returns seconds."""

    def __init__(self, password: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._digest = _digest(password.encode())
        self._clock = clock
        self._lock = threading.Lock()
        # The caller whose last wrong try is the oldest comes first.
        self._tries: OrderedDict[str, _Tries] = OrderedDict()
        self._unreported = 0
        self._report_at = -_REPORT_SECONDS

    def examine(self, authorization: str, caller: str) -> float | None:
        """Look for the password in a request's ``Authorization``; a wrong one is counted.

        Return None when it is right, 0 when it is wrong, and else the seconds that the caller has
        to wait, for a try that came too early.
        """
        with self._lock:
            now = self._clock()
            self._forget(now)
            tries = self._tries.get(caller, _NONE)
            if tries.until > now:
                return tries.until - now
            self._tries.pop(caller, None)
            if hmac.compare_digest(_digest(_password_in(authorization)), self._digest):
                return None
            self._tries[caller] = _Tries(tries.wrong + 1, now)
            if len(self._tries) > MOST_CALLERS:
                self._tries.popitem(last=False)
            self._report(now)
            return 0.0

    def _forget(self, now: float) -> None:
        while self._tries:
            caller, tries = next(iter(self._tries.items()))
            if now - tries.last < _MEMORY_SECONDS:
                return
            del self._tries[caller]

    def _report(self, now: float) -> None:
        self._unreported += 1
        if now - self._report_at >= _REPORT_SECONDS:
            log.warning("%s for /status", counted(self._unreported, "wrong password"))
            self._unreported, self._report_at = 0, now


def _digest(text: bytes) -> bytes:
    # Of one length, whatever was sent: a comparison of two lengths shows which one is right.
    return hashlib.sha256(text).digest()


def _password_in(authorization: str) -> bytes:
    """Return the password that a header holds; for anything else what is no password."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        credentials = base64.b64decode(token.strip(), validate=True)
    except ValueError:
        return b""
    return credentials.partition(b":")[2]


def caller_of(environ: Mapping[str, Any]) -> str:
    """Return who calls: the address of the peer, or the one that a proxy nearby names.

    A proxy adds the address that it sees as the last one. One on the internet is not believed:
    it could be the caller itself.
    """
    peer = _address(environ.get("REMOTE_ADDR"))
    if peer is None or not peer.is_global:
        named = str(environ.get("HTTP_X_FORWARDED_FOR") or "").rpartition(",")[2].strip()
        peer = _address(named) or peer
    if isinstance(peer, ipaddress.IPv6Address):
        peer = peer.ipv4_mapped or peer
    if isinstance(peer, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(peer), _IPV6_NETWORK), strict=False))
    return str(peer)


def _address(text: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(str(text))
    except ValueError:
        return None
