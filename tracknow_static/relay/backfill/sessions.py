"""Sales that Stripe has and the relay never received, as Checkout Sessions and charges.

Stripe lists these for good, and events for 30 days only. Nothing here is stored or delivered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from tracknow_static.errors import AccountError
from tracknow_static.exit_codes import STRIPE
from tracknow_static.relay.sales.derive import Sale, derive
from tracknow_static.relay.sales.objects import CHARGE, SESSION, Object, of_api
from tracknow_static.relay.store.schema import events, sale_objects
from tracknow_static.relay.values import id_of, whole_number_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Connection

    from tracknow_static.relay.backfill.listing import Lists
    from tracknow_static.relay.store.database import Database

NOT_RECEIVED = "not-received"
# What one report holds; whoever needs more asks for shorter periods.
MOST = 10_000
# Verdicts of what brought no money.
_UNSOLD = ("unpaid", "payment-failed", "expired")


class _Kind(NamedTuple):
    """A kind of object: where it is listed, which of its objects are sales, and the permission."""

    kind: str
    name: str
    path: str
    parameters: Mapping[str, Any]
    needed: str


_SESSIONS = _Kind(
    SESSION,
    "checkout.session",
    "/v1/checkout/sessions",
    {"status": "complete"},
    "Checkout Sessions: Read",
)
_CHARGES = _Kind(CHARGE, "charge", "/v1/charges", {}, "Charges: Read")


class Unreceived(NamedTuple):
    """Sales with the verdict ``not-received``, the newest first.

    ``listed`` counts the sessions and charges that Stripe has. ``complete`` is false when there
    are more than ``MOST`` sales: those are the newest.
    """

    sales: tuple[Sale, ...]
    listed: int
    complete: bool


def unreceived(
    lists: Lists,
    database: Database,
    since: int,
    before: int,
    progress: Callable[[int], None] | None = None,
) -> Unreceived:
    """Return the sales created from ``since`` to ``before`` that the relay never received.

    Raises :class:`AccountError` and ``StorageError``.
    """
    missing: list[Object] = []
    listed = 0
    complete = True
    for kind in (_SESSIONS, _CHARGES):
        number = 0
        for page in _pages(lists, kind, since, before):
            listed += len(page)
            with database.read() as connection:
                found = _missing(connection, page)
            missing += found[: MOST - number]
            number += len(found)
            if progress is not None:
                progress(listed)
            if number > MOST:
                complete = False
                break
    return Unreceived(_sales(missing), listed, complete)


def look_up(lists: Lists, id_: str) -> Sale | None:
    """Return a sale that Stripe has, by the id of its session or charge; None if it has none.

    Raises :class:`AccountError`.
    """
    kind = _SESSIONS if id_.startswith("cs_") else _CHARGES
    body = lists.one(f"{kind.path}/{id_}", task=f"read {id_}", needed=kind.needed)
    if body is None:
        return None
    if body.get("object") != kind.name or body.get("id") != id_:
        raise AccountError("Stripe's answer is not what was asked for.", STRIPE)
    return next(iter(_sales([of_api(kind.kind, body)])), None)


def _pages(lists: Lists, kind: _Kind, since: int, before: int) -> Iterator[list[Object]]:
    """Yield the objects of the window that may be sales, the newest first."""
    parameters: dict[str, Any] = {**kind.parameters, "created": {"gte": since, "lt": before}}
    task = f"list {kind.path[4:].replace('/', ' ')}"
    more = True
    while more:
        bodies, more = lists.objects(kind.path, parameters, task=task, needed=kind.needed)
        for body in bodies:
            created = whole_number_of(body.get("created"))
            in_window = created is not None and since <= created < before
            if body.get("object") != kind.name or id_of(body) is None or not in_window:
                raise AccountError("Stripe's answer is not what was asked for.", STRIPE)
        if bodies:
            last = bodies[-1]["id"]
            if parameters.get("starting_after") in [body["id"] for body in bodies]:
                raise AccountError("Stripe's lists contradict each other.", STRIPE)
            parameters["starting_after"] = last
            # Charges that failed are no sales.
            yield [
                of_api(kind.kind, body)
                for body in bodies
                if kind.kind == SESSION or body.get("paid") is True
            ]
        elif more:
            raise AccountError("Stripe's lists contradict each other.", STRIPE)


def _missing(connection: Connection, page: list[Object]) -> list[Object]:
    """Return the objects that no stored event is about, nor about their payment."""
    ids = [one.id for one in page]
    intents = [one.payment_intent for one in page if one.payment_intent]
    known: set[str] = set()
    for statement in (
        select(sale_objects.c.id).where(sale_objects.c.id.in_(ids)),
        select(sale_objects.c.payment_intent).where(sale_objects.c.payment_intent.in_(intents)),
        # What the ledger has not read yet; both halves are found by an index.
        select(events.c.payment_intent).where(events.c.payment_intent.in_(intents)),
        select(events.c.object_id).where(
            events.c.payment_intent.is_(None),
            events.c.object_id.is_not(None),
            events.c.object_id.in_(ids),
        ),
    ):
        known.update(connection.execute(statement).scalars())
    return [one for one in page if one.id not in known and one.payment_intent not in known]


def _sales(objects: list[Object]) -> tuple[Sale, ...]:
    """Return the sales that the objects make: a session and its charge are one."""
    found = [
        sale._replace(verdict=NOT_RECEIVED)
        for sale in derive(objects).sales
        if sale.verdict not in _UNSOLD
    ]
    return tuple(sorted(found, key=lambda sale: (-sale.created, sale.id)))
