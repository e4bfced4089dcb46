"""What people and scripts see of stored events, their deliveries and the destinations.

The keys of the JSON are stable: keys are added, none is renamed or removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.output import Styled, echo, styled, time_of
from tracknow_static.relay.operate.words import KEPT, UNSIGNED
from tracknow_static.relay.store.destinations import resume_command
from tracknow_static.relay.store.model import (
    API,
    DEAD,
    DELIVERED,
    PAUSED,
    PENDING,
    REJECTED,
    without_query,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tracknow_static.relay.operate.conditions import Condition
    from tracknow_static.relay.store.model import Delivery, DestinationStatus, Status, StoredEvent

_COLORS = {DELIVERED: "green", DEAD: "red", REJECTED: "red", PENDING: "yellow", PAUSED: "red"}


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
            without_query(entry.destination),
            _state(entry),
            f"{entry.pending} ({entry.retrying} retrying)"
            if entry.retrying
            else str(entry.pending),
            styled(str(entry.dead), "red" if entry.dead else None),
            styled(str(entry.rejected), "red" if entry.rejected else None),
            str(entry.delivered),
            output.duration(entry.oldest_pending_age),
        ]
        for entry in status.destinations
    ]
    columns = "destination state pending dead rejected delivered oldest"
    output.print_table(columns.split(), rows)
    for line in data["attention"]:
        echo(line, color="red")
    newest = status.newest_event_at
    since = "never" if newest is None else f"{output.duration(max(0.0, status.now - newest))} ago"
    echo(f"accepted {data['accepted']}, duplicates {data['duplicate']}, last event {since}")
    if status.backfill is not None and status.backfill.polled_at:
        age = output.duration(max(0.0, status.now - status.backfill.polled_at))
        echo(f"missed events looked for {age} ago, {status.backfill.found} found in all")
    if status.held:
        echo(f"waiting for their Checkout Sessions: {status.held}")
    for word in ("kept", "refused"):
        if data[word]:
            echo(f"{word}: " + ", ".join(f"{k} {v}" for k, v in data[word].items()))


def _state(entry: DestinationStatus) -> Styled:
    if entry.breaker.state == PAUSED:
        return styled(PAUSED, "red")
    return styled("down", "red") if entry.breaker.is_down else styled("active", "green")


# -- events ---------------------------------------------------------------------------------------


def event_json(
    event: StoredEvent, paused: Collection[str], *, history: bool = False
) -> dict[str, Any]:
    """Return an event for scripts, without its payload; nothing is due that is ``paused``."""
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
        "deliveries": [
            _delivery_json(delivery, delivery.destination in paused, history=history)
            for delivery in event.deliveries
        ],
    }


def _delivery_json(delivery: Delivery, is_paused: bool, *, history: bool) -> dict[str, Any]:
    is_due = delivery.state == PENDING and not is_paused
    data: dict[str, Any] = {
        "destination": delivery.destination,
        "state": delivery.state,
        "due_at": time_of(delivery.due_at) if is_due else None,
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
            event.id,
            event.type,
            output.shortened(event.reference_found or "-"),
            _states(event),
        ]
        for event in events
    ]
    output.print_table(["received", "event", "type", "reference", "state"], rows)


def event_text(event: StoredEvent, signed: Sequence[str], paused: Collection[str]) -> None:
    """Print one event with every attempt; ``signed`` destinations get pushed events only.

    Those that are ``paused`` get none.
    """
    shown = {
        name.replace("_", " "): str(value)
        for name, value in event_json(event, paused).items()
        if name != "deliveries" and value is not None
    }
    shown["payload"] = "purged" if event.payload is None else f"{len(event.payload)} bytes"
    width = max(map(len, shown))
    for name, value in shown.items():
        echo(f"{name:{width}}  {value}")
    if event.skipped_because:
        echo(f"Not forwarded: {KEPT[event.skipped_because]}", color="yellow")
    if event.source == API:
        echo("Stripe did not push it: it was fetched from Stripe's API, and has no signature.")
        for url in signed if event.skipped_because is None else ():
            click.echo()
            echo(f"{without_query(url)}  not delivered: {UNSIGNED}")
    for delivery in event.deliveries:
        url = without_query(delivery.destination)
        state = delivery.state
        if state == PENDING:
            is_paused = delivery.destination in paused
            how = f": the destination is paused: `{resume_command(url)}`"
            state += how if is_paused else f", due {_moment(delivery.due_at)}"
        click.echo()
        echo(f"{url}  {state}", color=_COLORS.get(delivery.state))
        for attempt in delivery.history:
            answer = f"  {attempt.answer}" if attempt.answer else ""
            echo(f"  {_moment(attempt.at)}  {attempt.result}  {attempt.took_ms} ms{answer}")


def _states(event: StoredEvent) -> Styled:
    if event.skipped_because:
        return Styled(click.style(f"kept: {event.skipped_because}", dim=True))
    states = [
        styled(
            "retrying" if delivery.state == PENDING and delivery.attempts else delivery.state,
            _COLORS.get(delivery.state),
        )
        for delivery in event.deliveries
    ]
    return Styled(", ".join(states))


def _moment(seconds: float) -> str:
    return f"{output.moment(seconds, 'seconds')}Z"
