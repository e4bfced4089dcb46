"""How far backfill has looked at Stripe, who looks, and what it has found there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tracknow_static.relay.store.facts import Lease, SharedState

if TYPE_CHECKING:
    from collections.abc import Iterator

ENABLED, DISABLED, ABSENT = "enabled", "disabled", "absent"

# One poll may find what was on its way; a webhook that works leaves nothing to the next one.
_KEEPS_FINDING = 2
# Polls come every hour. Stripe being away for less than this needs nobody.
_FAILING_SECONDS = 3 * 3600.0


@dataclass(frozen=True, kw_only=True)
class State(Lease):
    """What backfill knows. Times are Unix seconds, ``start`` and ``at`` by Stripe's clock.

    Nothing older than ``start`` is fetched; every event created before ``at`` has been looked for
    with the API key of which ``key`` is a fingerprint. The last complete poll ended at
    ``polled_at``; since ``failing_since``, if that is set, polls fail because of ``error``.
    ``found`` events have been stored in all. ``in_a_row`` polls, the last ones, found ``unpushed``
    events that Stripe should have pushed while a relay ran. ``endpoint`` is ``enabled``,
    ``disabled`` or ``absent``, or empty when it is unknown because of ``endpoint_unknown``.
    """

    key: str = ""
    start: int = 0
    at: int = 0
    polled_at: float = 0.0
    failing_since: float = 0.0
    error: str = ""
    found: int = 0
    in_a_row: int = 0
    unpushed: int = 0
    endpoint: str = ""
    endpoint_unknown: str = ""


_shared = SharedState("backfill", State)
load, store = _shared.load, _shared.store


class Finding(NamedTuple):
    """What needs a person: a stable ``code``, a sentence, the ``command`` that helps.

    ``code`` is ``endpoint-disabled``, ``endpoint-absent``, ``never-pushed`` or ``backfill-fails``.
    ``since`` is None where it is not known.
    """

    code: str
    text: str
    command: str
    since: float | None = None


def findings(state: State | None, now: float) -> Iterator[Finding]:
    """Yield what backfill's state (``Status.backfill``) shows that needs a person."""
    if state is None:
        return
    if state.endpoint == DISABLED:
        yield Finding(
            "endpoint-disabled",
            "Stripe has disabled the relay's webhook endpoint: enable it in the Dashboard",
            "tracknow-static stripe setup",
        )
    elif state.endpoint == ABSENT:
        yield Finding(
            "endpoint-absent",
            "Stripe has no webhook endpoint for this relay",
            "tracknow-static stripe setup",
        )
    if state.in_a_row >= _KEEPS_FINDING:
        yield Finding(
            "never-pushed",
            f"backfill keeps finding events that Stripe did not push ({state.unpushed} in the last "
            f"{state.in_a_row} polls): check the endpoint's URL and what is in front of the relay",
            "tracknow-static stripe status",
        )
    if state.failing_since and now - state.failing_since >= _FAILING_SECONDS:
        text = f"missed events cannot be fetched: {state.error}"
        yield Finding(
            "backfill-fails", text, "tracknow-relay backfill --dry-run", state.failing_since
        )
