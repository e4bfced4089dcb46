"""Which messages are due: one when a condition begins, one when it ends, one an hour at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.relay.alerts.parts import condition
from tests.relay.store.parts import START
from tracknow_static.relay.alerts.decide import Known, as_json, due, forget, from_json, receiver
from tracknow_static.relay.alerts.send import BEGIN, END, Message

if TYPE_CHECKING:
    from tracknow_static.relay.operate.conditions import Condition

HOUR = 3600.0


class Receiver:
    """Somebody who gets every message that is due."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}

    def at(self, seconds: float, *present: Condition) -> list[Message]:
        """Return what is due some seconds after the start, and take it."""
        news = due(present, self.known, now=START + seconds, name="Relay")
        self.known |= {one.key: one.known for one in news}
        self.known = forget(from_json(as_json(self.known)), START + seconds)
        return [one.message for one in news]

    def kinds(self, seconds: float, *present: Condition) -> list[str]:
        """Return the kinds only."""
        return [one.kind for one in self.at(seconds, *present)]


def test_one_message_when_it_begins_and_one_when_it_ends() -> None:
    """Between them there is none, however long it lasts."""
    one, to = condition(since=START - 60), Receiver()
    (begin,) = to.at(0, one)
    assert begin == Message(
        BEGIN,
        "Relay: disk-low",
        "Disk-low it is.\nSince 2026-09-21 14:12 UTC.\nThis helps: help",
    )
    assert to.at(30, one) == to.at(5 * HOUR, one) == to.at(500 * HOUR, one) == []
    assert to.at(501 * HOUR) == [Message(END, "Relay: disk-low is over", "Over: disk-low it is.")]
    assert to.at(501 * HOUR + 30) == []


def test_no_more_than_one_message_an_hour() -> None:
    """An end is reported an hour after the beginning, unless it has begun again by then."""
    one, to = condition(), Receiver()
    assert to.kinds(0, one) == [BEGIN]
    assert to.kinds(60) == []
    assert to.kinds(HOUR - 1) == []
    assert to.kinds(HOUR) == [END]
    assert to.kinds(HOUR + 60, one) == []
    assert to.kinds(2 * HOUR, one) == [BEGIN]
    assert to.kinds(2 * HOUR + 60) == []
    assert to.kinds(2 * HOUR + 120, one) == []
    assert to.kinds(4 * HOUR, one) == []


def test_each_condition_counts_for_itself() -> None:
    """Two destinations, or two codes, do not keep each other quiet."""
    first, second = condition("dead-letter", "https://a"), condition("dead-letter", "https://b")
    to = Receiver()
    assert to.kinds(0, first) == [BEGIN]
    assert to.kinds(1, first, second, condition()) == [BEGIN, BEGIN]
    assert to.kinds(HOUR + 1, second) == [END, END]


@pytest.mark.parametrize("code", ["destination-paused", "destination-down"])
def test_a_destination_is_reported_after_a_quarter_of_an_hour(code: str) -> None:
    """Most outages are over by then, and lose nothing."""
    one, to = condition(code, since=START), Receiver()
    assert to.kinds(899, one) == []
    assert to.kinds(900, one) == [BEGIN]
    other = Receiver()
    assert other.kinds(899, one) == []
    assert other.kinds(900) == []


def test_refused_calls_are_reported_after_an_hour_without_an_event() -> None:
    """A stranger may guess a signature; that all calls of an hour are refused has a reason."""
    one, to = condition("calls-refused", "signature_mismatch", since=START), Receiver()
    assert to.kinds(HOUR - 1, one) == []
    assert to.kinds(HOUR, one) == [BEGIN]
    never = condition("calls-refused", "signature_mismatch", since=None)
    assert Receiver().kinds(0, never) == [BEGIN]


def test_a_further_dead_letter_is_reported() -> None:
    """Each is a commission; an old one that nobody cared for hides no new one."""
    to = Receiver()
    assert to.kinds(0, condition("dead-letter", newest=START)) == [BEGIN]
    assert to.kinds(60, condition("dead-letter", newest=START + 50)) == []
    assert to.kinds(HOUR, condition("dead-letter", newest=START + 70)) == [BEGIN]
    assert to.kinds(3 * HOUR, condition("dead-letter", newest=START + 70)) == []
    assert to.kinds(4 * HOUR) == [END]


def test_a_clock_that_was_wrong_silences_nothing() -> None:
    """What was noted for the future is no reason to wait for it."""
    to = Receiver()
    assert to.kinds(1000 * HOUR, condition()) == [BEGIN]
    assert to.kinds(0) == [END]
    ahead = condition("destination-down", since=START + 1000 * HOUR)
    assert to.kinds(1, ahead) == [BEGIN]


def test_nothing_is_kept_of_what_is_long_over() -> None:
    """The state does not grow with the number of destinations that there ever were."""
    to = Receiver()
    to.at(0, condition())
    to.at(2 * HOUR)
    assert to.known
    to.at(3 * HOUR)
    assert not to.known


def test_secrets_and_addresses_are_hidden() -> None:
    """Also in what a destination or Stripe has made of a text, and in what is stored."""
    text = "paused: rk_live_planted1 of someone@example.com"
    (one,) = due([condition(text=text)], {}, now=START, name="Relay")
    assert "planted" not in str(one)
    assert "someone@" not in str(one)
    assert one.message.body.startswith("Paused: [hidden] of [hidden].")
    assert receiver("json://planted") == receiver("json://planted")
    assert "planted" not in receiver("json://planted")
