"""Which messages are due: a pure function of the conditions and of what each receiver knows.

A receiver is one Apprise URL. What it last got about a condition is stored, and a message is due
when that is no longer true. So it does not matter which process decides, how often, or how long a
receiver was out of reach: what began and ended meanwhile is no news any more.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tracknow_static.relay import logs
from tracknow_static.relay.alerts.send import BEGIN, END, Message
from tracknow_static.relay.operate.output import sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tracknow_static.relay.operate.conditions import Condition

# At most one message in this time for each condition and receiver.
QUIET_SECONDS = 3600.0
# How long a condition lasts before it is worth a message, where that is not at once.
_LASTS_SECONDS = {
    "destination-paused": 900.0,
    "destination-down": 900.0,
    "former-destination": 3600.0,
    "calls-refused": 3600.0,
}


@dataclass(frozen=True)
class Known:
    """What a receiver knows of one condition: since ``at`` (Unix seconds) whether it is true.

    ``newest`` is the latest case that it knows of.
    """

    at: float
    true: bool
    text: str
    newest: float | None = None


class News(NamedTuple):
    """A message that is due, and what its receiver knows of the condition ``key`` then."""

    key: str
    message: Message
    known: Known


def due(
    conditions: Iterable[Condition], known: Mapping[str, Known], *, now: float, name: str
) -> list[News]:
    """Return the messages that are due to a receiver; ``name`` names the relay in them."""
    present: dict[str, Condition] = {}
    for condition in conditions:
        present.setdefault(_key(condition), condition)
    ended = (
        _end(key, reported, now, name)
        for key, reported in known.items()
        if reported.true and key not in present
    )
    begun = (
        _begin(key, condition, now, name)
        for key, condition in present.items()
        if _lasts(condition, now) and _is_news(condition, known.get(key))
    )
    return [
        news
        for news in (*ended, *begun)
        if news.key not in known or _is_quiet_over(known[news.key].at, now)
    ]


def receiver(url: str) -> str:
    """Return the name under which a receiver is stored: its URL is a secret."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def forget(known: Mapping[str, Known], now: float) -> dict[str, Known]:
    """Return what is still needed: what is over for long changes no decision."""
    return {
        key: reported
        for key, reported in known.items()
        if reported.true or not _is_quiet_over(reported.at, now)
    }


def as_json(known: Mapping[str, Known]) -> dict[str, Any]:
    """Return what a receiver knows as JSON has it."""
    return {key: asdict(reported) for key, reported in known.items()}


def from_json(known: Mapping[str, Mapping[str, Any]]) -> dict[str, Known]:
    """Return what :func:`as_json` wrote."""
    return {key: Known(**reported) for key, reported in known.items()}


def _key(condition: Condition) -> str:
    return f"{condition.code} {condition.about}".strip()


def _is_news(condition: Condition, known: Known | None) -> bool:
    """Whether a receiver does not know of it, or of its latest case."""
    if known is None or not known.true:
        return True
    return condition.newest is not None and condition.newest > (known.newest or 0.0)


def _lasts(condition: Condition, now: float) -> bool:
    # A beginning that is unknown, or in the future because a clock was wrong, is long ago.
    since = condition.since
    return since is None or since > now or now - since >= _LASTS_SECONDS.get(condition.code, 0.0)


def _is_quiet_over(at: float, now: float) -> bool:
    # What lies in the future was written under a clock that was wrong.
    return now - at >= QUIET_SECONDS or at > now


def _begin(key: str, condition: Condition, now: float, name: str) -> News:
    lines = [sentence(condition.text)]
    if condition.since is not None:
        at = dt.datetime.fromtimestamp(condition.since, dt.UTC)
        lines.append(f"Since {at:%Y-%m-%d %H:%M} UTC.")
    lines.append(f"This helps: {condition.command}")
    text = logs.hide(condition.text)
    known = Known(at=now, true=True, text=text, newest=condition.newest)
    body = logs.hide("\n".join(lines))
    return News(key, Message(BEGIN, f"{name}: {condition.code}", body), known)


def _end(key: str, reported: Known, now: float, name: str) -> News:
    code = key.partition(" ")[0]
    known = Known(at=now, true=False, text=reported.text, newest=reported.newest)
    return News(key, Message(END, f"{name}: {code} is over", f"Over: {reported.text}."), known)
