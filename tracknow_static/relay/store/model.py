"""What the store receives and returns: plain values, no database behind them.

All times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tracknow_static.relay.store.backfill_state import State as BackfillState

PENDING = "pending"
DELIVERED = "delivered"
# Delivered, and rejected by the destination: its answer says so.
REJECTED = "rejected"
DEAD = "dead"

# How the types of events about Checkout Sessions begin.
SESSION_EVENTS = "checkout.session."

# How an event came: Stripe sent it, or it was fetched.
WEBHOOK = "webhook"
API = "api"

ACTIVE = "active"
PAUSED = "paused"

# Failures in a row after which a destination is down.
BREAKER_THRESHOLD = 5

# Why an event is kept but not forwarded.
KEPT_REASONS = ("type", "mode", "account", "thin", "unsigned", "waiting", "unattributed")
# The last two, with TRACKNOW_RELAY_FORWARD=attributed: its session is not known yet, or its sale
# carries no click id.
WAITING = "waiting"
UNATTRIBUTED = "unattributed"

# What ended an attempt, or the delivery with it.
ERRORS = {
    "dns": "its name has no address",
    "dns_timeout": "looking up its name took too long",
    "address_refused": "its address is not public",
    "connect": "it cannot be connected to",
    "connect_timeout": "no connection in time",
    "tls": "TLS fails",
    "timeout": "no answer in time",
    "reset": "the connection was closed without an answer",
    "protocol": "the answer is not valid HTTP",
    "unsendable": "a header of the event is not valid",
    "internal": "an internal error: see the log",
    "rejected": "refused for good",
    "success_false": "rejected",
    "gave_up": "that was the last attempt",
    "too_old": "it has waited for too long",
    "event_unreadable": "the stored event cannot be read",
}


def without_query(url: str) -> str:
    """Return a destination's URL as logs and tables show it: a query can hold a token."""
    return url.partition("?")[0]


class NewEvent(NamedTuple):
    """A verified or fetched event that is to be stored.

    ``payload`` holds the request's raw bytes, or Stripe's own text of an event that was fetched;
    such a one has the ``source`` ``API`` and no ``signature``. ``skipped_because`` is one of
    ``KEPT_REASONS`` for an event that is stored and not forwarded. ``created`` is Stripe's time of
    the event.
    """

    id: str
    type: str
    payload: bytes
    object_id: str | None = None
    reference: str | None = None
    payment_intent: str | None = None
    customer: str | None = None
    livemode: bool | None = None
    account: str | None = None
    created: int | None = None
    content_type: str | None = None
    signature: str | None = None
    skipped_because: str | None = None
    source: str = WEBHOOK


@dataclass(frozen=True)
class Accepted:
    """The event is durable. ``new`` is false for an event that was stored before."""

    id: str
    new: bool


@dataclass(frozen=True)
class Claimed:
    """One delivery that is leased to the caller until its lease runs out.

    ``token`` is the fence: a result counts only while it is the delivery's current one.
    ``attempts`` counts the attempts made before this one, outages left out; ``tries`` counts
    them all. It waits since ``accepted_at``: when it was stored, or last replayed. ``problem`` is a
    short code when its event cannot be read: there is nothing to send then.
    """

    delivery_id: int
    token: int
    event_id: str
    destination: str
    payload: bytes = b""
    content_type: str | None = None
    signature: str | None = None
    attempts: int = 0
    tries: int = 0
    type: str = ""
    accepted_at: float = 0.0
    problem: str | None = None
    source: str = WEBHOOK
    payment_intent: str | None = None
    customer: str | None = None

    @property
    def is_session(self) -> bool:
        """Whether the event is about a Checkout Session."""
        return self.type.startswith(SESSION_EVENTS)

    @property
    def sale_keys(self) -> tuple[str, ...]:
        """What a session and its charge have in common: the payment, or else the customer."""
        by_customer = not self.is_session or self.payment_intent is None
        keys = (self.payment_intent, self.customer if by_customer else None)
        return tuple(key for key in keys if key is not None)


@dataclass(frozen=True)
class DeliveryResult:
    """How one attempt ended.

    ``kind`` is ``delivered``, ``rejected``, ``retry``, ``dead`` or ``release`` (given back untried:
    no attempt is recorded). ``delay`` is for ``retry``: seconds from now, by the database's clock. ``error``
    is a short code such as ``timeout``, never a payload; ``answer`` is a piece of what the
    destination answered. ``counted`` is false while the
    destination is down: the attempt is recorded but does not bring the event nearer to the dead
    letters.
    """

    claimed: Claimed
    kind: str
    status: int | None = None
    error: str | None = None
    delay: float = 0.0
    counted: bool = True
    took_ms: int = 0
    answer: str | None = None


@dataclass(frozen=True)
class Breaker:
    """A destination's state and circuit breaker, shared by all processes.

    ``open_for`` and ``probing_for`` are seconds left when it was read, 0 when over, by the
    database's clock. ``version`` changes with every write: ``set_breaker`` succeeds
    only with the version that was read, so that only one of several processes
    probes.
    """

    destination: str
    state: str
    paused_because: str | None
    failures: int
    open_for: float
    probing_for: float
    version: int

    @property
    def is_down(self) -> bool:
        """Whether it is open, or one event at a time is sent to see whether it may close."""
        return self.open_for > 0 or self.failures >= BREAKER_THRESHOLD


class Settled(NamedTuple):
    """Deliveries that ended in one state: their number, and the times of the first and the last."""

    number: int
    first_at: float | None
    last_at: float | None


@dataclass(frozen=True)
class DestinationStatus:
    """One destination at the time ``now``; times are Unix seconds.

    ``pending`` counts all deliveries not settled; of them, ``due`` those that may be claimed now,
    ``retrying`` those that were tried before, ``in_flight`` those that are leased now.
    ``oldest_at`` is when the oldest of them was stored or replayed. ``settled`` are those that are
    ``dead`` or ``rejected`` now, ``delivered`` counts deliveries ever made.
    """

    destination: str
    now: float
    breaker: Breaker
    paused_at: float | None
    failing_since: float | None
    pending: int
    due: int
    retrying: int
    in_flight: int
    oldest_at: float | None
    settled: dict[str, Settled]
    delivered: int = 0

    @property
    def oldest_pending_age(self) -> float | None:
        """Seconds since ``oldest_at``."""
        return None if self.oldest_at is None else max(0.0, self.now - self.oldest_at)

    @property
    def dead(self) -> int:
        """Number of dead letters."""
        return self.settled["dead"].number

    @property
    def rejected(self) -> int:
        """Number of rejected deliveries."""
        return self.settled["rejected"].number


@dataclass(frozen=True)
class Status:
    """The whole store at a glance.

    ``tallies`` maps (name, destination) to a count. ``backfill`` is what backfill knows, None when
    it has never run. ``held`` events wait for their session.
    """

    now: float
    schema_version: int
    destinations: tuple[DestinationStatus, ...]
    tallies: dict[tuple[str, str], int]
    newest_event_at: float | None
    backfill: BackfillState | None = None
    held: int = 0


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which events are meant; conditions that are not given do not restrict.

    ``state`` is ``pending``, ``retrying``, ``delivered``, ``rejected``, ``dead`` (at least one
    delivery is) or ``kept`` (not forwarded). ``since`` and ``until`` bound the time of receipt, the second one
    exclusively. ``reference`` also finds the charges that belong to the reference, by payment
    intent or by customer.
    """

    ids: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    state: str | None = None
    since: float | None = None
    until: float | None = None
    reference: str | None = None
    destination: str | None = None
    skipped_because: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One HTTP attempt of a delivery; ``answer`` is the beginning of the answer's body, masked."""

    at: float
    status: int | None
    error: str | None
    took_ms: int
    answer: str | None = None

    @property
    def result(self) -> str:
        """What came of it, in words, with the error's code beside them."""
        error = self.error
        words = f"{ERRORS[error]} ({error})" if error in ERRORS else error
        return ", ".join(filter(None, (str(self.status or ""), words))) or "?"


@dataclass(frozen=True)
class Delivery:
    """One event for one destination."""

    id: int
    destination: str
    state: str
    due_at: float
    claimed_at: float | None
    attempts: int
    tries: int
    last_status: int | None
    last_error: str | None
    settled_at: float | None
    history: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class StoredEvent:
    """An event as it is stored; ``payload`` is given by ``queries.event`` only.

    ``reference`` is the event's own; ``reference_found`` also the one that belongs to it through
    its payment intent or customer. ``twin_of`` is the first event about the same object with the
    same type, if this is a later one. ``source`` is ``WEBHOOK`` or ``API``.
    """

    id: str
    type: str
    object_id: str | None
    reference: str | None
    payment_intent: str | None
    customer: str | None
    livemode: bool | None
    account: str | None
    created: int | None
    received_at: float
    purged_at: float | None
    skipped_because: str | None
    twin_of: str | None
    reference_found: str | None
    deliveries: tuple[Delivery, ...] = ()
    source: str = WEBHOOK
    payload: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class EventPage:
    """Some events in order; ``cursor`` asks for the next page, None on the last one."""

    events: tuple[StoredEvent, ...]
    cursor: str | None


@dataclass(frozen=True)
class Replayed:
    """What a replay did, or would do.

    ``deliveries`` were made due again or created; skipped are ``purged`` events (their payload is
    gone), ``thin`` ones (Tracknow cannot read them), ``unattributed`` ones that were not named,
    deliveries that are ``in_flight``, those to destinations that are not configured, which nobody
    would deliver, and ``unsigned`` ones: of fetched events to destinations that get pushed ones
    only.
    """

    events: int
    deliveries: int
    purged: int
    thin: int
    in_flight: int
    unconfigured: int = 0
    unsigned: int = 0
    unattributed: int = 0


@dataclass(frozen=True)
class Retired:
    """What was done, or would be done, with the deliveries of a destination.

    They were ``moved`` to another one or ``given_up``; those ``in_flight`` were left alone.
    """

    moved: int
    given_up: int
    in_flight: int


@dataclass(frozen=True)
class Erased:
    """How many payloads were erased, or would be, and of how many events that were still to be sent.

    ``size`` is in bytes.
    """

    events: int
    size: int
    unsent: int


@dataclass(frozen=True)
class Purged:
    """How many payloads a purge removed, or would remove, and what they hold in bytes.

    With ``waits`` nothing was removed, because the clock may be wrong.
    """

    events: int
    size: int
    references: int
    waits: bool = False
