"""Reporting refused calls in the log: why, how many, and not more than once a minute."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

log = logging.getLogger(__name__)

_EVERY_SECONDS = 60.0

# What only calls of Stripe, or of somebody who is slow or cut off, can be refused for; anybody may
# ask for a path that is not there.
HINTS = {
    "signature_mismatch": "STRIPE_WEBHOOK_SECRET is not the secret of Stripe's webhook endpoint",
    "signature_stale": "this host's clock is wrong, or somebody repeats old calls",
    "wrong_path": "the URL of Stripe's webhook endpoint has to end with /stripe/webhook",
    "body_timeout": "callers send their bodies too slowly; a proxy in front can buffer them",
    "body_incomplete": "callers hang up",
    "body_too_large": "TRACKNOW_RELAY_MAX_BODY is the limit",
    "busy": "many large bodies arrive at once",
    "schema": "the database has another version: `tracknow-relay check`",
}


class Refusals:
    """Counts refusals and reports them; safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._report_at = 0.0

    def add(self, reason: str) -> None:
        """Count one refusal; report it with the others if the last report is a minute old."""
        if reason not in HINTS:
            return
        with self._lock:
            self._counts[reason] += 1
            if time.monotonic() < self._report_at:
                return
            counts, self._counts = self._counts, Counter()
            self._report_at = time.monotonic() + _EVERY_SECONDS
        for name, number in sorted(counts.items()):
            log.warning("%d calls refused (%s): %s", number, name, HINTS[name])
