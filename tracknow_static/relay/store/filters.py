"""What a filter means: which events, and which of their deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import literal_column, select, union

from tracknow_static.relay.store.schema import (
    customer_references,
    deliveries,
    events,
    is_dead,
    is_pending,
    is_rejected,
)

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

    from tracknow_static.relay.store.model import Filter

STATES = ("pending", "retrying", "delivered", "rejected", "dead", "kept")

# Literals, so that the planner sees that the partial index applies.
_STATES = {
    "pending": is_pending,
    "retrying": literal_column("state = 'pending' AND attempts > 0"),
    "delivered": literal_column("state = 'delivered'"),
    "rejected": is_rejected,
    "dead": is_dead,
}


def restrict(statement: Select[Any], wanted: Filter) -> Select[Any]:
    """Add a filter's conditions to a statement over ``events``.

    Raises ``ValueError`` for a state that does not exist.
    """
    conditions: list[ColumnElement[bool]] = []
    if wanted.ids:
        conditions.append(events.c.id.in_(wanted.ids))
    if wanted.types:
        conditions.append(events.c.type.in_(wanted.types))
    if wanted.since is not None:
        conditions.append(events.c.received_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(events.c.received_at < wanted.until)
    if wanted.skipped_because is not None:
        conditions.append(events.c.skipped_because == wanted.skipped_because)
    if _of_kept(wanted):
        conditions.append(events.c.skipped_because.is_not(None))
    elif means_deliveries(wanted):
        conditions.append(_has_delivery(wanted))
    if wanted.reference is not None:
        conditions.append(_belongs_to(wanted.reference))
    return statement.where(*conditions)


def narrow(statement: Select[Any], wanted: Filter) -> Select[Any]:
    """Add a filter's conditions on deliveries to a statement over ``deliveries``.

    Raises ``ValueError`` for a state that does not exist.
    """
    if _of_kept(wanted):
        return statement
    if wanted.destination is not None:
        statement = statement.where(deliveries.c.destination == wanted.destination)
    if wanted.state is not None:
        statement = statement.where(in_state(wanted.state))
    return statement


def means_deliveries(wanted: Filter) -> bool:
    """Whether a filter is about deliveries: it means those, and not all of their events'."""
    return not _of_kept(wanted) and (wanted.state is not None or wanted.destination is not None)


def starts_from_deliveries(wanted: Filter) -> bool:
    """Whether the deliveries that are meant are few, in an index of their own, and found first."""
    return not _of_kept(wanted) and wanted.state in ("pending", "retrying", "rejected", "dead")


def in_state(state: str) -> ColumnElement[bool]:
    """Return the condition that a delivery is in a state.

    Raises ``ValueError`` for one that does not exist.
    """
    try:
        return _STATES[state]
    except KeyError:
        accepted = ", ".join(STATES)
        raise ValueError(f"state: {state!r} is not accepted. Accepted: {accepted}.") from None


def _of_kept(wanted: Filter) -> bool:
    return wanted.state == "kept" or wanted.skipped_because is not None


def _has_delivery(wanted: Filter) -> ColumnElement[bool]:
    meant = narrow(select(deliveries.c.event_id), wanted)
    if starts_from_deliveries(wanted):
        return events.c.id.in_(meant)
    # Nearly all: start from the events, in order, and stop when there are enough.
    return meant.where(deliveries.c.event_id == events.c.id).correlate(events).exists()


def _belongs_to(reference: str) -> ColumnElement[bool]:
    own = select(events.c.id).where(events.c.reference == reference)
    intents = select(events.c.payment_intent).where(
        events.c.reference == reference, events.c.payment_intent.is_not(None)
    )
    # By the sessions' customers, and then their keys: no index by reference is needed.
    customers = select(customer_references.c.customer).where(
        customer_references.c.reference == reference,
        customer_references.c.customer.in_(
            select(events.c.customer).where(
                events.c.reference == reference, events.c.customer.is_not(None)
            )
        ),
    )
    paid = select(events.c.id).where(events.c.payment_intent.in_(intents))
    renewed = select(events.c.id).where(events.c.customer.in_(customers))
    return events.c.id.in_(union(own, paid, renewed))
