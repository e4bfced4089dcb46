"""When a delivery is tried again."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknow_static.relay.deliver import schedule

DAY = 24 * 3600
NOW = 1_800_000_000.0


def http_date(moment: float) -> str:
    """Write a moment as HTTP does."""
    return format_datetime(datetime.fromtimestamp(moment, UTC), usegmt=True)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_the_schedule_lasts_three_days_whatever_the_jitter(chance: float) -> None:
    """The last attempt comes three days after the first or later, and within four."""
    waits = [schedule.delay(number, chance=lambda: chance) for number in range(len(schedule.STEPS))]
    assert 3 * DAY <= sum(wait or 0 for wait in waits) <= 4 * DAY


def test_the_schedule_starts_within_seconds_and_never_hurries() -> None:
    """Each step is at least as long as the one before it."""
    assert schedule.STEPS[0] <= 2
    assert list(schedule.STEPS) == sorted(schedule.STEPS)


def test_the_schedule_ends() -> None:
    """After its last step there is no further attempt."""
    assert schedule.delay(len(schedule.STEPS) - 1) is not None
    assert schedule.delay(len(schedule.STEPS)) is None


@given(st.integers(0, len(schedule.STEPS) - 1), st.floats(0, 1))
def test_jitter_only_lengthens(attempts: int, chance: float) -> None:
    """A step is never shortened, and lengthened by a fifth at most."""
    step = schedule.STEPS[attempts]
    wait = schedule.delay(attempts, chance=lambda: chance)
    assert wait is not None
    assert step <= wait <= step * 1.2 + 1e-6


def test_events_that_fail_together_come_back_apart() -> None:
    """The jitter is random, not a constant."""
    assert len({schedule.delay(5) for _ in range(50)}) > 40


@pytest.mark.parametrize(
    ("value", "date", "expected"),
    [
        ("120", None, 120.0),
        (" 7 ", None, 7.0),
        ("0", None, 0.0),
        ("-5", None, None),
        ("1.5", None, None),
        ("١٢", None, None),
        ("soon", None, None),
        ("", None, None),
        (None, None, None),
        ("9" * 400, None, 6 * 3600.0),
        (str(10**11), None, 6 * 3600.0),
        (http_date(NOW + 90), None, 90.0),
        (http_date(NOW - 90), None, 0.0),
        (http_date(NOW + 400 * DAY), None, 6 * 3600.0),
        # The destination's clock is a day ahead: what it means is still 60 seconds.
        (http_date(NOW + DAY + 60), http_date(NOW + DAY), 60.0),
        (http_date(NOW + 60), "yesterday", 60.0),
        # The two obsolete forms of RFC 9110, 5.6.7.
        ("Friday, 15-Jan-27 08:01:00 GMT", None, 60.0),
        ("Fri Jan 15 08:01:00 2027", None, 60.0),
        ("Fri, 99 Foo 9999999 99:99:99 GMT", None, None),
    ],
)
def test_retry_after(value: str | None, date: str | None, expected: float | None) -> None:
    """Seconds and dates are read, measured from the answer's own clock, and cut at six hours."""
    assert schedule.retry_after(value, date=date, now=NOW) == expected


_hostile = st.one_of(
    st.text(max_size=60),
    st.integers().map(str),
    st.binary(max_size=60).map(lambda data: data.decode("latin-1")),
    st.from_regex(
        r"[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,9} [0-9:+-]{1,12} ?[A-Z+0-9-]*"
    ),
)


@given(st.none() | _hostile, st.none() | _hostile, st.floats(0, 4e9))
def test_a_hostile_retry_after_stays_within_its_bounds(
    value: str | None, date: str | None, now: float
) -> None:
    """Whatever a destination sends, the wait is nothing or from 0 to six hours."""
    wait = schedule.retry_after(value, date=date, now=now)
    assert wait is None or 0 <= wait <= schedule.LONGEST_RETRY_AFTER


def test_refusals_are_tried_again_ever_more_slowly_up_to_an_hour() -> None:
    """A wrong configuration is looked at after 1, 5, 15 and then every 60 minutes."""
    waits = [schedule.misconfigured_delay(number, chance=lambda: 0.0) for number in range(6)]
    assert waits == [60, 300, 900, 3600, 3600, 3600]
