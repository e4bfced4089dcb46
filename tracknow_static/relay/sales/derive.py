"""From a group's objects to its sales: a pure function, so that only what is known counts.

A group is everything that shares a payment intent, charge, invoice, subscription or customer.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from tracknow_static.relay.sales.objects import (
    CHARGE,
    DISPUTE,
    EXPIRED,
    FAILED,
    INVOICE,
    PAID,
    SESSION,
    UNPAID,
    Object,
)
from tracknow_static.tracknow import is_click_id

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Sequence

# A Checkout Session lives for a day (docs.stripe.com/api/checkout/sessions/create, expires_at): its
# first charge comes within it.
_SESSION_SECONDS = 90_000
# Between a charge that is begun and its invoice that is paid: delayed methods take two weeks.
_INVOICE_SECONDS = 15 * 86_400

# An appeal against a decision is open, too (docs.stripe.com/api/disputes/object).
_OPEN = frozenset(
    {"needs_response", "under_review", "appeal_needs_response", "appeal_under_review"}
)
_AT = attrgetter("at")


class Sale(NamedTuple):
    """One purchase, as the table ``sales`` holds it. Amounts are in the currency's minor unit.

    ``verdict`` is the one that follows from what Stripe sent; the deliveries may change it.
    ``renews`` is the session whose click id a later charge has. ``dispute`` is ``open``, ``won``
    or ``lost``.
    """

    id: str
    created: int
    month: int
    verdict: str
    amount: int | None
    currency: str | None
    mode: str | None
    payment_status: str | None
    payment_link: str | None
    reference: str | None
    customer: str | None
    promotion_code: str | None
    charge: str | None
    renews: str | None
    refunded: int
    refunded_at: int | None
    dispute: str | None
    livemode: bool | None
    account: str | None
    source: str


class Derived(NamedTuple):
    """The sales of some objects, and to which of them each object belongs, by ids."""

    sales: list[Sale]
    belongs: dict[str, str]


def derive(objects: Iterable[Object], *, click_id: re.Pattern[str] | None = None) -> Derived:
    """Return the sales that the objects make; the order of the objects does not matter.

    ``objects`` are whole groups. A reference that ``click_id`` does not match is none.
    """
    derived = Derived([], {})
    for group in groups(objects):
        _Group(group, click_id).into(derived)
    return derived


def keys(of: Object) -> list[tuple[str, str]]:
    """Return what joins an object with others: pairs of the kind of key and the key."""
    found = [
        (name, value)
        for name in ("payment_intent", "charge", "invoice", "subscription", "customer")
        if (value := getattr(of, name)) is not None
    ]
    if of.kind in (CHARGE, INVOICE):
        found.append((of.kind, of.id))
    return found


def groups(objects: Iterable[Object]) -> list[list[Object]]:
    """Return the objects in groups; those of different groups have nothing in common."""
    objects = sorted(objects)
    parents: dict[object, object] = {}

    def root(key: object) -> object:
        while (parent := parents.setdefault(key, key)) != key:
            parents[key] = parents[parent]
            key = parent
        return key

    for member in objects:
        for key in keys(member):
            parents[root(key)] = root(member.id)
    found: dict[object, list[Object]] = defaultdict(list)
    for member in objects:
        found[root(member.id)].append(member)
    return list(found.values())


class _Group:
    """The objects of one group, joined."""

    def __init__(self, objects: Sequence[Object], click_id: re.Pattern[str] | None) -> None:
        of = defaultdict(list)
        for member in sorted(objects, key=lambda member: (member.at, member.id)):
            of[member.kind].append(member)
        self._charges, self._invoices = of[CHARGE], of[INVOICE]
        self._disputes: dict[object, list[Object]] = defaultdict(list)
        for dispute in of[DISPUTE]:
            for key in {dispute.charge, dispute.payment_intent} - {None}:
                self._disputes[key].append(dispute)
        # A session that only sets up a payment method is no purchase.
        self._sessions = [one for one in of[SESSION] if one.mode != "setup"]
        self._click_id = click_id
        self._invoice_of = self._match_invoices()
        self._charge_of = self._match_sessions()
        self._first = self._first_sessions()

    def into(self, derived: Derived) -> None:
        """Add the sales of the group."""
        taken = set()
        for session in self._sessions:
            charge = self._charge_of.get(session.id)
            members = [session]
            if charge is not None:
                taken.add(charge.id)
                members.append(charge)
            self._add(derived, session, charge, None, members)
        for charge in self._charges:
            if charge.id not in taken:
                self._add(derived, charge, charge, self._renewed(charge), [charge])

    # -- joins --------------------------------------------------------------------------------

    def _match_invoices(self) -> dict[str, Object]:
        """Return the invoice of each charge, by what names it, or else by amount and time."""
        by_id = {one.id: one for one in self._invoices}
        by_charge = {one.charge: one for one in self._invoices if one.charge}
        by_intent = {one.payment_intent: one for one in self._invoices if one.payment_intent}
        found: dict[str, Object] = {}
        for charge in self._charges:
            named = (
                by_id.get(charge.invoice or "")
                or by_charge.get(charge.id)
                or by_intent.get(charge.payment_intent or "")
            )
            if named is not None:
                found[charge.id] = named
        used = {one.id for one in found.values()}
        # Since API version 2025-03-31 neither names the other.
        own = {one.payment_intent for one in self._sessions if one.mode != "subscription"}
        _nearest(
            [one for one in self._invoices if one.id not in used and one.amount],
            [
                charge
                for charge in self._charges
                if charge.id not in found and charge.payment_intent not in own - {None}
            ],
            (-_INVOICE_SECONDS, _INVOICE_SECONDS),
            lambda _invoice, _charge: True,
            lambda invoice, charge: found.setdefault(charge.id, invoice),
        )
        return found

    def _match_sessions(self) -> dict[str, Object]:
        """Return the charge that paid each session."""
        by_intent = {one.payment_intent: one for one in self._charges if one.payment_intent}
        by_invoice = {
            invoice.id: charge
            for charge in self._charges
            if (invoice := self._invoice_of.get(charge.id))
        }
        found: dict[str, Object] = {}
        for session in self._sessions:
            charge = by_intent.get(session.payment_intent or "")
            charge = charge or by_invoice.get(session.invoice or "")
            if charge is not None:
                found[session.id] = charge
        used = {one.id for one in found.values()}
        _nearest(
            [one for one in self._sessions if one.id not in found and _subscribes(one)],
            [one for one in self._charges if one.id not in used],
            (-60, _SESSION_SECONDS),
            self._may_pay,
            lambda session, charge: found.setdefault(session.id, charge),
        )
        return found

    def _may_pay(self, session: Object, charge: Object) -> bool:
        """Whether nothing in the charge's invoice is against the session."""
        invoice = self._invoice_of.get(charge.id)
        if invoice is None:
            return True
        other = session.invoice is not None and session.invoice != invoice.id
        subscriptions = {session.subscription, invoice.subscription} - {None}
        return not other and len(subscriptions) < 2

    def _first_sessions(self) -> dict[tuple[str, object], Object]:
        """Return the first session of each subscription and customer, by kind of key and key.

        Of a customer, the first one that began a subscription counts, and the first one of all.
        """
        found: dict[tuple[str, object], Object] = {}
        for session in self._sessions:
            if session.subscription:
                found.setdefault(("subscription", session.subscription), session)
            if session.customer and _completed(session):
                found.setdefault(("customer", session.customer), session)
                if _subscribes(session):
                    found.setdefault(("subscriber", session.customer), session)
        return found

    def _renewed(self, charge: Object) -> Object | None:
        """Return the session that a later charge of the same customer goes back to."""
        invoice = self._invoice_of.get(charge.id)
        if invoice and (session := self._first.get(("subscription", invoice.subscription))):
            return session
        for kind in ("subscriber", "customer"):
            session = self._first.get((kind, charge.customer))
            if session and session.at <= charge.at + 60:
                return session
        return None

    # -- one sale -----------------------------------------------------------------------------

    def _add(
        self,
        derived: Derived,
        main: Object,
        charge: Object | None,
        renewed: Object | None,
        members: list[Object],
    ) -> None:
        disputes = []
        if charge is not None:
            named = {*self._disputes[charge.id], *self._disputes[charge.payment_intent]}
            disputes = sorted(named)
        invoice = self._invoice_of.get(charge.id) if charge else None
        members += [*disputes, *([invoice] if invoice else [])]
        reference = (renewed or main).reference
        status = main.status if charge is None else PAID
        created = main.at if main.created or charge is None else charge.at
        moment = time.gmtime(max(0, min(created, 2**36)))
        amount = main.amount
        if amount is None and charge is not None:
            amount = charge.amount
        customer = main.customer or (charge.customer if charge else None)
        dispute = _dispute(disputes)
        refunded = 0 if charge is None else max(0, charge.refunded)
        sale = Sale(
            id=main.id,
            created=created,
            month=moment.tm_year * 100 + moment.tm_mon,
            verdict="",
            amount=amount,
            currency=main.currency or (charge.currency if charge else None),
            mode=main.mode or (renewed.mode if renewed else None),
            payment_status=status,
            payment_link=(renewed or main).payment_link,
            reference=reference,
            customer=customer,
            promotion_code=main.promotion_code,
            charge=charge.id if charge else None,
            renews=renewed.id if renewed else None,
            refunded=refunded,
            refunded_at=charge.refunded_at if charge else None,
            dispute=dispute,
            livemode=main.livemode,
            account=main.account,
            source=min(one.source for one in members[:2]),
        )
        whole = charge.amount if charge and charge.amount is not None else amount
        verdict = _verdict(sale, whole, self._click_id, forwarded=main.forwarded)
        derived.sales.append(sale._replace(verdict=verdict))
        derived.belongs.update((one.id, main.id) for one in members)


def _nearest(
    wanting: Sequence[Object],
    offered: Sequence[Object],
    window: tuple[int, int],
    fits: Callable[[Object, Object], bool],
    join: Callable[[Object, Object], object],
) -> None:
    """Join pairs of one customer with the same amount and currency, the nearest in time first.

    ``offered`` is in the order of time; ``window`` bounds the seconds by which it may be later.
    """
    by_value: dict[tuple[object, ...], list[Object]] = defaultdict(list)
    for offer in offered:
        by_value[offer.customer, offer.amount, offer.currency].append(offer)
    pairs = []
    for seeker in wanting:
        if seeker.customer is None or seeker.amount is None:
            continue
        like = by_value[seeker.customer, seeker.amount, seeker.currency]
        first = bisect_left(like, seeker.at + window[0], key=_AT)
        last = bisect_right(like, seeker.at + window[1], key=_AT)
        pairs += [
            (abs(seeker.at - offer.at), seeker.id, offer.id, seeker, offer)
            for offer in like[first:last]
            if fits(seeker, offer)
        ]
    used: set[str] = set()
    for _, _, _, seeker, offer in sorted(pairs):
        if seeker.id not in used and offer.id not in used:
            used |= {seeker.id, offer.id}
            join(seeker, offer)


def _subscribes(session: Object) -> bool:
    return session.mode == "subscription" or session.subscription is not None


def _completed(session: Object) -> bool:
    return session.status not in (EXPIRED, FAILED)


def _dispute(disputes: Sequence[Object]) -> str | None:
    """Return the state of a charge's disputes; an inquiry takes no money and is none.

    One whose payload was purged, or has a state that is not known, counts as open.
    """
    states = {one.status or "needs_response" for one in disputes}
    if "lost" in states:
        return "lost"
    return "open" if states & _OPEN else ("won" if "won" in states else None)


def _verdict(
    sale: Sale, whole: int | None, click_id: re.Pattern[str] | None, *, forwarded: bool
) -> str:
    if sale.livemode is False:
        return "test"
    # A purged payload leaves the state unknown; a completed session is nearly always paid.
    unsold = {EXPIRED: "expired", FAILED: "payment-failed", UNPAID: "unpaid"}
    if sale.payment_status in unsold:
        return unsold[sale.payment_status or ""]
    if not sale.reference:
        return "no-click-id"
    if not is_click_id(sale.reference, click_id):
        return "not-a-click-id"
    if sale.dispute in ("open", "lost"):
        return "disputed"
    if sale.refunded:
        full = whole is not None and sale.refunded >= whole
        return "refunded" if full else "partly-refunded"
    if not forwarded:
        return "waiting"
    return "renewal" if sale.renews else "attributed"
