"""When nothing is sent to a destination, and who finds out that it works again.

``THRESHOLD`` failures in a row open the breaker: the destination is out. Then nothing is sent
but one event at a time, a probe, after waits that double up to five minutes; a probe that fails is
not counted against its event, so an outage, however long, uses up nobody's schedule. The breaker
lies in the database: all processes see it, and one of them gets to probe.

A destination that refuses (``verdict``) is paused: the same, but visible as a mistake that an
operator has to mend, and probed after 1, 5, 15 and then every 60 minutes. It resumes by itself when
a probe is answered, or when the operator says so.
"""

from __future__ import annotations

import enum
import logging
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tracknow_static.relay.deliver import schedule, verdict
from tracknow_static.relay.deliver.sender import shown
from tracknow_static.relay.deliver.verdict import Meaning
from tracknow_static.relay.store import destinations
from tracknow_static.relay.store.model import ACTIVE, PAUSED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracknow_static.relay.deliver.sender import Answer
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import Breaker

_log = logging.getLogger(__name__)

THRESHOLD = 5
FIRST_OPEN = 2.0
LONGEST_OPEN = 300.0
# More than any wait of ours: a clock was wrong when it was written, or is wrong now.
_ABSURD = 24 * 3600.0
# Between reading and writing another process may write: read again so many times.
_TRIES = 10


class Gate(enum.Enum):
    """What may be sent to a destination now."""

    CLOSED = "everything"
    PROBE = "one event, by whoever gets to probe"
    OPEN = "nothing"


@dataclass(frozen=True)
class Lesson:
    """What one answer tells about a destination; ``meant`` is None if a probe was not sent.

    ``wish`` is the answer's ``Retry-After`` in seconds, ``because`` says what came, for a person.
    """

    meant: Meaning | None
    probe: bool
    wish: float = 0.0
    because: str = ""

    @classmethod
    def of(cls, answer: Answer | None, *, probe: bool, now: float) -> Lesson | None:
        """Draw the lesson of an answer; None: there is none in it."""
        if answer is None:
            return cls(None, probe=True) if probe else None
        status = f"it answered {answer.status}" if answer.status else f"{answer.detail}"
        return cls(verdict.meaning(answer), probe, verdict.wish(answer, now), status)

    @property
    def harmless(self) -> bool:
        """Whether a breaker that nothing has happened to stays as it is."""
        return self.meant is not None and self.meant.alive


def gate(breaker: Breaker) -> tuple[Gate, float]:
    """Tell what may be sent, and for how many seconds nothing may."""
    waits = [one for one in (breaker.open_for, breaker.probing_for) if 0 < one < _ABSURD]
    if waits:
        return Gate.OPEN, max(waits)
    if breaker.state == PAUSED or breaker.failures >= THRESHOLD:
        return Gate.PROBE, 0.0
    return Gate.CLOSED, 0.0


def untouched(breaker: Breaker) -> bool:
    """Tell whether nothing has happened to a breaker since its destination last accepted."""
    return not breaker.failures and breaker.state != PAUSED


def after(
    breaker: Breaker, lesson: Lesson, *, chance: Callable[[], float] = random.random
) -> Breaker:
    """Tell what a breaker becomes after one lesson, its version apart.

    A refusal pauses, and what a living destination answers resumes it.
    """
    if lesson.meant is None:
        return replace(breaker, probing_for=0.0)
    if lesson.meant.alive:
        return replace(
            breaker, state=ACTIVE, paused_because=None, failures=0, open_for=0.0, probing_for=0.0
        )
    is_open = breaker.state == PAUSED or breaker.failures >= THRESHOLD
    if is_open and not lesson.probe:
        # Was under way already when the breaker opened: says nothing new.
        return breaker
    if lesson.meant is Meaning.REFUSED and breaker.state != PAUSED:
        wait = schedule.refused_delay(0, chance=chance)
        return replace(
            breaker,
            state=PAUSED,
            paused_because=lesson.because,
            failures=1,
            open_for=wait,
            probing_for=0.0,
        )
    failures = breaker.failures + 1
    if breaker.state == PAUSED:
        wait = schedule.refused_delay(breaker.failures, chance=chance)
    else:
        if lesson.meant is Meaning.BUSY:
            failures = max(failures, THRESHOLD)
        opens = failures >= THRESHOLD
        wait = max(open_seconds(failures, chance=chance), lesson.wish) if opens else 0.0
    return replace(breaker, failures=failures, open_for=wait, probing_for=0.0)


def open_seconds(failures: int, *, chance: Callable[[], float] = random.random) -> float:
    """Give how long nothing is sent after so many failures in a row."""
    doubled = FIRST_OPEN * 2.0 ** min(max(failures - THRESHOLD, 0), 16)
    return schedule.jittered(min(doubled, LONGEST_OPEN), chance=chance)


def learn(database: Database, destination: str, lessons: Sequence[Lesson]) -> Gate:
    """Write down what answers taught, for all processes, and tell what may be sent now.

    Raises ``StorageError``.
    """
    for _ in range(_TRIES):
        seen = destinations.breaker(database, destination)
        now = seen
        for lesson in lessons:
            now = after(now, lesson)
        if now == seen or _write(database, seen, now):
            _tell(seen, now)
            break
    # Others who wrote each time have learnt the same meanwhile.
    return gate(now)[0]


def _write(database: Database, seen: Breaker, now: Breaker) -> bool:
    url = seen.destination
    if now.state == PAUSED and seen.state != PAUSED:
        return destinations.pause(database, url, now.paused_because or "", open_for=now.open_for)
    if now.state != PAUSED and seen.state == PAUSED:
        return destinations.resume(database, url, at_once=False)
    return destinations.set_breaker(
        database,
        seen,
        failures=now.failures,
        open_for=now.open_for,
        probing_for=now.probing_for,
    )


def _tell(seen: Breaker, now: Breaker) -> None:
    about = {"destination": shown(now.destination), "failures": now.failures}
    if now.state == PAUSED and seen.state != PAUSED:
        _log.error(
            "destination paused, because %s: it has to be configured rightly, here or there. "
            "Nothing is lost; it is tried again in %.0f s, or now by `tracknow-relay resume`",
            now.paused_because,
            now.open_for,
            extra=about,
        )
    elif seen.state == PAUSED and now.state != PAUSED:
        _log.warning("destination answers rightly again and is resumed", extra=about)
    elif now.state == PAUSED and now != seen:
        _log.error(
            "destination is still paused, because %s; tried again in %.0f s",
            now.paused_because,
            now.open_for,
            extra=about,
        )
    elif now.failures >= THRESHOLD > seen.failures:
        _log.warning("destination is out; tried again in %.0f s", now.open_for, extra=about)
    elif seen.failures >= THRESHOLD > now.failures:
        _log.warning("destination is back", extra=about)
