"""What an answer means for the event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.relay.deliver.parts import NOON, claimed
from tracknow_static.relay.deliver import schedule
from tracknow_static.relay.deliver.verdict import Meaning, Response, judge, result

if TYPE_CHECKING:
    from tracknow_static.relay.store.model import DeliveryResult

DAY = 24 * 3600


def meaning(response: Response) -> Meaning:
    """Return what an answer means."""
    return judge(response, now=NOON).meaning


def settled(
    response: Response, *, attempts: int = 0, tries: int = 0, probe: bool = False, age: float = 0.0
) -> DeliveryResult:
    """Return what becomes of an event, ``age`` seconds after it was stored."""
    event = claimed(attempts=attempts, tries=tries)
    now = NOON + age
    verdict = judge(response, now=now)
    return result(event, verdict, probe=probe, now=now, chance=lambda: 0.0)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([200, 201, 202, 204, 206, 299], Meaning.DELIVERED),
        ([400, 413, 422], Meaning.DEAD),
        ([401, 403, 404, 405, 407, 410, 451], Meaning.MISCONFIGURED),
        ([300, 301, 302, 303, 304, 307, 308], Meaning.MISCONFIGURED),
        ([429], Meaning.BUSY),
        ([101, 408, 425, 500, 501, 502, 503, 504, 520, 599, 600, 999], Meaning.FAILED),
        ([402, 406, 409, 411, 415, 418, 421, 423, 424, 426, 428, 431, 499], Meaning.CLIENT_ERROR),
    ],
)
def test_every_status_has_one_meaning(statuses: list[int], expected: Meaning) -> None:
    """The table at the head of `verdict` holds for each status."""
    assert {meaning(Response(status)) for status in statuses} == {expected}


@pytest.mark.parametrize(
    "error",
    ["dns", "dns_timeout", "connect", "connect_timeout", "tls", "timeout", "reset", "protocol"],
)
def test_no_answer_is_a_failure(error: str) -> None:
    """A network error is tried again by the schedule."""
    got = settled(Response(error=error))
    assert (got.kind, got.error, got.delay, got.counted) == ("retry", error, 1.0, True)


def test_an_address_that_is_not_public_is_a_misconfiguration() -> None:
    """Someone has to fix the destination's name; no attempt is counted."""
    assert meaning(Response(error="address_refused")) is Meaning.MISCONFIGURED
    assert not settled(Response(error="address_refused")).counted


def test_the_schedule_is_walked_by_counted_attempts() -> None:
    """Each counted failure takes the next step; the last one is followed by the dead letters."""
    waits = [settled(Response(500), attempts=number, tries=9).delay for number in range(16)]
    assert waits == list(schedule.STEPS)
    last = settled(Response(500), attempts=len(schedule.STEPS))
    assert (last.kind, last.status, last.error) == ("dead", 500, "gave_up")


def test_retry_after_lengthens_a_step_and_never_shortens_it() -> None:
    """Retry-After is obeyed when it asks for more than the schedule."""
    assert settled(Response(408, retry_after="90")).delay == 90
    assert settled(Response(500, retry_after="0"), attempts=6).delay == schedule.STEPS[6]
    assert settled(Response(500, retry_after="9" * 30)).delay == schedule.LONGEST_RETRY_AFTER


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_destination_is_not_counted_against_its_event(status: int) -> None:
    """The event waits as long as it was asked to, and is not counted."""
    got = settled(Response(status, retry_after="120"), attempts=16)
    assert (got.kind, got.delay, got.counted) == ("retry", 120.0, False)


def test_a_failed_probe_is_not_counted() -> None:
    """A probe looks at the destination: its failure leaves the event's schedule alone."""
    got = settled(Response(500), attempts=len(schedule.STEPS), probe=True)
    assert (got.kind, got.counted) == ("retry", False)


def test_a_probe_that_is_answered_about_the_event_counts() -> None:
    """An acceptance, a rejection and an unknown 4xx mean the same for a probe."""
    assert settled(Response(200), probe=True).kind == "delivered"
    assert settled(Response(422), probe=True).kind == "dead"
    assert settled(Response(409), probe=True).counted


def test_what_never_got_a_verdict_ends_after_thirty_days() -> None:
    """An event that waited for its destination for a month is a dead letter, which can be replayed."""
    for response in (Response(404), Response(429), Response(error="address_refused")):
        kinds = [settled(response, probe=True, age=days * DAY).kind for days in (5, 29, 31, 3650)]
        # Ten years: no event waits as long, the clock is wrong.
        assert kinds == ["retry", "retry", "dead", "retry"]


def test_a_misconfiguration_is_tried_ever_more_slowly() -> None:
    """An event that alone gets such answers pauses its destination once an hour at most."""
    waits = [settled(Response(403), tries=number).delay for number in range(5)]
    assert waits == [60, 300, 900, 3600, 3600]
