"""When nothing is sent to a destination, and who finds out that it works again.

``THRESHOLD`` failures in a row open the breaker: the destination is down. Then nothing is sent
but one event at a time, a probe, after waits that double up to five minutes; a probe that fails is
not counted against its event, so an outage, however long, uses up no event's schedule. The breaker
is in the database: all processes see it, and only one of them probes.

A destination that is configured wrongly (``verdict``) is paused: the same, but visible as a mistake
that an operator has to fix, and probed after 1, 5, 15 and then every 60 minutes. It resumes by
itself when a probe is answered, or when the operator resumes it.
"""

from __future__ import annotations

import enum
import logging
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tracknow_static.relay.deliver import schedule
from tracknow_static.relay.deliver.verdict import Meaning
from tracknow_static.relay.store import destinations
from tracknow_static.relay.store.model import (
    ACTIVE,
    BREAKER_THRESHOLD,
    PAUSED,
    without_query,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracknow_static.relay.deliver.verdict import Verdict
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import Breaker

_log = logging.getLogger(__name__)

THRESHOLD = BREAKER_THRESHOLD
# More than any wait of ours: a clock was wrong when it was written, or is wrong now.
_ABSURD = 24 * 3600.0
# Between reading and writing another process may write: how often it is read again.
_TRIES = 10


class Gate(enum.Enum):
    """What may be sent to a destination now."""

    CLOSED = "everything"
    PROBE = "one event, by the process that gets to probe"
    OPEN = "nothing"


@dataclass(frozen=True)
class BreakerInput:
    """What one attempt shows about a destination; without ``verdict``, a probe was not sent."""

    verdict: Verdict | None
    probe: bool

    @property
    def keeps_healthy(self) -> bool:
        """Whether a healthy breaker stays as it is."""
        return self.verdict is not None and self.verdict.meaning.is_up


def gate(breaker: Breaker) -> tuple[Gate, float]:
    """Return what may be sent, and for how many seconds nothing may."""
    waits = [wait for wait in (breaker.open_for, breaker.probing_for) if 0 < wait < _ABSURD]
    if waits:
        return Gate.OPEN, max(waits)
    if breaker.state == PAUSED or breaker.failures >= THRESHOLD:
        return Gate.PROBE, 0.0
    return Gate.CLOSED, 0.0


def is_healthy(breaker: Breaker) -> bool:
    """Whether nothing has happened to a breaker since its destination last accepted an event."""
    return not breaker.failures and breaker.state != PAUSED


def after(
    breaker: Breaker, seen: BreakerInput, *, chance: Callable[[], float] = random.random
) -> Breaker:
    """Return what a breaker becomes after one attempt, its version apart.

    An answer of a misconfigured destination pauses; any answer about the event resumes.
    """
    if seen.verdict is None or not seen.verdict.meaning.is_answer:
        return replace(breaker, probing_for=0.0) if seen.probe else breaker
    meaning = seen.verdict.meaning
    if meaning.is_up:
        return replace(
            breaker, state=ACTIVE, paused_because=None, failures=0, open_for=0.0, probing_for=0.0
        )
    is_open = breaker.state == PAUSED or breaker.failures >= THRESHOLD
    if is_open and not seen.probe:
        # Was sent before the breaker opened: nothing new.
        return breaker
    if meaning is Meaning.MISCONFIGURED and breaker.state != PAUSED:
        return replace(
            breaker,
            state=PAUSED,
            paused_because=seen.verdict.reason,
            failures=1,
            open_for=schedule.misconfigured_delay(0, chance=chance),
            probing_for=0.0,
        )
    failures = breaker.failures + 1
    if breaker.state == PAUSED:
        wait = schedule.misconfigured_delay(breaker.failures, chance=chance)
    else:
        if meaning is Meaning.BUSY:
            failures = max(failures, THRESHOLD)
        opens = failures >= THRESHOLD
        asked = seen.verdict.retry_after
        opened = schedule.open_seconds(failures - THRESHOLD, chance=chance)
        wait = max(opened, asked) if opens else 0.0
    return replace(breaker, failures=failures, open_for=wait, probing_for=0.0)


def update(database: Database, destination: str, inputs: Sequence[BreakerInput]) -> Gate:
    """Bring a destination's breaker up to date, for all processes; return what may be sent now.

    Raises ``StorageError``.
    """
    for _ in range(_TRIES):
        before = destinations.breaker(database, destination)
        now = before
        for seen in inputs:
            now = after(now, seen)
        if now == before or _write(database, before, now):
            _log_change(before, now)
            break
    # Other processes, which wrote each time, have seen the same meanwhile.
    return gate(now)[0]


def _write(database: Database, before: Breaker, now: Breaker) -> bool:
    if now.state == PAUSED and before.state != PAUSED:
        because = now.paused_because or ""
        return destinations.pause(database, now.destination, because, open_for=now.open_for)
    if now.state != PAUSED and before.state == PAUSED:
        return destinations.resume(database, now.destination, at_once=False)
    return destinations.set_breaker(
        database,
        before,
        failures=now.failures,
        open_for=now.open_for,
        probing_for=now.probing_for,
    )


def _log_change(before: Breaker, now: Breaker) -> None:
    fields = {"destination": without_query(now.destination), "failures": now.failures}
    if now.state == PAUSED and before.state != PAUSED:
        _log.error(
            "destination paused: %s. Fix its URL here or its settings there. No event is lost; "
            "it is tried again in %.0f s, or at once after `tracknow-relay resume`",
            now.paused_because,
            now.open_for,
            extra=fields,
        )
    elif before.state == PAUSED and now.state != PAUSED:
        _log.warning("destination works again and is resumed", extra=fields)
    elif now.state == PAUSED and now != before:
        _log.error(
            "destination is still paused: %s; tried again in %.0f s",
            now.paused_because,
            now.open_for,
            extra=fields,
        )
    elif now.failures >= THRESHOLD > before.failures:
        _log.warning("destination is down; tried again in %.0f s", now.open_for, extra=fields)
    elif before.failures >= THRESHOLD > now.failures:
        _log.warning("destination is up again", extra=fields)
