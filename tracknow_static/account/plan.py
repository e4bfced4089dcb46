"""Deciding what to do with an account's endpoints: pure, before anything is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tracknow_static.account.endpoints import MARK, REPLACES, Endpoint, replaced
from tracknow_static.account.failures import AccountError
from tracknow_static.account.rivals import refuse_double, several, unmanaged
from tracknow_static.account.targets import ends_as_the_relays
from tracknow_static.exit_codes import ATTENTION, CONFLICT
from tracknow_static.tracknow import WEBHOOK_PATH

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tracknow_static.account.targets import Target

Does = Literal["create", "update", "delete"]


@dataclass(frozen=True)
class Step:
    """One change: what it does, to which endpoint, and in words."""

    does: Does
    text: str
    endpoint: Endpoint | None = None
    changes: dict[str, object] = field(default_factory=dict)
    why: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Give what a script may want."""
        return {
            "does": self.does,
            "endpoint": self.endpoint.id if self.endpoint else None,
            "text": self.text,
            "details": list(self.why),
        }


@dataclass(frozen=True)
class Plan:
    """The steps to take, in order; ``attention`` holds what a person has to know or do."""

    steps: tuple[Step, ...]
    attention: tuple[str, ...] = ()
    endpoint: Endpoint | None = None


def plan_setup(
    target: Target,
    events: tuple[str, ...],
    endpoints: Sequence[Endpoint],
    *,
    not_a_relay: Collection[str] = (),
) -> Plan:
    """Make or mend the endpoint for ``target``, with exactly ``events``.

    Raises :class:`AccountError` when a sale would count twice.
    """
    refuse_double(target, endpoints, not_a_relay)
    leaving = replaced(endpoints)
    same = [one for one in endpoints if one.same_url(target.url)]
    attention = tuple(
        f"{one.id} is being replaced: finish with `tracknow-static stripe rotate --finish`."
        for one in same
        if one.id in leaving
    )
    attention += tuple(thin_text(one) for one in same if one.thin)
    current = [one for one in same if one.id not in leaving and not one.thin]
    if not current:
        current = [
            one
            for one in endpoints
            if one.ours
            and one.managed
            and one.metadata[MARK] == target.kind
            and one.id not in leaving
        ]
    if len(current) > 1:
        raise AccountError(several(current), CONFLICT)
    if current and not current[0].managed:
        raise AccountError(unmanaged(current[0]), CONFLICT)
    if current:
        return Plan(_mend(current[0], target, events), attention, current[0])
    text = f"make a webhook endpoint for {target.url}"
    why = [f"events: {', '.join(events)}", "payload: snapshot"]
    if target.kind == "relay" and not ends_as_the_relays(target.url):
        why.append(f"the relay answers at {WEBHOOK_PATH}: your proxy has to lead this path there")
    return Plan((Step("create", text, why=tuple(why)),), attention)


def thin_text(one: Endpoint) -> str:
    """Say what is wrong with an event destination of thin payloads."""
    return (
        f"{one.id} sends thin events to {one.url}; they hold no purchase, so Tracknow cannot use "
        "them. Delete it in the Dashboard (Developers, Webhooks)."
    )


def _mend(one: Endpoint, target: Target, events: tuple[str, ...]) -> tuple[Step, ...]:
    changes: dict[str, object] = {}
    why = []
    if not one.same_url(target.url):
        changes["url"] = target.url
        why.append(f"URL: {one.url} becomes {target.url}")
    if set(one.events) != set(events):
        changes["enabled_events"] = list(events)
        why += [f"add event {event}" for event in events if event not in one.events]
        why += [f"drop event {event}" for event in one.events if event not in events]
    if not one.enabled:
        changes["disabled"] = False
        why.append("enable it: it is disabled")
    if one.metadata.get(MARK) != target.kind:
        changes["metadata"] = {MARK: target.kind}
        why.append("mark it as ours: it was made by hand")
    if not changes:
        return ()
    return (Step("update", f"change {one.id} ({one.url})", one, changes, tuple(why)),)


def plan_remove(endpoints: Sequence[Endpoint], target: Target | None, ids: Collection[str]) -> Plan:
    """Delete what this command made; by id also what was made by hand.

    Raises :class:`AccountError` for an id that the account does not have.
    """
    missing = set(ids) - {one.id for one in endpoints}
    if missing:
        text = f"The account has no webhook endpoint {', '.join(sorted(missing))} in this mode."
        raise AccountError(text, ATTENTION)
    if ids:
        chosen = [one for one in endpoints if one.id in ids]
        for one in chosen:
            if not one.managed:
                raise AccountError(unmanaged(one), CONFLICT)
    else:
        chosen = [
            one
            for one in endpoints
            if one.ours and one.managed and (target is None or one.same_url(target.url))
        ]
    attention: tuple[str, ...] = ()
    if target is not None and not ids:
        attention = tuple(
            f"{one.id} has this URL but was made by hand; to delete it: --id {one.id}"
            for one in endpoints
            if one.same_url(target.url) and not one.ours
        )
    steps = tuple(Step("delete", f"delete {one.id} ({one.url})", one) for one in chosen)
    return Plan(steps, attention)


@dataclass(frozen=True)
class Rotation:
    """The endpoint in use and the one it replaces, if a rotation is under way."""

    current: Endpoint
    old: Endpoint | None


def find_rotation(endpoints: Sequence[Endpoint], target: Target | None) -> Rotation:
    """Find the relay's endpoint. Raises :class:`AccountError` when there is not exactly one."""
    if target is not None and target.kind == "direct":
        raise AccountError(DIRECT_ROTATION, CONFLICT)
    relays = [
        one
        for one in endpoints
        if one.kind == "relay"
        and one.managed
        and (one.same_url(target.url) if target else one.ours)
    ]
    leaving = replaced(relays)
    current = [one for one in relays if one.id not in leaving]
    if not current and any(one.ours and one.kind == "direct" for one in endpoints):
        raise AccountError(DIRECT_ROTATION, CONFLICT)
    if not current:
        text = "There is no endpoint of a relay here. Make one: tracknow-static stripe setup"
        raise AccountError(text, ATTENTION)
    if len(current) > 1:
        raise AccountError(several(current), CONFLICT)
    old = next((one for one in relays if one.id == current[0].metadata.get(REPLACES)), None)
    return Rotation(current[0], old)


DIRECT_ROTATION = """\
Refused: the secret of an endpoint that posts to Tracknow directly cannot be rotated from here.
Stripe's API tells a secret only when an endpoint is made, so a rotation needs a second endpoint
for a while, and Tracknow would count each sale of that while twice. (The relay recognises the
same event; Tracknow documents no such thing, nor that it checks the signature at all.)
What is possible: Dashboard, Developers, Webhooks, the endpoint, Roll secret: Stripe then signs
with both secrets for up to 24 hours. Or move to the relay, which can be rotated here."""
