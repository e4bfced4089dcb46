"""The story of one sale: what Stripe sent, what the destinations answered, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import or_, select

from tracknow_static.relay.sales import verdicts
from tracknow_static.relay.sales.joined import group_of
from tracknow_static.relay.sales.objects import DISPUTE
from tracknow_static.relay.sales.site import OWN_CODE, is_own_code
from tracknow_static.relay.store import destinations, queries
from tracknow_static.relay.store.model import (
    DEAD,
    PAUSED,
    PENDING,
    REJECTED,
    WAITING,
    WEBHOOK,
    without_query,
)
from tracknow_static.relay.store.schema import events, sale_objects, sales

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from tracknow_static.relay.sales.derive import Sale
    from tracknow_static.relay.sales.objects import Object
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.model import Delivery, StoredEvent

# Sales that one customer or click id may have beside the one that is explained.
_MOST_OTHERS = 100


class Step(NamedTuple):
    """One thing that happened at a time in Unix seconds.

    ``what`` is ``created``, ``received``, ``fetched``, ``unsigned``, ``kept``, ``attempt``, ``due``,
    ``paused`` (since then its destination gets nothing), ``dead``, ``rejected``, ``refunded``,
    ``disputed`` or ``dispute``, its later state; ``id`` names the object or event. ``detail`` holds what was answered, or why, or the dispute's status.
    """

    at: float
    what: str
    id: str
    detail: str = ""


@dataclass(frozen=True)
class Explanation:
    """One sale with its verdict, the finer ``reason`` for it, and its story in order.

    ``others`` are ids of other sales that the same id leads to. ``help`` is a sentence about what
    to do, with the command in backquotes; empty where the verdict has no more of it.
    """

    sale: Sale
    reason: str
    story: tuple[Step, ...]
    others: tuple[str, ...]
    help: str = ""


def explain(database: Database, wanted: str) -> Explanation | None:
    """Explain the newest sale that an id leads to, None when there is none.

    ``wanted`` is the id of a session, charge, payment intent, invoice, dispute, customer or event,
    or a click id.
    """
    with database.read() as connection:
        found = _sales_of(connection, wanted)
        if not found:
            return None
        ids = [found[0]]
        own = [one for one in group_of(connection, ids).values() if one.sale == ids[0]]
        members = {one.id for one in own}
        event_ids = _events_of(
            connection, members, {one.payment_intent for one in own if one.payment_intent}
        )
    sale = verdicts.by_id(database, ids[0])
    stored = [event for name in event_ids if (event := queries.event(database, name))]
    if sale is None:  # it became part of another one just now
        return None
    # Of one moment, in the order in which they are made: received, then not forwarded.
    disputes = [one for one in own if one.kind == DISPUTE]
    paused = _paused(database, stored)
    steps = chain(_story(sale, stored, sorted(database.signed), paused), *map(_dispute, disputes))
    story = sorted(steps, key=lambda step: step.at)
    reason = _reason(sale, stored, paused)
    texts = [
        f"{without_query(url)} is paused: `{destinations.resume_command(url)}`"
        for url in (paused if reason == PAUSED else ())
    ]
    return Explanation(sale, reason, tuple(story), tuple(found[1:]), "; ".join(texts))


def _paused(database: Database, stored: list[StoredEvent]) -> dict[str, float]:
    """Return the destinations that are paused and have yet to get something, and since when."""
    deliveries = chain.from_iterable(event.deliveries for event in stored)
    urls = {delivery.destination for delivery in deliveries if delivery.state == PENDING}
    return {url: at for url, at in destinations.paused(database).items() if url in urls}


def _sales_of(connection: Connection, wanted: str) -> list[str]:
    """Return ids of the sales that an id leads to, the newest first."""
    subject = select(events.c.object_id).where(events.c.id == wanted).scalar_subquery()
    objects = select(sale_objects.c.sale).where(
        or_(
            sale_objects.c.id == wanted,
            sale_objects.c.id == subject,
            sale_objects.c.payment_intent == wanted,
            sale_objects.c.customer == wanted,
        ),
        sale_objects.c.sale.is_not(None),
    )
    statement = (
        select(sales.c.id)
        .where(or_(sales.c.reference == wanted, sales.c.id.in_(objects)))
        .order_by(sales.c.created.desc(), sales.c.id.desc())
        .limit(1 + _MOST_OTHERS)
    )
    return list(connection.execute(statement).scalars())


def _events_of(
    connection: Connection, members: Collection[str], intents: Collection[str]
) -> list[str]:
    found: set[str] = set()
    # Both halves are found by an index: the one by object leaves out what has a payment intent.
    for condition in (
        events.c.payment_intent.in_(intents),
        events.c.payment_intent.is_(None) & events.c.object_id.is_not(None),
    ):
        statement = select(events.c.id).where(condition, events.c.object_id.in_(members))
        found.update(connection.execute(statement).scalars())
    return sorted(found)


def _story(
    sale: Sale, stored: list[StoredEvent], signed: Sequence[str], paused: Mapping[str, float]
) -> Iterator[Step]:
    yield Step(sale.created, "created", sale.id, f"renews {sale.renews}" if sale.renews else "")
    if sale.refunded_at is not None:
        yield Step(sale.refunded_at, "refunded", sale.charge or sale.id, str(sale.refunded))
    for event in stored:
        how = "received" if event.source == WEBHOOK else "fetched"
        yield Step(event.received_at, how, event.id, event.type)
        if event.source != WEBHOOK and event.skipped_because is None:
            for url in signed:
                yield Step(event.received_at, "unsigned", event.id, without_query(url))
        if event.skipped_because:
            yield Step(event.received_at, "kept", event.id, event.skipped_because)
        for delivery in event.deliveries:
            yield from _deliveries(event, delivery, paused)


def _dispute(dispute: Object) -> Iterator[Step]:
    yield Step(dispute.at, "disputed", dispute.id)
    if dispute.status is not None and not dispute.status.endswith("needs_response"):
        status = dispute.status.replace("_", " ")
        yield Step(dispute.refunded_at or dispute.seen, "dispute", dispute.id, status)


def _deliveries(
    event: StoredEvent, delivery: Delivery, paused: Mapping[str, float]
) -> Iterator[Step]:
    where = without_query(delivery.destination)
    for attempt in delivery.history:
        said = f": {attempt.answer}" if attempt.answer else ""
        yield Step(attempt.at, "attempt", event.id, f"{where}: {attempt.result}{said}")
    paused_at = paused.get(delivery.destination)
    if delivery.state == PENDING and paused_at is not None:
        yield Step(max(paused_at, event.received_at), PAUSED, event.id, where)
    elif delivery.state == PENDING:
        yield Step(delivery.due_at, "due", event.id, where)
    elif delivery.state in (DEAD, REJECTED) and delivery.settled_at is not None:
        yield Step(delivery.settled_at, delivery.state, event.id, where)


def _reason(sale: Sale, stored: list[StoredEvent], paused: Collection[str]) -> str:
    """Return the finer code of the verdict; the verdict itself where there is none.

    Of a sale without a click id, the site's inventory may show more.
    """
    own = [delivery for event in stored for delivery in event.deliveries]
    if sale.verdict == "rejected":
        dead = any(delivery.state == DEAD for delivery in own)
        return "dead-letter" if dead else "success-false"
    if sale.verdict == "waiting" and sale.reference:
        pending = [delivery for delivery in own if delivery.state == PENDING]
        if not pending:
            held = any(event.skipped_because == WAITING for event in stored)
            return "held" if held else "not-forwarded"
        if paused:
            return PAUSED
        return "retrying" if any(delivery.tries for delivery in pending) else "pending"
    return OWN_CODE if is_own_code(sale) else sale.verdict
