"""What people and scripts see of events and destinations: tables, and plain JSON values.

The keys of the JSON are stable: keys are added, none is renamed or removed.
"""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import io
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from tracknow_static.relay.store.model import (
    API,
    DEAD,
    DELIVERED,
    PAUSED,
    PENDING,
    REJECTED,
    without_query,
)
from tracknow_static.tracknow import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tracknow_static.relay.operate.conditions import Condition
    from tracknow_static.relay.store.model import Delivery, DestinationStatus, Status, StoredEvent

_COLORS = {DELIVERED: "green", DEAD: "red", REJECTED: "red", PENDING: "yellow", PAUSED: "red"}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

# Why an event is not forwarded, in words.
KEPT = {
    "type": "its type is not one of TRACKNOW_RELAY_EVENTS.",
    "mode": "TRACKNOW_RELAY_LIVEMODE does not forward events of its mode (live or test).",
    "account": "it belongs to another Stripe account than yours (TRACKNOW_RELAY_ACCOUNTS).",
    "waiting": "it waits for its Checkout Session (TRACKNOW_RELAY_FORWARD=attributed).",
    "unattributed": "its sale carries no click id (TRACKNOW_RELAY_FORWARD=attributed).",
    "thin": "it is a thin event, which Tracknow cannot read. In Stripe's Workbench give the "
    "event destination the payload style Snapshot.",
    "unsigned": "it was fetched, and every destination gets events with a signature only "
    "(TRACKNOW_RELAY_SIGNED_DESTINATIONS).",
}


# Why a destination does not get an event that was fetched, in words.
UNSIGNED = "it gets events with a signature only (TRACKNOW_RELAY_SIGNED_DESTINATIONS)."


# -- tables, JSON, progress -----------------------------------------------------------------------


def print_json(data: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(data, indent=2))


def print_csv(names: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Print rows under the names of their columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    click.echo(text.getvalue(), nl=False)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their columns; cells may be styled, columns of numbers align right."""
    numeric = [
        all(click.unstyle(row[number]).isdigit() for row in rows) for number in range(len(columns))
    ]
    widths = [
        max(len(click.unstyle(row[number])) for row in [columns, *rows])
        for number in range(len(columns))
    ]
    for row in [[click.style(name, bold=True) for name in columns], *rows]:
        cells = []
        for cell, width, is_number in zip(row, widths, numeric, strict=True):
            padding = " " * (width - len(click.unstyle(cell)))
            cells.append(padding + cell if is_number and rows else cell + padding)
        click.echo("  ".join(cells).rstrip())


@contextlib.contextmanager
def progress(
    what: str, *, quiet: bool, total: int | None = None
) -> Iterator[Callable[[int], None]]:
    """Show how far a long task is, on a terminal only.

    Provides the function that is called with the number done so far; each call gives the command
    more time.
    """
    from tracknow_static.relay.operate.cli import restart

    if quiet or not sys.stderr.isatty():
        yield lambda _done: restart()
        return
    of_total = "" if total is None else f" of {total:,}"

    def show(done: int) -> None:
        restart()
        click.echo(f"\r{what}: {done:,}{of_total}", nl=False, err=True)

    try:
        yield show
    finally:
        click.echo("\r\x1b[K", nl=False, err=True)


def sentence(text: str) -> str:
    """End a text as a sentence, and begin it as one unless it begins with a URL."""
    begin = text[:1] if "://" in text.partition(" ")[0] else text[:1].upper()
    return f"{begin}{text[1:].rstrip('.')}."


def time_of(seconds: float | None) -> str | None:
    """Write a time for scripts: ISO 8601, UTC, milliseconds."""
    if seconds is None:
        return None
    text = dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def moment(seconds: float, timespec: str = "minutes") -> str:
    """Write a time for people, in UTC."""
    text = dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(" ", timespec)
    return text.removesuffix("+00:00")


def duration(seconds: float | None) -> str:
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


# -- the summary ----------------------------------------------------------------------------------


def status_json(status: Status, needs: Sequence[Condition]) -> dict[str, Any]:
    """Return the summary for scripts, with what needs a person."""
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
        "held": status.held,
        "refused": by_reason("refused:"),
        "destinations": [_destination_json(entry) for entry in status.destinations],
        "backfill": _backfill_json(status),
        "attention": list(map(str, needs)),
        "conditions": [condition_json(condition) for condition in needs],
    }


def condition_json(condition: Condition) -> dict[str, Any]:
    """Return what needs a person for scripts."""
    return {
        "code": condition.code,
        "about": condition.about,
        "text": condition.text,
        "command": condition.command,
        "stalls": condition.stalls,
        "since": time_of(condition.since),
    }


def _backfill_json(status: Status) -> dict[str, Any] | None:
    state = status.backfill
    if state is None:
        return None
    return {
        "polled_at": time_of(state.polled_at or None),
        "error": state.error or None,
        "failing_since": time_of(state.failing_since or None),
        "found": state.found,
        "endpoint": state.endpoint or None,
        "endpoint_unknown": state.endpoint_unknown or None,
    }


def _destination_json(entry: DestinationStatus) -> dict[str, Any]:
    return {
        "destination": entry.destination,
        "state": entry.breaker.state,
        "paused_because": entry.breaker.paused_because,
        "paused_at": time_of(entry.paused_at),
        "down": entry.breaker.is_down,
        "pending": entry.pending,
        "due": entry.due,
        "retrying": entry.retrying,
        "in_flight": entry.in_flight,
        "dead": entry.dead,
        "rejected": entry.rejected,
        "delivered": entry.delivered,
        "oldest_pending_age": entry.oldest_pending_age,
    }


def status_text(status: Status, needs: Sequence[Condition]) -> None:
    """Print the summary for people."""
    data = status_json(status, needs)
    rows = [
        [
            clean(without_query(entry.destination)),
            _state(entry),
            str(entry.pending),
            str(entry.retrying),
            click.style(str(entry.dead), fg="red" if entry.dead else None),
            click.style(str(entry.rejected), fg="red" if entry.rejected else None),
            str(entry.delivered),
            duration(entry.oldest_pending_age),
        ]
        for entry in status.destinations
    ]
    columns = "destination state pending retrying dead rejected delivered oldest"
    print_table(columns.split(), rows)
    for line in data["attention"]:
        click.secho(clean(line), fg="red")
    newest = status.newest_event_at
    since = "never" if newest is None else f"{duration(max(0.0, status.now - newest))} ago"
    click.echo(f"accepted {data['accepted']}, duplicates {data['duplicate']}, last event {since}")
    if status.backfill is not None and status.backfill.polled_at:
        age = duration(max(0.0, status.now - status.backfill.polled_at))
        click.echo(f"missed events looked for {age} ago, {status.backfill.found} found in all")
    if status.held:
        click.echo(f"waiting for their Checkout Sessions: {status.held}")
    for word in ("kept", "refused"):
        if data[word]:
            click.echo(clean(f"{word}: " + ", ".join(f"{k} {v}" for k, v in data[word].items())))


def _state(entry: DestinationStatus) -> str:
    if entry.breaker.state == PAUSED:
        return _styled(PAUSED)
    return (
        click.style("down", fg="red")
        if entry.breaker.is_down
        else click.style("active", fg="green")
    )


# -- events ---------------------------------------------------------------------------------------


def event_json(event: StoredEvent, *, history: bool = False) -> dict[str, Any]:
    """Return an event for scripts, without its payload."""
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
        "skipped_because": event.skipped_because,
        "source": event.source,
        "twin_of": event.twin_of,
        "deliveries": [_delivery_json(delivery, history=history) for delivery in event.deliveries],
    }


def _delivery_json(delivery: Delivery, *, history: bool) -> dict[str, Any]:
    data: dict[str, Any] = {
        "destination": delivery.destination,
        "state": delivery.state,
        "due_at": time_of(delivery.due_at) if delivery.state == PENDING else None,
        "in_flight": delivery.state == PENDING and delivery.claimed_at is not None,
        "attempts": delivery.attempts,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "settled_at": time_of(delivery.settled_at),
    }
    if history:
        data["history"] = [
            {
                "at": time_of(attempt.at),
                "status": attempt.status,
                "error": attempt.error,
                "took_ms": attempt.took_ms,
                "answer": attempt.answer,
            }
            for attempt in delivery.history
        ]
    return data


def events_text(events: Sequence[StoredEvent]) -> None:
    """Print events for people, one line each."""
    rows = [
        [
            _moment(event.received_at),
            clean(event.id),
            clean(event.type),
            clean(event.reference_found or "-"),
            _states(event),
        ]
        for event in events
    ]
    print_table(["received", "event", "type", "reference", "state"], rows)


def event_text(event: StoredEvent, signed: Sequence[str], paused: Sequence[str]) -> None:
    """Print one event with every attempt; ``signed`` destinations get pushed events only.

    Those that are ``paused`` get none.
    """
    shown = {
        name.replace("_", " "): clean(str(value))
        for name, value in event_json(event).items()
        if name != "deliveries" and value is not None
    }
    shown["payload"] = "purged" if event.payload is None else f"{len(event.payload)} bytes"
    width = max(map(len, shown))
    for name, value in shown.items():
        click.echo(f"{name:{width}}  {value}")
    if event.skipped_because:
        click.secho(f"Not forwarded: {KEPT[event.skipped_because]}", fg="yellow")
    if event.source == API:
        click.echo(
            "Stripe did not push it: it was fetched from Stripe's API, and has no signature."
        )
        for url in signed if event.skipped_because is None else ():
            click.echo(f"\n{clean(without_query(url))}  not delivered: {UNSIGNED}")
    for delivery in event.deliveries:
        due = ""
        if delivery.state == PENDING:
            held = delivery.destination in paused
            due = (
                ": held, the destination is paused" if held else f", due {_moment(delivery.due_at)}"
            )
        url = clean(without_query(delivery.destination))
        click.echo(f"\n{url}  {_styled(delivery.state)}{due}")
        for attempt in delivery.history:
            answer = f"  {clean(attempt.answer)}" if attempt.answer else ""
            click.echo(
                f"  {_moment(attempt.at)}  {clean(attempt.result)}  {attempt.took_ms} ms{answer}"
            )


def _states(event: StoredEvent) -> str:
    if event.skipped_because:
        return click.style(f"kept: {event.skipped_because}", dim=True)
    return ", ".join(
        _styled(
            delivery.state,
            "retrying" if delivery.state == PENDING and delivery.attempts else delivery.state,
        )
        for delivery in event.deliveries
    )


def _styled(state: str, text: str | None = None) -> str:
    return click.style(text or state, fg=_COLORS.get(state))


def _moment(seconds: float) -> str:
    return f"{moment(seconds, 'seconds')}Z"
