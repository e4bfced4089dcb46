"""When a delivery is tried again.

A failed attempt waits for the next step of ``STEPS``, lengthened by up to a fifth at random so
that events which failed together do not return together. The jitter never shortens a step, so
the last attempt comes three days after the first one or later: as long as Stripe itself would try.
Only attempts made while the destination was up are counted (see ``breaker``).
"""

from __future__ import annotations

import random
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR

# Seconds after the first, second, … failed attempt. Short at first, because most failures are
# restarts that are over in seconds; 73 hours in all.
STEPS: tuple[int, ...] = (
    1,
    5,
    20,
    1 * _MINUTE,
    5 * _MINUTE,
    15 * _MINUTE,
    30 * _MINUTE,
    1 * _HOUR,
    2 * _HOUR,
    4 * _HOUR,
    6 * _HOUR,
    8 * _HOUR,
    12 * _HOUR,
    12 * _HOUR,
    14 * _HOUR,
    14 * _HOUR,
)
JITTER = 0.2

# Waits after an answer which means that the destination is configured wrongly: an operator fixes
# it in minutes or tomorrow, and in between one probe an hour bothers nobody.
MISCONFIGURED_STEPS: tuple[int, ...] = (1 * _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 1 * _HOUR)

# A destination that asks for more is not obeyed: an absurd value must not park a commission.
LONGEST_RETRY_AFTER = 6 * _HOUR
# An HTTP date has 29 characters, its obsolete forms have up to 33.
_LONGEST_DATE = 64

# Seconds for which nothing is sent to a destination that is down: doubled with each failure.
FIRST_OPEN = 2.0
LONGEST_OPEN = 300.0

# An event that never got a verdict, because its destination was down or misconfigured all the
# time, becomes a dead letter then: Stripe can list an event for as long.
LONGEST_WAIT = 30 * _DAY
# No event is as old as that: the clock is wrong.
_ABSURD_AGE = 400 * _DAY

_SECONDS = re.compile(r"[0-9]+")


def delay(attempts: int, *, chance: Callable[[], float] = random.random) -> float | None:
    """Return the seconds to wait when the attempt after ``attempts`` counted ones has failed.

    None: the schedule has ended. ``chance`` returns numbers from 0 to 1, as ``random.random`` does.
    """
    if attempts >= len(STEPS):
        return None
    return jittered(STEPS[attempts], chance=chance)


def misconfigured_delay(earlier: int, *, chance: Callable[[], float] = random.random) -> float:
    """Return the seconds to wait after such an answer when there were ``earlier`` ones before it."""
    step = MISCONFIGURED_STEPS[min(earlier, len(MISCONFIGURED_STEPS) - 1)]
    return jittered(step, chance=chance)


def open_seconds(failures: int, *, chance: Callable[[], float] = random.random) -> float:
    """Return for how long nothing is sent after ``failures`` beyond those that open a breaker."""
    doubled = FIRST_OPEN * 2.0 ** min(max(failures, 0), 16)
    return jittered(min(doubled, LONGEST_OPEN), chance=chance)


def probed_delay(tries: int, *, chance: Callable[[], float] = random.random) -> float:
    """Return the seconds to wait of an event whose probe failed after ``tries`` attempts.

    Behind what the breaker waits: an event that came since is due before it, and is probed next.
    """
    return (1 + JITTER) * open_seconds(tries, chance=chance)


def too_old(age: float) -> bool:
    """Whether an event that never got a verdict has waited long enough (in seconds)."""
    return LONGEST_WAIT < age < _ABSURD_AGE


def jittered(seconds: float, *, chance: Callable[[], float] = random.random) -> float:
    """Return a wait lengthened at random by up to the share ``JITTER``."""
    return seconds * (1 + JITTER * chance())


def retry_after(value: str | None, *, date: str | None, now: float) -> float | None:
    """Read a ``Retry-After`` header (RFC 9110, 10.2.3): seconds or a date, as seconds from now.

    ``date`` is the answer's ``Date`` header: measured from it, a clock that is wrong on either
    side does no harm; ``now`` (Unix seconds) replaces a missing one. The result lies between 0 and
    ``LONGEST_RETRY_AFTER``; None when the header is absent or not readable.
    """
    value = (value or "").strip()
    if _SECONDS.fullmatch(value):
        # A number with more digits than the longest wait is not worth converting.
        return float(min(int(value) if len(value) <= 12 else _DAY, LONGEST_RETRY_AFTER))
    until = _unix_time(value)
    if until is None:
        return None
    base = _unix_time(date)
    return min(max(until - (now if base is None else base), 0.0), float(LONGEST_RETRY_AFTER))


def _unix_time(text: str | None) -> float | None:
    if not text or len(text) > _LONGEST_DATE:
        return None
    try:
        moment: datetime = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
