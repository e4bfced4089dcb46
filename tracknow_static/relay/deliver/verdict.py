"""What an answer means, for the event and for its destination.

========================================  ==============================  =====================
The destination answered                  the event                       the destination
========================================  ==============================  =====================
2xx                                       is delivered                    is up
400, 413, 422                             is a dead letter                is up
401, 403, 404, 405, 407, 410, 451, 3xx,   waits, not counted              is paused: somebody
or its address is not public                                              has to configure it
429; 503 with Retry-After                 waits, not counted              is left alone so long
408, 425, other 5xx, no answer in time    is tried again by the schedule  may be out
any other 4xx                             is tried again by the schedule  is up
========================================  ==============================  =====================

The last step of the schedule is followed by the dead letters. Not counted means that the schedule
does not advance; after ``schedule.LONGEST_WAIT`` of that the event is a dead letter all the same.
Dead letters are kept and can be replayed.
"""

from __future__ import annotations

import enum
import random
from typing import TYPE_CHECKING

from tracknow_static.relay.deliver import schedule
from tracknow_static.relay.store.model import DeliveryResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.relay.deliver.sender import Answer
    from tracknow_static.relay.store.model import Claimed

_DEAD = frozenset({400, 413, 422})
_REFUSED = frozenset({401, 403, 404, 405, 407, 410, 451})
_TRANSIENT = frozenset({408, 425, 429})
_TOO_MANY, _UNAVAILABLE = 429, 503

# How often at least an event comes up again whose destination is left alone: whether anything is
# sent then, the breaker decides.
_LEAST_WAIT = 1.0


class Meaning(enum.Enum):
    """What an answer means, by the table above."""

    DELIVERED = "delivered"
    DEAD = "dead"
    REFUSED = "refused"
    BUSY = "busy"
    FAILED = "failed"
    UNLIKED = "unliked"

    @property
    def alive(self) -> bool:
        """Whether the destination is up, and spoke about this event alone."""
        return self in (Meaning.DELIVERED, Meaning.DEAD, Meaning.UNLIKED)


def meaning(answer: Answer) -> Meaning:
    """Tell what an answer means."""
    status = answer.status
    if status is None:
        return Meaning.REFUSED if answer.error == "address_refused" else Meaning.FAILED
    if 200 <= status < 300:
        return Meaning.DELIVERED
    if status in _DEAD:
        return Meaning.DEAD
    if status in _REFUSED or 300 <= status < 400:
        return Meaning.REFUSED
    if status == _TOO_MANY or (status == _UNAVAILABLE and answer.retry_after is not None):
        return Meaning.BUSY
    if status in _TRANSIENT or not 400 <= status < 500:
        return Meaning.FAILED
    return Meaning.UNLIKED


def wish(answer: Answer, now: float) -> float:
    """Give the seconds for which the destination asks to be left alone; ``now`` is Unix time."""
    return schedule.retry_after(answer.retry_after, date=answer.date, now=now) or 0.0


def outcome(
    claimed: Claimed,
    answer: Answer,
    *,
    probe: bool,
    now: float,
    chance: Callable[[], float] = random.random,
) -> DeliveryResult:
    """Tell what becomes of a delivery after an answer.

    ``probe`` says that the attempt was made to see whether a destination that is out, or paused,
    works again: its failure is the destination's, not the event's.
    """
    meant = meaning(answer)
    status, error, took = answer.status, answer.error, answer.took_ms
    if meant is Meaning.DELIVERED:
        return DeliveryResult(claimed, "delivered", status, took_ms=took)
    if meant is Meaning.DEAD:
        return DeliveryResult(claimed, "dead", status, "rejected", took_ms=took)
    if meant is Meaning.UNLIKED or (meant is Meaning.FAILED and not probe):
        step = schedule.delay(claimed.attempts, chance=chance)
        if step is None:
            return DeliveryResult(claimed, "dead", status, error or "gave_up", took_ms=took)
        delay = max(step, wish(answer, now))
        return DeliveryResult(claimed, "retry", status, error, delay, counted=True, took_ms=took)
    if schedule.too_old(now - claimed.accepted_at):
        return DeliveryResult(claimed, "dead", status, error or "too_old", took_ms=took)
    if meant is Meaning.REFUSED:
        # An event that alone is refused, while others are
        # accepted, soon pauses its destination once an hour at most.
        delay = schedule.refused_delay(claimed.tries, chance=chance)
    else:
        # Behind the events that were not tried yet: another one is the next probe.
        delay = max(schedule.jittered(_LEAST_WAIT, chance=chance), wish(answer, now))
    return DeliveryResult(claimed, "retry", status, error, delay, counted=False, took_ms=took)
