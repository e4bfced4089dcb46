"""What of the relay's state needs a person, decided in one place for all who report it.

:func:`observe` reads a few values by index, :func:`conditions` makes of them what needs attention
now. ``status``, ``check``, ``/readyz``, the metrics, alerts and the status page use both.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from tracknow_static.relay.operate.output import duration
from tracknow_static.relay.receive.response import HINTS
from tracknow_static.relay.sales.verdicts import without_click_id
from tracknow_static.relay.store import backfill_state, refusals, watch
from tracknow_static.relay.store.destinations import resume_command
from tracknow_static.relay.store.model import PAUSED, without_query
from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import DestinationStatus

# Seconds that a delivery may wait before it needs attention.
MAX_AGE = 3600.0
# Stripe repeats a refused call after hours, so that a wrong secret shows only now and then.
_REFUSED_SECONDS = 86_400.0
# A stranger who calls once does not call again.
_REPEATED_SECONDS = 60.0
_DAY = 86_400.0
# What the smallest write takes: below it a disk is full, whatever else it is asked for.
_FULL_BYTES = 100_000
_WAIT = ("delivery waits", "deliveries wait")

CODES = {
    "dead-letter": "A destination refused an event for good, or never accepted it in all attempts.",
    "rejected-sale": "A destination answered an event with 2xx and success: false.",
    "destination-paused": "A destination is paused: its URL or its settings are wrong.",
    "destination-down": "A destination does not answer, or answers with errors.",
    "backlog-old": "A delivery has been waiting for more than an hour.",
    "held-old": "Charges wait for their sessions long after TRACKNOW_RELAY_FORWARD_WAIT: no process "
    "decides about them.",
    "former-destination": "Deliveries wait for a destination that is not configured any more.",
    "disk-low": "The disk has less free space than TRACKNOW_RELAY_MIN_FREE_MB, or none: events are "
    "refused.",
    "calls-refused": "Every call of the webhook is refused, for a reason that only Stripe's own "
    "calls have, such as a wrong signing secret; after one that was accepted, a minute apart.",
    "endpoint-disabled": "Stripe has disabled the relay's webhook endpoint.",
    "endpoint-absent": "Stripe has no webhook endpoint for the relay.",
    "never-pushed": "Backfill keeps finding events that Stripe did not push.",
    "backfill-fails": "Missed events cannot be fetched from Stripe.",
    "no-click-ids": "None of the last TRACKNOW_RELAY_SALES_WITHOUT_CLICK_ID sales carries a click "
    "id, and earlier ones did.",
}
"""Every condition with its meaning; the codes are stable."""

# Anyone who finds the relay can cause these refusals; the others are of calls that only Stripe
# makes, or of events that were not stored.
_BY_ANYONE = frozenset(
    {
        "not_found",
        "method_not_allowed",
        "signature_missing",
        "signature_malformed",
        "body_not_utf8",
        "length_required",
        "length_invalid",
        "body_incomplete",
        "body_timeout",
        "body_too_large",
    }
)


class Condition(NamedTuple):
    """One thing that needs a person.

    ``about`` distinguishes conditions of one code: a destination without its query, or a reason.
    ``text`` is a sentence without a full stop, ``command`` what helps. ``stalls`` is true when
    events are not stored or not delivered. It is true ``since`` that time, None if that is not
    known; ``newest`` is the time of the latest case of what happens again and again. Neither
    personal data nor secrets are in it.
    """

    code: str
    about: str
    text: str
    command: str
    stalls: bool
    since: float | None = None
    newest: float | None = None

    def __str__(self) -> str:
        return f"{self.text}: `{self.command}`"


class Observed(NamedTuple):
    """What the conditions are made of; times are Unix seconds by the database's clock.

    ``accepted_at`` is when Stripe's last call was accepted, ``refused`` when calls began to be
    refused and were refused last, by reason. ``held_since`` is when the oldest event came that waits for its session.
    ``free`` bytes are on the disk, None if the database is on another host.
    """

    now: float
    destinations: tuple[DestinationStatus, ...] = ()
    accepted_at: float | None = None
    refused: dict[str, tuple[float, float]] = {}  # noqa: RUF012 - never changed
    held_since: float | None = None
    free: int | None = None
    backfill: backfill_state.State | None = None
    without_click_id: int | None = None


def observe(database: Database, config: RelayConfig) -> Observed:
    """Read what the conditions are made of; takes milliseconds whatever the store holds.

    Raises :class:`StorageError`.
    """
    with database.read() as connection:
        now = database.read_clock(connection)
        settled_since = now - max(1, config.retention_dead_days) * _DAY
        return Observed(
            now=now,
            destinations=tuple(
                watch.read_destinations(
                    connection,
                    config.destinations,
                    now=now,
                    settled_since=settled_since,
                    most=watch.MOST,
                )
            ),
            accepted_at=refusals.accepted_at(connection),
            refused=refusals.refused(connection),
            held_since=watch.held_since(connection),
            free=database.free_bytes(),
            backfill=backfill_state.load(connection),
            without_click_id=without_click_id(connection, config.sales_without_click_id),
        )


def conditions(seen: Observed, config: RelayConfig, *, max_age: float = MAX_AGE) -> list[Condition]:
    """Return what needs a person now; ``max_age`` is how many seconds a delivery may wait."""
    found = [
        condition
        for entry in seen.destinations
        for condition in _of_destination(entry, config, max_age)
    ]
    found.extend(_of_calls(seen))
    since = seen.held_since
    if since is not None and seen.now - since > max_age + config.forward_wait:
        text = f"charges have waited for their sessions for {duration(seen.now - since)}"
        found.append(
            Condition("held-old", "", text, "tracknow-relay drain", stalls=True, since=since)
        )
    found.extend(_of_backfill(seen))
    if is_disk_low(seen.free, config):
        text = f"{free_space(seen.free or 0, config)}: events are refused, and Stripe keeps them"
        found.append(Condition("disk-low", "", text, "tracknow-relay purge", stalls=True))
    if seen.without_click_id is not None:
        text = (
            f"none of the last {counted(config.sales_without_click_id, 'sale')} carries a click id, "
            "and earlier ones did"
        )
        since = float(seen.without_click_id)
        command = "tracknow-relay report"
        found.append(Condition("no-click-ids", "", text, command, stalls=False, since=since))
    return found


def is_disk_low(free: int | None, config: RelayConfig) -> bool:
    """Whether a disk has less free space, in bytes, than it takes to store events."""
    return watch.is_low(free, max(config.min_free_bytes, _FULL_BYTES))


def free_space(free: int, config: RelayConfig) -> str:
    """Return how much space there is, and how much is needed."""
    needed = max(config.min_free_bytes, _FULL_BYTES)
    return f"{_megabytes(free)} MB are free, {_megabytes(needed)} are needed"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}" if size >= 1_000_000 else f"{size / 1e6:.1f}"


def _of_destination(
    entry: DestinationStatus, config: RelayConfig, max_age: float
) -> Iterator[Condition]:
    url = without_query(entry.destination)
    yield from _settled(entry, url)
    if entry.destination not in config.destinations:
        if entry.pending:
            to = shlex.quote(without_query(config.destinations[0]))
            yield Condition(
                "former-destination",
                url,
                f"{_number(entry.pending, *_WAIT)} for {url}, which is not configured",
                f"tracknow-relay retire {shlex.quote(url)} --to {to}",
                stalls=True,
                since=entry.oldest_at,
            )
        return
    command = "tracknow-relay list --state pending"
    breaker = entry.breaker
    if breaker.state == PAUSED:
        command = resume_command(url)
        because = f": {breaker.paused_because}" if breaker.paused_because else ""
        yield Condition(
            "destination-paused",
            url,
            f"{url} is paused{because}",
            command,
            stalls=True,
            since=entry.paused_at,
        )
    elif breaker.is_down:
        command = "tracknow-relay check"
        yield Condition(
            "destination-down",
            url,
            f"{url} is down",
            command,
            stalls=True,
            since=entry.failing_since,
        )
    age = entry.oldest_pending_age
    if age is not None and age > max_age:
        yield Condition(
            "backlog-old",
            url,
            f"{_number(entry.pending, *_WAIT)} for {url}, the oldest for {duration(age)}",
            command,
            stalls=True,
            since=entry.oldest_at,
        )


def _settled(entry: DestinationStatus, url: str) -> Iterator[Condition]:
    for code, state, text in (
        ("dead-letter", "dead", f"{url} has {_number(entry.dead, 'dead letter')}"),
        ("rejected-sale", "rejected", f"{url} rejected {_number(entry.rejected, 'event')}"),
    ):
        found = entry.settled[state]
        if found.number:
            yield Condition(
                code,
                url,
                text,
                f"tracknow-relay list --state {state}",
                stalls=False,
                since=found.first_at,
                newest=found.last_at,
            )


def _of_calls(seen: Observed) -> Iterator[Condition]:
    accepted_at = seen.accepted_at
    for reason, (began, last) in sorted(seen.refused.items()):
        if reason in _BY_ANYONE or seen.now - last > _REFUSED_SECONDS:
            continue
        if accepted_at is not None and (began <= accepted_at or last - began < _REPEATED_SECONDS):
            continue
        hint = f": {HINTS[reason]}" if reason in HINTS else ""
        yield Condition(
            "calls-refused",
            reason,
            f"every call of the webhook is refused ({reason}){hint}",
            "tracknow-relay check",
            stalls=True,
            since=began,
        )


def _of_backfill(seen: Observed) -> Iterator[Condition]:
    for finding in backfill_state.findings(seen.backfill, seen.now):
        yield Condition(
            finding.code,
            "",
            finding.text,
            finding.command,
            stalls=finding.code != "backfill-fails",
            since=finding.since,
        )


def _number(number: int, *words: str) -> str:
    more = "more than " if number > watch.MOST else ""
    return f"{more}{counted(min(number, watch.MOST), *words)}"
