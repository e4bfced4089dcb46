"""What a person and what a script see of events and destinations: tables, and plain JSON values.

The keys of the JSON are stable: keys are added, none is renamed or taken away.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracknow_static.relay.deliver.sender import shown
from tracknow_static.relay.operate.metrics import is_out
from tracknow_static.relay.store.model import DEAD, DELIVERED, PAUSED, PENDING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracknow_static.relay.store.model import Delivery, DestinationStatus, Status, StoredEvent

_STYLES = {DELIVERED: "green", DEAD: "red", PENDING: "yellow", PAUSED: "red"}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
# Wide enough for a table whose lines need no wrapping when nobody knows a width.
_WIDTH = 160


def console() -> Console:
    """Give the console for standard output; piped output is not cut to a terminal's width."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_WIDTH)


def time_of(seconds: float | None) -> str | None:
    """Write a time for scripts: ISO 8601, UTC, milliseconds."""
    if seconds is None:
        return None
    text = dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def age(seconds: float | None) -> str:
    """Write a length of time for people."""
    if seconds is None:
        return "-"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
    return f"{seconds // _DAY:.0f} d"


def status_json(status: Status) -> dict[str, Any]:
    """Give the summary for scripts."""
    counters = {name: total for (name, where), total in sorted(status.tallies.items()) if not where}

    def by_reason(prefix: str) -> dict[str, int]:
        return {k.removeprefix(prefix): v for k, v in counters.items() if k.startswith(prefix)}

    return {
        "now": time_of(status.now),
        "schema_version": status.schema_version,
        "newest_event_at": time_of(status.newest_event_at),
        "accepted": counters.get("accepted", 0),
        "duplicate": counters.get("duplicate", 0),
        "kept": by_reason("kept:"),
        "refused": by_reason("refused:"),
        "destinations": [
            {
                "destination": one.destination,
                "state": one.state,
                "paused_because": one.paused_because,
                "paused_at": time_of(one.paused_at),
                "out": is_out(one),
                "pending": one.pending,
                "retrying": one.retrying,
                "in_flight": one.in_flight,
                "dead": one.dead,
                "delivered": one.delivered,
                "oldest_pending_age": one.oldest_pending_age,
            }
            for one in status.destinations
        ],
    }


def status_text(status: Status) -> None:
    """Print the summary for people."""
    data = status_json(status)
    out = console()
    rows = table("destination", "state", "pending", "retrying", "dead", "delivered", "oldest")
    for one in status.destinations:
        rows.add_row(
            clean(shown(one.destination)),
            _state(one),
            str(one.pending),
            str(one.retrying),
            Text(str(one.dead), style="red" if one.dead else ""),
            str(one.delivered),
            age(one.oldest_pending_age),
        )
    out.print(rows)
    for one in status.destinations:
        if one.state == PAUSED:
            because = f": {one.paused_because}" if one.paused_because else ""
            out.print(clean(f"{shown(one.destination)} is paused{because}"), style="red")
    newest = status.newest_event_at
    since = "never" if newest is None else f"{age(max(0.0, status.now - newest))} ago"
    out.print(f"accepted {data['accepted']}, duplicates {data['duplicate']}, last event {since}")
    for word in ("kept", "refused"):
        if data[word]:
            out.print(clean(f"{word}: " + ", ".join(f"{k} {v}" for k, v in data[word].items())))


def needs_a_person(status: Status) -> bool:
    """Tell whether there is a dead letter or a paused destination."""
    return any(one.dead or one.state == PAUSED for one in status.destinations)


def event_json(event: StoredEvent, *, history: bool = False) -> dict[str, Any]:
    """Give an event for scripts, without its payload."""
    return {
        "id": event.id,
        "type": event.type,
        "object_id": event.object_id,
        "reference": event.reference,
        "reference_found": event.reference_found,
        "payment_intent": event.payment_intent,
        "customer": event.customer,
        "livemode": event.livemode,
        "account": event.account,
        "created": time_of(event.created),
        "received_at": time_of(event.received_at),
        "purged_at": time_of(event.purged_at),
        "kept_because": event.kept_because,
        "twin_of": event.twin_of,
        "deliveries": [_delivery_json(one, history=history) for one in event.deliveries],
    }


def _delivery_json(one: Delivery, *, history: bool) -> dict[str, Any]:
    data: dict[str, Any] = {
        "destination": one.destination,
        "state": one.state,
        "due_at": time_of(one.due_at) if one.state == PENDING else None,
        "in_flight": one.state == PENDING and one.claimed_at is not None,
        "attempts": one.attempts,
        "last_status": one.last_status,
        "last_error": one.last_error,
        "settled_at": time_of(one.settled_at),
    }
    if history:
        data["history"] = [
            {"at": time_of(it.at), "status": it.status, "error": it.error, "took_ms": it.took_ms}
            for it in one.history
        ]
    return data


def events_text(events: Sequence[StoredEvent]) -> None:
    """Print events for people, one line each."""
    rows = table("received", "event", "type", "reference", "state")
    for event in events:
        rows.add_row(
            _moment(event.received_at),
            clean(event.id),
            clean(event.type),
            clean(event.reference_found or "-"),
            _states(event),
        )
    console().print(rows)


def event_text(event: StoredEvent) -> None:
    """Print one event with every attempt."""
    out = console()
    rows = Table(show_header=False, box=None, pad_edge=False)
    for name, value in event_json(event).items():
        if name != "deliveries" and value is not None:
            rows.add_row(name.replace("_", " "), clean(str(value)))
    rows.add_row("payload", "purged" if event.payload is None else f"{len(event.payload)} bytes")
    out.print(rows)
    if event.kept_because:
        out.print(f"Not forwarded: {KEPT[event.kept_because]}", style="yellow")
    for one in event.deliveries:
        due = f", due {_moment(one.due_at)}" if one.state == PENDING else ""
        out.print()
        out.print(Text.assemble(clean(shown(one.destination)), "  ", _word(one.state), due))
        for it in one.history:
            result = str(it.status) if it.status is not None else clean(it.error or "?")
            out.print(f"  {_moment(it.at)}  {result}  {it.took_ms} ms", markup=False)


# Why an event is not forwarded, in words.
KEPT = {
    "type": "its type is none of TRACKNOW_RELAY_EVENTS.",
    "mode": "it is of Stripe's other mode than TRACKNOW_RELAY_LIVEMODE says.",
    "account": "it belongs to another Stripe account than yours (TRACKNOW_RELAY_ACCOUNTS).",
    "thin": "it is a thin event, which Tracknow cannot read. In Stripe's Workbench give the "
    "event destination the payload style Snapshot.",
}


def clean(text: str) -> str:
    """Make text from outside harmless to a terminal."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def table(*columns: str) -> Table:
    """Give an empty table with these columns."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = column in ("pending", "retrying", "dead", "delivered")
        made.add_column(column, justify="right" if numeric else "left", overflow="fold")
    return made


def _state(one: DestinationStatus) -> Text:
    if one.state == PAUSED:
        return _word(PAUSED)
    return Text("out", style="red") if is_out(one) else Text("active", style="green")


def _states(event: StoredEvent) -> Text:
    if event.kept_because:
        return Text(f"kept: {event.kept_because}", style="dim")
    words = [
        _word(one.state, "retrying" if one.state == PENDING and one.attempts else one.state)
        for one in event.deliveries
    ]
    return Text(", ").join(words)


def _word(state: str, text: str | None = None) -> Text:
    return Text(text or state, style=_STYLES.get(state, ""))


def _moment(seconds: float) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%d %H:%M:%S}Z"
