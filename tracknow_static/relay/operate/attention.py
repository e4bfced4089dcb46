"""What of the relay's state needs a person: for ``status --strict`` and ``check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tracknow_static.relay.operate.output import duration
from tracknow_static.relay.receive.response import HINTS
from tracknow_static.relay.store.backfill_state import findings
from tracknow_static.relay.store.model import PAUSED, without_query

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tracknow_static.relay.store.model import DestinationStatus, Status

# Seconds that a delivery may wait before it needs attention.
MAX_AGE = 3600.0

# Anyone who finds the relay can cause these refusals; the others are of calls that only Stripe
# makes, or of events that were not stored.
_BY_ANYONE = frozenset(
    {
        "not_found",
        "method_not_allowed",
        "signature_missing",
        "signature_malformed",
        "length_required",
        "length_invalid",
        "body_incomplete",
        "body_timeout",
        "body_too_large",
    }
)


class Attention(NamedTuple):
    """One thing that needs a person; ``stalls`` when events are not stored or not delivered."""

    stalls: bool
    text: str


def attention(
    status: Status, configured: Sequence[str], *, max_age: float = MAX_AGE
) -> Iterator[Attention]:
    """Yield what needs a person; ``configured`` are the destinations that are delivered to."""
    for entry in status.destinations:
        yield from _of_destination(entry, entry.destination in configured, max_age)
    newest = status.newest_event_at or 0.0
    for reason, at in sorted(status.refused_at.items()):
        if reason not in _BY_ANYONE and at > newest and status.now - at < max_age:
            hint = f": {HINTS[reason]}" if reason in HINTS else ""
            text = f"since the last event, calls were refused ({reason}){hint}"
            yield Attention(stalls=True, text=text)
    for found in findings(status.backfill, status.now):
        yield Attention(stalls=found.code != "backfill-fails", text=found.text)


def _of_destination(
    entry: DestinationStatus, is_configured: bool, max_age: float
) -> Iterator[Attention]:
    url = without_query(entry.destination)
    if entry.dead:
        text = f"{url} has {entry.dead} dead letters: `tracknow-relay list --state dead`"
        yield Attention(stalls=False, text=text)
    if entry.rejected:
        text = (
            f"{url} answered {entry.rejected} events with success: false: "
            "`tracknow-relay list --state rejected`"
        )
        yield Attention(stalls=False, text=text)
    if not is_configured:
        if entry.pending:
            text = (
                f"{entry.pending} wait for {url}, which is not configured: `tracknow-relay retire`"
            )
            yield Attention(stalls=True, text=text)
        return
    if entry.state == PAUSED:
        because = f": {entry.paused_because}" if entry.paused_because else ""
        yield Attention(stalls=True, text=f"{url} is paused{because}")
    elif entry.is_down:
        yield Attention(stalls=True, text=f"{url} is down")
    age = entry.oldest_pending_age
    if age is not None and age > max_age:
        text = f"{entry.pending} wait for {url}, the oldest for {duration(age)}"
        yield Attention(stalls=True, text=text)
