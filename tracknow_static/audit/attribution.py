"""Whether the click id reaches Stripe through a payment surface, by what the browser script does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from tracknow_static.page.contents import ELEMENTS
from tracknow_static.tracknow import is_placeholder, is_reference

if TYPE_CHECKING:
    from tracknow_static.page.contents import Surface
    from tracknow_static.settings import Settings

# "some": in some browsers or cases only; "own-reference": the link keeps the one it has.
Reaches = Literal["always", "some", "never", "own-reference"]


class Attribution(NamedTuple):
    """Whether the click id reaches Stripe, and why, in a few words."""

    reaches: Reaches
    text: str


_NAVIGATION = Attribution(
    "some", "carries the click id in newer browsers (Chromium, Firefox, Safari from 26.2)"
)
# What the kind alone decides.
_BY_KIND = {
    "refresh": _NAVIGATION,
    "handler": _NAVIGATION,
    "script": _NAVIGATION,
    "data": Attribution("some", "depends on the script that reads it"),
    "frame": Attribution("never", "click id lost: nothing is added to the address of a frame"),
    "parameter": Attribution(
        "some", "depends on the page that it leads through; a redirect by script: newer browsers"
    ),
}


def attribution(
    surface: Surface, state: str, settings: Settings, *, known_host: bool
) -> Attribution:
    """Return the attribution of a surface on a page in ``state`` (see :mod:`.page`).

    ``known_host``: its host is Stripe's or one of payment_hosts.
    """
    lost = _lost(surface, state, settings, known_host=known_host)
    if lost:
        return Attribution("never", f"click id lost: {lost}")
    if state == "stale":
        return Attribution("some", "unclear: the page carries another script")
    if surface.how == "open":
        return Attribution("always", "carries the click id, by the option window_open")
    if surface.kind in _BY_KIND:
        return _BY_KIND[surface.kind]
    reference = surface.reference
    if reference is not None:
        own = is_reference(reference) and not is_placeholder(reference)
        if own and settings.existing_reference == "keep":
            return Attribution("own-reference", "keeps its own reference: the click id is not sent")
        return Attribution("always", "carries the click id, in place of its own reference")
    if surface.kind in ELEMENTS:
        return Attribution("always", "carries the click id, as client-reference-id")
    return Attribution("always", "carries the click id")


def _lost(surface: Surface, state: str, settings: Settings, *, known_host: bool) -> str | None:
    if state in ("missing", "excluded", "skipped"):
        return "the page has no script"
    if not known_host:
        return "its host is not in payment_hosts"
    if surface.how == "noscript":
        return "only browsers without scripts see it"
    if surface.how == "open" and not settings.window_open:
        return "a script opens a window; the option window_open carries it"
    if surface.how == "at-once" and settings.delivery == "split":
        return "the page redirects before the script's file is loaded; delivery inline or file"
    if surface.how == "away":
        return "it leads through another site"
    return None
