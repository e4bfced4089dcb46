"""The status page's password: who is let in, and who has to wait."""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest

from tests.relay.status.parts import PASSWORD, authorization
from tracknow_static.relay.status.guard import LONGEST_PAUSE, MOST_CALLERS, Guard, caller_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that a test moves."""
    return Clock()


@pytest.fixture
def guard(clock: Clock) -> Guard:
    """The guard of a page."""
    return Guard(PASSWORD, clock=clock)


WRONG = authorization("wrong")


@pytest.mark.parametrize("user", ["me", "", "a b"])
def test_any_user_with_the_password(guard: Guard, user: str) -> None:
    """The user name does not matter."""
    assert guard.examine(authorization(user=user), "a") is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic YQ",
        "Basic " + "A" * 100_001,
        "Basic \N{SNOWMAN}",
        "Bearer " + base64.b64encode(f"me:{PASSWORD}".encode()).decode(),
        "Basic " + base64.b64encode(PASSWORD.encode()).decode(),
        "Basic " + base64.b64encode(b"me:\xff\xfe").decode(),
        "Basic " + base64.b64encode(f"me:{PASSWORD}".encode("latin-1")).decode(),
        authorization(PASSWORD[:-1]),
        authorization(PASSWORD + "x"),
        authorization(PASSWORD.upper()),
        authorization(""),
    ],
)
def test_anything_else_is_wrong(guard: Guard, header: str) -> None:
    """Whatever a header holds, it is the password or it is not."""
    assert guard.examine(header, "a") == 0


def test_a_guesser_waits_longer_each_time(guard: Guard, clock: Clock) -> None:
    """After five tries a caller waits, up to half a minute; what comes too early is not looked at."""
    assert [guard.examine(WRONG, "a") for _ in range(5)] == [0] * 5
    pauses = []
    for _ in range(8):
        pause = guard.examine(authorization(), "a")
        assert pause, "even the right password has to wait"
        pauses.append(pause)
        clock.now += pause
        assert guard.examine(WRONG, "a") == 0
    assert pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_ten_thousand_tries_lock_out_for_half_a_minute(guard: Guard, clock: Clock) -> None:
    """However much a caller guesses, the right password is accepted soon after its last try."""
    evaluated = 0
    for _ in range(10_000):
        evaluated += guard.examine(WRONG, "a") == 0
        clock.now += 0.01
    assert evaluated < 15
    clock.now += LONGEST_PAUSE
    assert guard.examine(authorization(), "a") is None
    assert guard.examine(WRONG, "a") == 0, "and all tries are forgotten"


def test_a_guesser_locks_nobody_else_out(guard: Guard) -> None:
    """Each caller has a pause of its own."""
    for _ in range(100):
        guard.examine(WRONG, "a")
    assert guard.examine(authorization(), "b") is None


def test_wrong_tries_are_forgotten(guard: Guard, clock: Clock) -> None:
    """A mistyped password counts for a quarter of an hour."""
    for _ in range(4):
        guard.examine(WRONG, "a")
    clock.now += 901
    guard.examine(WRONG, "a")
    assert guard.examine(authorization(), "a") is None


def test_memory_is_bounded(guard: Guard) -> None:
    """Of very many callers the latest are remembered."""
    for number in range(3 * MOST_CALLERS):
        guard.examine(WRONG, str(number))
    assert len(guard._tries) == MOST_CALLERS
    assert str(3 * MOST_CALLERS - 1) in guard._tries


def test_wrong_tries_are_logged_once_a_minute(
    guard: Guard, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The log shows their number and nothing that was sent."""
    with caplog.at_level(logging.WARNING):
        for number in range(100):
            guard.examine(authorization("secret-guess"), str(number))
        clock.now += 61
        guard.examine(WRONG, "x")
    texts = [record.getMessage() for record in caplog.records]
    assert texts == ["1 wrong password for /status", "100 wrong passwords for /status"]


@pytest.mark.parametrize(
    ("environ", "caller"),
    [
        ({"REMOTE_ADDR": "8.8.8.8"}, "8.8.8.8"),
        ({"REMOTE_ADDR": "8.8.8.8", "HTTP_X_FORWARDED_FOR": "9.9.9.9"}, "8.8.8.8"),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "1.1.1.1, 9.9.9.9"}, "9.9.9.9"),
        ({"REMOTE_ADDR": "10.0.0.2", "HTTP_X_FORWARDED_FOR": "no address"}, "10.0.0.2"),
        ({"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": "9.9.9.9"}, "9.9.9.9"),
        ({"REMOTE_ADDR": "2600:1:2:3:4:5:6:7"}, "2600:1:2:3::/64"),
        ({"REMOTE_ADDR": "::ffff:8.8.8.8"}, "8.8.8.8"),
        ({"REMOTE_ADDR": "fe80::1%eth0"}, "fe80::/64"),
        ({}, "None"),
    ],
)
def test_who_calls(environ: dict[str, Any], caller: str) -> None:
    """The peer, or what a proxy nearby adds; an IPv6 network is one caller."""
    assert caller_of(environ) == caller
