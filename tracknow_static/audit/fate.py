"""What the browser makes of a payment surface: whether the click id reaches Stripe through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracknow_static.tracknow import is_reference

if TYPE_CHECKING:
    from tracknow_static.page.surfaces import Surface
    from tracknow_static.settings import Settings

_WITHOUT = ("missing", "excluded", "skipped")


def keeps(surface: Surface, state: str, settings: Settings, *, decorated: bool) -> bool:
    """Whether a sale through it is attributed to the visitor's click, in every browser."""
    return (
        state not in (*_WITHOUT, "stale")
        and decorated
        and surface.kind not in ("refresh", "handler", "script")
        and not _keeps_own(surface, settings)
    )


def fate(surface: Surface, state: str, settings: Settings, *, decorated: bool) -> str:
    """Say in a few words what becomes of it; ``decorated``: its host is one of payment_hosts."""
    if state in _WITHOUT:
        return "click id lost: the page has no script"
    if not decorated:
        return "click id lost: its host is not in payment_hosts"
    if state == "stale":
        return "unclear: the page carries another script"
    if surface.kind == "refresh":
        return "click id lost: a refresh carries none"
    if surface.kind == "handler":
        return "carries the click id in onclick; in other handlers in newer browsers only"
    if surface.kind == "script":
        opened = ", and through window.open" if settings.window_open else ""
        return f"carries the click id in newer browsers only{opened}"
    if _keeps_own(surface, settings):
        return "keeps its own reference: the click id is not sent"
    if surface.reference is not None:
        return "carries the click id, in place of its own reference"
    if surface.kind in ("buy-button", "pricing-table"):
        return "carries the click id, as client-reference-id"
    return "carries the click id"


def _keeps_own(surface: Surface, settings: Settings) -> bool:
    return (
        surface.reference is not None
        and settings.existing_reference == "keep"
        and is_reference(surface.reference)
    )
