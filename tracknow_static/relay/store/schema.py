"""The tables; ``migrations`` makes them.

Times are Unix seconds. Texts that come from outside are bounded by ``classify``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import ColumnElement, Connection

metadata = MetaData()

# PostgreSQL notifies workers of new deliveries through it.
CHANNEL = "tracknow_relay"

_MOST_VALUES = 400


def notify(connection: Connection) -> None:
    """Wake the workers of every process when the transaction commits; SQLite needs no notice."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")


def parts(values: Collection[str]) -> Iterator[list[str]]:
    """Yield the values in lists that one statement has room for.

    An SQLite before 3.32 takes 999 parameters (sqlite.org/limits.html, 9).
    """
    left = list(values)
    for first in range(0, len(left), _MOST_VALUES):
        yield left[first : first + _MOST_VALUES]


def _partial_index(name: str, *columns: Column[Any], where: str) -> None:
    Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


# SQLite numbers rows only in a column of exactly the type INTEGER.
_Number = BigInteger().with_variant(Integer(), "sqlite")

events = Table(
    "events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("object_id", Text),
    Column("reference", Text),
    Column("payment_intent", Text),
    Column("customer", Text),
    Column("livemode", Boolean),
    Column("account", Text),
    Column("created", BigInteger),
    Column("received_at", Double, nullable=False),
    Column("purged_at", Double),
    Column("skipped_because", Text),
    Column("content_type", Text),
    Column("signature", Text),
    # How it came: WEBHOOK or API.
    Column("source", Text, nullable=False, server_default="webhook"),
    # Last, so that SQLite reads the other columns without touching the payload's pages.
    Column("payload", LargeBinary),
)
# An event is written into each of its indexes while Stripe waits: there is one only for what claims,
# duplicates, purges and pages need, and for what joins a charge with its checkout session.
Index("events_received", events.c.received_at, events.c.id)
_partial_index("events_kept", events.c.received_at, where="skipped_because IS NOT NULL")
# Those that wait for their session, and those that are not forwarded for want of a click id.
_UNATTRIBUTED = "skipped_because IN ('waiting', 'unattributed')"
# Literals, since a bound value would hide from the planner that the partial index applies.
is_waiting: ColumnElement[bool] = literal_column(
    # SQLite uses the index only where its condition is there word by word.
    f"({_UNATTRIBUTED} AND skipped_because = 'waiting')"
)
is_unforwarded: ColumnElement[bool] = literal_column(_UNATTRIBUTED)
_partial_index(
    "events_unattributed", events.c.skipped_because, events.c.received_at, where=_UNATTRIBUTED
)
# Twins share the object. Most share the payment intent, too, and are found by it.
_UNPAID = "object_id IS NOT NULL AND payment_intent IS NULL"
_partial_index("events_object", events.c.object_id, where=_UNPAID)
for _column in ("reference", "payment_intent", "customer"):
    _partial_index(f"events_{_column}", events.c[_column], where=f"{_column} IS NOT NULL")
_partial_index("events_unpurged", events.c.received_at, where="purged_at IS NULL")

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("state", Text, nullable=False),
    # When the delivery may be claimed next. A claim pushes it forward: that is the lease.
    Column("due_at", Double, nullable=False),
    # The fence: grows at each claim and each replay.
    Column("token", BigInteger, nullable=False),
    # Set while a claim has not been settled.
    Column("claimed_at", Double),
    # Attempts that bring the event nearer to the dead letters, and all of them.
    Column("attempts", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("last_status", Integer),
    Column("last_error", Text),
    Column("accepted_at", Double, nullable=False),
    Column("settled_at", Double),
    UniqueConstraint("event_id", "destination", name="deliveries_event_destination"),
)
# Claims look at what is pending only, however many settled rows there are. The last columns are for
# the summary, which reads nothing else: they change with the due time, so that they cost no write.
_partial_index(
    "deliveries_pending",
    deliveries.c.destination,
    deliveries.c.due_at,
    deliveries.c.attempts,
    deliveries.c.claimed_at,
    deliveries.c.accepted_at,
    where="state = 'pending'",
)
_partial_index(
    "deliveries_dead", deliveries.c.destination, deliveries.c.settled_at, where="state = 'dead'"
)
_partial_index(
    "deliveries_rejected",
    deliveries.c.destination,
    deliveries.c.settled_at,
    where="state = 'rejected'",
)

# Literals, since a bound value would hide from the planner that the partial index applies.
is_pending: ColumnElement[bool] = literal_column("state = 'pending'")
is_dead: ColumnElement[bool] = literal_column("state = 'dead'")
is_rejected: ColumnElement[bool] = literal_column("state = 'rejected'")


def is_leased(now: ColumnElement[float] | float, of: Any = deliveries.c) -> ColumnElement[bool]:
    """Return the condition that somebody works on a pending delivery, whose columns ``of`` has."""
    condition: ColumnElement[bool] = of.claimed_at.is_not(None) & (of.due_at > now)
    return condition


attempts = Table(
    "attempts",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("delivery_id", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("took_ms", Integer, nullable=False),
    # The beginning of what was answered, masked; it goes with the event's payload.
    Column("answer", Text),
)
Index("attempts_delivery", attempts.c.delivery_id)

destinations = Table(
    "destinations",
    metadata,
    Column("url", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("paused_because", Text),
    Column("paused_at", Double),
    # Failures in a row, and when the first of them was.
    Column("failures", Integer, nullable=False),
    Column("failing_since", Double),
    Column("open_until", Double, nullable=False),
    Column("probing_until", Double, nullable=False),
    Column("version", BigInteger, nullable=False),
)

# Outlives the payloads: a renewal brings a charge only, years after its checkout session.
customer_references = Table(
    "customer_references",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("reference", Text, nullable=False),
    Column("seen_at", Double, nullable=False),
)

# Counters. Each process writes rows of its own, so that counting never makes one wait for another.
tallies = Table(
    "tallies",
    metadata,
    Column("name", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("updated_at", Double, nullable=False),
)

# What the ledger knows of one object of Stripe's: a Checkout Session, charge, invoice or dispute.
sale_objects = Table(
    "sale_objects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    # Time of the earliest event about it.
    Column("seen", BigInteger, nullable=False),
    Column("created", BigInteger),
    Column("amount", BigInteger),
    Column("currency", Text),
    Column("mode", Text),
    Column("status", Text),
    Column("payment_intent", Text),
    Column("charge", Text),
    Column("invoice", Text),
    Column("subscription", Text),
    Column("customer", Text),
    Column("payment_link", Text),
    Column("reference", Text),
    Column("promotion_code", Text),
    Column("refunded", BigInteger, nullable=False),
    Column("refunded_at", BigInteger),
    Column("livemode", Boolean),
    Column("account", Text),
    Column("forwarded", Boolean, nullable=False),
    Column("source", Text, nullable=False),
    # The id of the sale that it belongs to.
    Column("sale", Text),
)
# What joins the objects of a sale, and where old ones are found.
for _column in ("payment_intent", "charge", "invoice", "subscription", "customer"):
    _partial_index(
        f"sale_objects_{_column}", sale_objects.c[_column], where=f"{_column} IS NOT NULL"
    )
Index("sale_objects_seen", sale_objects.c.seen, sale_objects.c.id)

# One row for each purchase, made from its objects alone. Amounts are in the currency's minor unit.
sales = Table(
    "sales",
    metadata,
    # The Checkout Session's id, or the charge's for one without a session.
    Column("id", Text, primary_key=True),
    Column("created", BigInteger, nullable=False),
    # Year and month in UTC, such as 202603.
    Column("month", Integer, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("amount", BigInteger),
    Column("currency", Text),
    Column("mode", Text),
    Column("payment_status", Text),
    Column("payment_link", Text),
    Column("reference", Text),
    Column("customer", Text),
    Column("promotion_code", Text),
    Column("charge", Text),
    # The session whose click id a later charge has.
    Column("renews", Text),
    Column("refunded", BigInteger, nullable=False),
    Column("refunded_at", BigInteger),
    Column("dispute", Text),
    Column("livemode", Boolean),
    Column("account", Text),
    Column("source", Text, nullable=False),
)
# Lists read these in the order in which they show it.
Index("sales_created", sales.c.created, sales.c.id)
Index("sales_verdict", sales.c.verdict, sales.c.created, sales.c.id)
Index("sales_link", sales.c.payment_link, sales.c.verdict, sales.c.created, sales.c.id)
# A report reads this index alone, in the order in which it groups.
Index(
    "sales_report",
    sales.c.verdict,
    sales.c.payment_link,
    sales.c.currency,
    sales.c.month,
    sales.c.created,
    sales.c.amount,
    sales.c.refunded,
)
Index(
    "sales_reference",
    sales.c.reference,
    sales.c.verdict,
    sales.c.currency,
    sales.c.created,
    sales.c.amount,
    sales.c.refunded,
)
_partial_index("sales_refunded", sales.c.refunded_at, where="refunded > 0")

# What the database says of itself: its id, when it was purged last, how far the ledger has read.
facts = Table(
    "facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, nullable=False),
)
