"""What to do with an account's endpoints: decided before anything is changed, without requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tracknow_static.account.targets import MARK, Endpoint, has_webhook_path, replaced
from tracknow_static.errors import AccountError
from tracknow_static.exit_codes import ATTENTION, CONFLICT
from tracknow_static.tracknow import EVENT_TYPES, WEBHOOK_PATH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from tracknow_static.account.targets import Target

Does = Literal["create", "update", "delete"]

_DIRECT_ROTATION = """\
Refused: the secret of an endpoint that posts to Tracknow directly cannot be rotated from here.
Stripe's API shows a secret only when an endpoint is created, so a rotation needs a second endpoint
for a while, and Tracknow would count each sale of that time twice. (The relay recognises an event
that comes twice; Tracknow documents no such check, nor that it verifies the signature at all.)
What is possible: Dashboard, Developers, Webhooks, the endpoint, Roll secret: Stripe then signs
with both secrets for up to 24 hours. Or move to the relay, whose secret can be rotated here."""


@dataclass(frozen=True)
class Step:
    """One change: what it does, to which endpoint, in words, and the details."""

    does: Does
    text: str
    endpoint: Endpoint | None = None
    changes: dict[str, object] = field(default_factory=dict)
    details: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return what ``--json`` prints."""
        return {
            "does": self.does,
            "endpoint": self.endpoint.id if self.endpoint else None,
            "text": self.text,
            "details": list(self.details),
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
    not_a_relay: Collection[str],
) -> Plan:
    """Return the plan that creates or fixes the endpoint for ``target``, with exactly ``events``.

    Raises :class:`AccountError` when a sale would count twice.
    """
    _refuse_double(target, endpoints, not_a_relay)
    leaving = replaced(endpoints)
    same = [endpoint for endpoint in endpoints if endpoint.same_url(target.url)]
    attention = tuple(
        f"{endpoint.id} is being replaced: finish with `tracknow-static stripe rotate --finish`."
        for endpoint in same
        if endpoint.id in leaving
    )
    attention += tuple(_thin(endpoint) for endpoint in same if endpoint.thin)
    current = [
        endpoint for endpoint in same if endpoint.id not in leaving and not endpoint.thin
    ] or [
        endpoint
        for endpoint in endpoints
        if endpoint.ours
        and endpoint.managed
        and endpoint.metadata[MARK] == target.kind
        and endpoint.id not in leaving
    ]
    if len(current) > 1:
        raise AccountError(_several(current), CONFLICT)
    if current and not current[0].managed:
        raise AccountError(_unmanaged(current[0]), CONFLICT)
    if current:
        return Plan(_fixes(current[0], target, events), attention, current[0])
    text = f"create a webhook endpoint for {target.url}"
    details = [f"events: {', '.join(events)}", "payload: snapshot"]
    if target.kind == "relay" and not has_webhook_path(target.url):
        details.append(f"the relay answers at {WEBHOOK_PATH}: your proxy must map this path to it")
    return Plan((Step("create", text, details=tuple(details)),), attention)


def _fixes(endpoint: Endpoint, target: Target, events: tuple[str, ...]) -> tuple[Step, ...]:
    changes: dict[str, object] = {}
    details = []
    if not endpoint.same_url(target.url):
        changes["url"] = target.url
        details.append(f"URL: {endpoint.url} becomes {target.url}")
    if set(endpoint.events) != set(events):
        changes["enabled_events"] = list(events)
        details += [f"add event {event}" for event in events if event not in endpoint.events]
        details += [f"drop event {event}" for event in endpoint.events if event not in events]
    if not endpoint.enabled:
        changes["disabled"] = False
        details.append("enable it: it is disabled")
    if endpoint.metadata.get(MARK) != target.kind:
        changes["metadata"] = {MARK: target.kind}
        details.append("mark it as ours: it was created by hand")
    if not changes:
        return ()
    text = f"change {endpoint.id} ({endpoint.url})"
    return (Step("update", text, endpoint, changes, tuple(details)),)


def plan_remove(endpoints: Sequence[Endpoint], target: Target | None, ids: Collection[str]) -> Plan:
    """Return the plan that deletes what ``setup`` created, or the endpoints with ``ids``.

    Raises :class:`AccountError` for an id that the account does not have.
    """
    missing = set(ids) - {endpoint.id for endpoint in endpoints}
    if missing:
        text = f"The account has no webhook endpoint {', '.join(sorted(missing))} in this mode."
        raise AccountError(text, ATTENTION)
    attention: tuple[str, ...] = ()
    if ids:
        chosen = [endpoint for endpoint in endpoints if endpoint.id in ids]
        for endpoint in chosen:
            if not endpoint.managed:
                raise AccountError(_unmanaged(endpoint), CONFLICT)
    else:
        meant = [
            endpoint for endpoint in endpoints if target is None or endpoint.same_url(target.url)
        ]
        chosen = [endpoint for endpoint in meant if endpoint.ours and endpoint.managed]
        if target is not None:
            attention = tuple(
                f"{endpoint.id} has this URL but was created by hand; "
                f"to delete it: --id {endpoint.id}"
                for endpoint in meant
                if not endpoint.ours
            )
    return Plan(tuple(map(deletion, chosen)), attention)


def deletion(endpoint: Endpoint) -> Step:
    """Return the step that deletes an endpoint."""
    return Step("delete", f"delete {endpoint.id} ({endpoint.url})", endpoint)


@dataclass(frozen=True)
class Rotation:
    """The endpoint in use and the one it replaces, if a rotation is in progress."""

    current: Endpoint
    old: Endpoint | None


def find_rotation(endpoints: Sequence[Endpoint], target: Target | None) -> Rotation:
    """Return the relay's endpoint. Raises :class:`AccountError` when there is not exactly one."""
    if target is not None and target.kind == "direct":
        raise AccountError(_DIRECT_ROTATION, CONFLICT)
    relays = [
        endpoint
        for endpoint in endpoints
        if endpoint.kind == "relay"
        and endpoint.managed
        and (endpoint.same_url(target.url) if target else endpoint.ours)
    ]
    leaving = replaced(relays)
    current = [endpoint for endpoint in relays if endpoint.id not in leaving]
    if not current and any(endpoint.ours and endpoint.kind == "direct" for endpoint in endpoints):
        raise AccountError(_DIRECT_ROTATION, CONFLICT)
    if not current:
        text = "This account has no endpoint of a relay. Create one: tracknow-static stripe setup"
        raise AccountError(text, ATTENTION)
    if len(current) > 1:
        raise AccountError(_several(current), CONFLICT)
    old = next((endpoint for endpoint in relays if endpoint.id == current[0].replaces), None)
    return Rotation(current[0], old)


def problems(endpoints: Sequence[Endpoint], target: Target | None) -> list[str]:
    """Return one sentence for everything about the endpoints that needs attention."""
    found = []
    leaving = replaced(endpoints)
    concerned = [
        endpoint
        for endpoint in endpoints
        if endpoint.kind and (not target or endpoint.same_url(target.url))
    ]
    if not concerned:
        found.append("No endpoint sends sales to Tracknow: run `tracknow-static stripe setup`.")
    for endpoint in concerned:
        missing = [event for event in EVENT_TYPES if not endpoint.gets(event)]
        if endpoint.thin:
            found.append(_thin(endpoint))
            continue
        if not endpoint.enabled:
            found.append(f"{endpoint.id} is disabled: run setup again to enable it.")
        elif missing:
            found.append(f"{endpoint.id} does not get {', '.join(missing)}: run setup again.")
        if endpoint.id in leaving:
            finish = "`tracknow-static stripe rotate --finish`"
            found.append(f"{endpoint.id} is being replaced: {finish}.")
    counting = [
        endpoint.id
        for endpoint in endpoints
        if endpoint.counts_sales and endpoint.kind and endpoint.id not in leaving
    ]
    if len(counting) > 1:
        ids = ", ".join(counting)
        found.append(f"Sales may count more than once: {ids} each report them. Keep one.")
    return found


def _refuse_double(
    target: Target, endpoints: Sequence[Endpoint], not_a_relay: Collection[str]
) -> None:
    """Raise :class:`AccountError` when others report sales that ``target`` is to report."""
    rivals = [
        endpoint
        for endpoint in endpoints
        if endpoint.id not in not_a_relay and _is_rival(endpoint, target)
    ]
    if rivals:
        raise AccountError("\n".join(_double(target, rivals)), CONFLICT)


def _is_rival(endpoint: Endpoint, target: Target) -> bool:
    if not endpoint.counts_sales or endpoint.kind is None or endpoint.same_url(target.url):
        return False
    if endpoint.kind != target.kind:
        return True
    # Our own endpoint of the same kind gets the new URL; one that was created by hand would stay.
    return endpoint.kind == "direct" and not endpoint.ours


def _double(target: Target, rivals: list[Endpoint]) -> Iterator[str]:
    yield "Refused: every sale would count twice. These endpoints report sales already:"
    for rival in rivals:
        to = "to Tracknow directly" if rival.kind == "direct" else "to a relay, which forwards them"
        by_hand = "" if rival.ours else ", created by hand"
        yield f"  {rival.id}  {rival.url}  ({to}{by_hand})"
    other = "the relay" if target.kind == "relay" else "Tracknow directly"
    yield f"To send sales to {other} instead, remove them first:"
    for rival in rivals:
        if rival.managed:
            yield f"  tracknow-static stripe remove --id {rival.id}"
        else:
            yield f"  {rival.id}: in the Dashboard (Developers, Webhooks)"
    yield "and then run this again. To keep them, there is nothing to do."
    unsure = [rival for rival in rivals if rival.kind == "relay" and not rival.ours]
    if unsure:
        ids = " ".join(f"--not-a-relay {rival.id}" for rival in unsure)
        yield f"If this is not a Tracknow relay but another program of yours: {ids}"


def _several(found: Sequence[Endpoint]) -> str:
    lines = ["Refused: several endpoints do the same, and each of them reports every sale:"]
    for endpoint in found:
        disabled = "" if endpoint.enabled else "  (disabled)"
        lines.append(f"  {endpoint.id}  {endpoint.url}{disabled}")
    lines.append("Keep one, and remove each other one:")
    removable = [endpoint.id for endpoint in found[1:] if endpoint.managed]
    lines += [f"  tracknow-static stripe remove --id {id_}" for id_ in removable]
    return "\n".join(lines)


def _unmanaged(endpoint: Endpoint) -> str:
    return (
        f"Refused: {endpoint.id} ({endpoint.url}) is an event destination that this command "
        "cannot change. Delete it in the Dashboard (Developers, Webhooks) and run this again."
    )


def _thin(endpoint: Endpoint) -> str:
    return (
        f"{endpoint.id} sends thin events to {endpoint.url}; they hold no purchase, so Tracknow "
        "cannot use them. Delete it in the Dashboard (Developers, Webhooks)."
    )
