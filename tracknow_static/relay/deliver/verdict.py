"""What an answer means, for the event and for its destination.

========================================  ==============================  =====================
The destination answered                  the event                       the destination
========================================  ==============================  =====================
2xx                                       is delivered                    is up
2xx with JSON whose ``success`` is false  is rejected: not tried again    is up
400, 413, 422                             is a dead letter                is up
401, 403, 404, 405, 407, 410, 451, 3xx,   waits, not counted              is paused: someone
or its address is not public                                              has to configure it
429; 503 with Retry-After                 waits, not counted              is left alone as asked
408, 425, other 5xx, no answer in time    is tried again by the schedule  may be down
any other 4xx                             is tried again by the schedule  is up
nothing: the event cannot be read or sent is a dead letter                unknown
========================================  ==============================  =====================

After the last step of the schedule the event is a dead letter. Not counted means that the schedule
does not advance; after ``schedule.LONGEST_WAIT`` of that the event is a dead letter all the same.
Dead letters are kept and can be replayed.
"""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracknow_static.relay.deliver import answers, schedule
from tracknow_static.relay.store.model import DeliveryResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.relay.store.model import Claimed

_DEAD = frozenset({400, 413, 422})
_MISCONFIGURED = frozenset({401, 403, 404, 405, 407, 410, 451})
_TRANSIENT = frozenset({408, 425, 429})
_TOO_MANY, _UNAVAILABLE = 429, 503

# The shortest wait of an event whose destination is left alone: the breaker decides whether
# anything is sent then.
_LEAST_WAIT = 1.0


class Meaning(enum.Enum):
    """What an answer means, by the table above."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    DEAD = "dead"
    MISCONFIGURED = "misconfigured"
    BUSY = "busy"
    FAILED = "failed"
    CLIENT_ERROR = "client error"
    UNSENT = "unsent"
    ERROR = "error"

    @property
    def is_up(self) -> bool:
        """Whether the destination is up, and its answer is about this event alone."""
        return self in (
            Meaning.DELIVERED,
            Meaning.REJECTED,
            Meaning.DEAD,
            Meaning.CLIENT_ERROR,
        )

    @property
    def is_answer(self) -> bool:
        """Whether it shows anything about the destination."""
        return self not in (Meaning.UNSENT, Meaning.ERROR)


# What the errors of an attempt without an answer mean, if not a failure of the destination.
_WITHOUT_STATUS: dict[str | None, Meaning] = {
    "address_refused": Meaning.MISCONFIGURED,
    "unsendable": Meaning.UNSENT,
    "internal": Meaning.ERROR,
}


@dataclass(frozen=True)
class Response:
    """What one attempt brought: an HTTP status with two of its headers, or the code of an error.

    ``body`` is what was read of the answer's. ``detail`` is for the log; nothing of it comes from
    the destination or from the event.
    """

    status: int | None = None
    error: str | None = None
    detail: str = ""
    retry_after: str | None = None
    date: str | None = None
    took_ms: int = 0
    body: bytes = b""


@dataclass(frozen=True)
class Verdict:
    """An answer, judged once; ``retry_after`` is in seconds from now, 0 when it asks for no wait.

    ``status`` and ``error`` are the answer's, ``answer`` is the piece of its body that is kept;
    ``detail`` is for the log.
    """

    meaning: Meaning
    status: int | None = None
    error: str | None = None
    detail: str = ""
    retry_after: float = 0.0
    took_ms: int = 0
    answer: str | None = None

    @property
    def reason(self) -> str:
        """What came back, for a person."""
        return f"it answered {self.status}" if self.status else self.detail


def judge(response: Response, *, now: float) -> Verdict:
    """Return what an answer means; ``now`` is Unix time."""
    asked = schedule.retry_after(response.retry_after, date=response.date, now=now)
    return Verdict(
        meaning=_meaning(response, asks_to_wait=asked is not None),
        status=response.status,
        error=response.error,
        detail=response.detail,
        retry_after=asked or 0.0,
        took_ms=response.took_ms,
        answer=answers.excerpt(response.body),
    )


# Tried again by the event's own schedule, also while the destination is down.
_ABOUT_THE_EVENT = frozenset({Meaning.CLIENT_ERROR, Meaning.ERROR})


def _meaning(response: Response, *, asks_to_wait: bool) -> Meaning:
    status = response.status
    if status is None:
        return _WITHOUT_STATUS.get(response.error, Meaning.FAILED)
    if 200 <= status < 300:
        return Meaning.REJECTED if answers.is_rejection(response.body) else Meaning.DELIVERED
    if status in _DEAD:
        return Meaning.DEAD
    if status in _MISCONFIGURED or 300 <= status < 400:
        return Meaning.MISCONFIGURED
    if status == _TOO_MANY or (status == _UNAVAILABLE and asks_to_wait):
        return Meaning.BUSY
    if status in _TRANSIENT or not 400 <= status < 500:
        return Meaning.FAILED
    return Meaning.CLIENT_ERROR


def result(
    claimed: Claimed,
    verdict: Verdict,
    *,
    probe: bool,
    now: float,
    chance: Callable[[], float] = random.random,
) -> DeliveryResult:
    """Return what becomes of a delivery after an answer.

    ``probe``: the attempt was made to see whether a destination that is down, or paused, works
    again. A probe that fails is not counted against its event.
    """
    meaning = verdict.meaning
    if meaning is Meaning.DELIVERED:
        return _result(claimed, verdict, "delivered", None)
    if meaning is Meaning.REJECTED:
        return _result(claimed, verdict, "rejected", "success_false")
    if meaning is Meaning.DEAD:
        return _result(claimed, verdict, "dead", "rejected")
    if meaning is Meaning.UNSENT:
        return _result(claimed, verdict, "dead", verdict.error)
    if meaning in _ABOUT_THE_EVENT or (meaning is Meaning.FAILED and not probe):
        step = schedule.delay(claimed.attempts, chance=chance)
        if step is None:
            return _result(claimed, verdict, "dead", verdict.error or "gave_up")
        delay = max(step, verdict.retry_after)
        return _result(claimed, verdict, "retry", verdict.error, delay=delay)
    if schedule.too_old(now - claimed.accepted_at):
        return _result(claimed, verdict, "dead", verdict.error or "too_old")
    if meaning is Meaning.MISCONFIGURED:
        # An event that alone gets such answers, while others are accepted, soon pauses its
        # destination once an hour at most.
        delay = schedule.misconfigured_delay(claimed.tries, chance=chance)
    else:
        # Behind the events that were not tried yet: the next probe is another one.
        least = (
            schedule.probed_delay(claimed.tries, chance=chance)
            if probe
            else schedule.jittered(_LEAST_WAIT, chance=chance)
        )
        delay = max(least, verdict.retry_after)
    return _result(claimed, verdict, "retry", verdict.error, delay=delay, counted=False)


def _result(
    claimed: Claimed, verdict: Verdict, kind: str, error: str | None, **of_retry: Any
) -> DeliveryResult:
    return DeliveryResult(
        claimed,
        kind,
        status=verdict.status,
        error=error,
        took_ms=verdict.took_ms,
        answer=verdict.answer,
        **of_retry,
    )
