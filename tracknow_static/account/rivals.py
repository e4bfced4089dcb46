"""Endpoints that would report the same sale once more, and how to refuse that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracknow_static.account.failures import AccountError
from tracknow_static.exit_codes import CONFLICT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from tracknow_static.account.endpoints import Endpoint
    from tracknow_static.account.targets import Target


def refuse_double(
    target: Target, endpoints: Sequence[Endpoint], not_a_relay: Collection[str] = ()
) -> None:
    """Raise :class:`AccountError` when others report sales that ``target`` is to report."""
    rivals = [one for one in endpoints if one.id not in not_a_relay and _rivals(one, target)]
    if rivals:
        raise AccountError("\n".join(_refusal(target, rivals)), CONFLICT)


def _rivals(one: Endpoint, target: Target) -> bool:
    if not one.counts_sales or one.kind is None or one.same_url(target.url):
        return False
    if one.kind != target.kind:
        return True
    # Our own endpoint of the same kind is moved to the new URL; one made by hand would stay.
    return one.kind == "direct" and not one.ours


def _refusal(target: Target, rivals: list[Endpoint]) -> Iterator[str]:
    yield "Refused: every sale would count twice. These endpoints report sales already:"
    for one in rivals:
        to = "to Tracknow directly" if one.kind == "direct" else "to a relay, which forwards them"
        made = "" if one.ours else ", made by hand"
        yield f"  {one.id}  {one.url}  ({to}{made})"
    other = "the relay" if target.kind == "relay" else "Tracknow directly"
    yield f"To send sales to {other} instead, remove them first:"
    for one in rivals:
        if one.managed:
            yield f"  tracknow-static stripe remove --id {one.id}"
        else:
            yield f"  {one.id}: in the Dashboard (Developers, Webhooks)"
    yield "and then run this again. To keep them, there is nothing to do."
    loose = [one for one in rivals if one.kind == "relay" and not one.ours]
    if loose:
        ids = " ".join(f"--not-a-relay {one.id}" for one in loose)
        yield f"If this is no Tracknow relay but something else of yours: {ids}"


def several(found: Sequence[Endpoint]) -> str:
    """Say that several endpoints do the same."""
    lines = ["Refused: several endpoints do the same, and each sale is reported by every one:"]
    lines += [f"  {one.id}  {one.url}{'' if one.enabled else '  (disabled)'}" for one in found]
    lines.append("Keep one, and remove each other one:")
    lines += [f"  tracknow-static stripe remove --id {one.id}" for one in found[1:] if one.managed]
    return "\n".join(lines)


def unmanaged(one: Endpoint) -> str:
    """Say that an event destination has to be changed by hand."""
    return (
        f"Refused: {one.id} ({one.url}) is an event destination that this command cannot change. "
        "Delete it in the Dashboard (Developers, Webhooks) and run this again."
    )
