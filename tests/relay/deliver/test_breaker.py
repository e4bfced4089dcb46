"""When a breaker opens, closes and lets a probe through."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknow_static.relay.deliver import breaker, schedule
from tracknow_static.relay.deliver.breaker import THRESHOLD, BreakerInput, Gate
from tracknow_static.relay.deliver.verdict import Meaning, Response, Verdict, judge
from tracknow_static.relay.store.model import ACTIVE, PAUSED, Breaker

CLOSED = Breaker("https://a.example/", ACTIVE, None, 0, 0.0, 0.0, 1)
OPEN = replace(CLOSED, failures=THRESHOLD, open_for=2.0)


def after(
    state: Breaker, *meanings: Meaning, probe: bool = False, retry_after: float = 0.0
) -> Breaker:
    """Return what some answers, one after another, make of a breaker."""
    for meaning in meanings:
        verdict = Verdict(meaning, detail="because of this", retry_after=retry_after)
        state = breaker.after(state, BreakerInput(verdict, probe), chance=lambda: 0.0)
    return state


def test_some_failures_in_a_row_open_it() -> None:
    """One failure fewer leaves it closed."""
    nearly = after(CLOSED, *[Meaning.FAILED] * (THRESHOLD - 1))
    assert breaker.gate(nearly) == (Gate.CLOSED, 0.0)
    assert breaker.gate(after(nearly, Meaning.FAILED)) == (Gate.OPEN, schedule.FIRST_OPEN)


@pytest.mark.parametrize("meaning", [Meaning.DELIVERED, Meaning.DEAD, Meaning.CLIENT_ERROR])
def test_any_word_about_an_event_closes_it(meaning: Meaning) -> None:
    """A destination that judges events is up: failures are counted from zero again."""
    assert after(OPEN, meaning, probe=True) == CLOSED
    assert after(OPEN, meaning) == CLOSED
    assert after(replace(CLOSED, failures=3), meaning) == CLOSED


def test_stragglers_do_not_lengthen_an_outage() -> None:
    """What was under way when it opened, and fails after, changes nothing."""
    assert after(OPEN, *[Meaning.FAILED] * 50) == OPEN


def test_a_failed_probe_doubles_the_wait_up_to_five_minutes() -> None:
    """The longest wait bounds how late a recovery is noticed."""
    state, waits = OPEN, []
    for _ in range(10):
        state = after(replace(state, open_for=0.0), Meaning.FAILED, probe=True)
        waits.append(state.open_for)
    assert waits == [4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_a_busy_destination_is_left_alone_at_once() -> None:
    """One 429 opens it, for as long as it asks."""
    assert breaker.gate(after(CLOSED, Meaning.BUSY, retry_after=90.0)) == (Gate.OPEN, 90.0)
    assert breaker.gate(after(CLOSED, Meaning.BUSY)) == (Gate.OPEN, schedule.FIRST_OPEN)


def test_a_refusal_pauses() -> None:
    """A wrong configuration is kept apart from an outage, and probed after a minute."""
    state = after(CLOSED, Meaning.MISCONFIGURED)
    assert (state.state, state.paused_because) == (PAUSED, "because of this")
    assert breaker.gate(state) == (Gate.OPEN, 60.0)
    assert after(OPEN, Meaning.MISCONFIGURED, probe=True).state == PAUSED


def test_a_paused_destination_is_probed_up_to_once_an_hour() -> None:
    """Whatever a probe meets, short of an answer about the event, it stays paused."""
    state, waits = after(CLOSED, Meaning.MISCONFIGURED), []
    for meaning in (Meaning.MISCONFIGURED, Meaning.FAILED, Meaning.BUSY, Meaning.MISCONFIGURED):
        state = after(replace(state, open_for=0.0), meaning, probe=True, retry_after=9999.0)
        assert state.state == PAUSED
        waits.append(state.open_for)
    assert waits == [300, 900, 3600, 3600]


def test_an_answered_probe_resumes() -> None:
    """A destination that was fixed resumes by itself."""
    state = after(after(CLOSED, Meaning.MISCONFIGURED), Meaning.DELIVERED, probe=True)
    assert state == CLOSED


def test_after_the_wait_one_event_may_go() -> None:
    """When its time is over an open breaker, or a pause, wants a probe; while one is out, none."""
    waited = replace(OPEN, open_for=0.0)
    assert breaker.gate(waited) == (Gate.PROBE, 0.0)
    assert breaker.gate(replace(waited, probing_for=9.0)) == (Gate.OPEN, 9.0)
    assert breaker.gate(replace(CLOSED, state=PAUSED)) == (Gate.PROBE, 0.0)


def test_a_probe_that_was_not_sent_frees_the_place() -> None:
    """Another process may probe when this one was stopped before."""
    probing = replace(OPEN, open_for=0.0, probing_for=30.0)
    freed = breaker.after(probing, BreakerInput(None, probe=True))
    assert breaker.gate(freed) == (Gate.PROBE, 0.0)


def test_a_wait_without_end_is_a_wrong_clock() -> None:
    """What was written under a clock that ran ahead holds nobody up."""
    assert breaker.gate(replace(OPEN, open_for=9e8)) == (Gate.PROBE, 0.0)
    assert breaker.gate(replace(OPEN, open_for=0.0, probing_for=9e8)) == (Gate.PROBE, 0.0)


@given(st.lists(st.tuples(st.sampled_from(Meaning), st.booleans(), st.floats(0, 21600))))
def test_no_history_leaves_a_destination_alone_for_long(
    history: list[tuple[Meaning, bool, float]],
) -> None:
    """Whatever happens, the next look comes within the longest wish, and success closes."""
    state = CLOSED
    for meaning, probe, retry_after in history:
        seen = BreakerInput(Verdict(meaning, retry_after=retry_after), probe)
        state = breaker.after(state, seen)
        assert 0 <= breaker.gate(state)[1] <= 21600
    assert after(state, Meaning.DELIVERED) == CLOSED


def test_a_pause_names_its_reason() -> None:
    """An operator reads the status, or why the address was refused."""
    assert judge(Response(404), now=0.0).reason == "it answered 404"
    refused = Response(error="address_refused", detail="a.example leads to 10.0.0.1")
    assert judge(refused, now=0.0).reason == "a.example leads to 10.0.0.1"
