"""Whether the click id reaches Stripe through a payment surface, by what the browser script does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from tracknow_static.tracknow import is_reference

if TYPE_CHECKING:
    from tracknow_static.page.reader import Surface
    from tracknow_static.settings import Settings

# "some": in some browsers or cases only; "own-reference": the link keeps the one it has.
Reaches = Literal["always", "some", "never", "own-reference"]


class Attribution(NamedTuple):
    """Whether the click id reaches Stripe, and why, in a few words."""

    reaches: Reaches
    text: str


def attribution(
    surface: Surface, state: str, settings: Settings, *, known_host: bool
) -> Attribution:
    """Return the attribution of a surface on a page in ``state`` (see :mod:`.page`).

    ``known_host``: its host is Stripe's or one of payment_hosts.
    """
    if state in ("missing", "excluded", "skipped"):
        return Attribution("never", "click id lost: the page has no script")
    if not known_host:
        return Attribution("never", "click id lost: its host is not in payment_hosts")
    if state == "stale":
        return Attribution("some", "unclear: the page carries another script")
    if surface.kind == "refresh":
        return Attribution("never", "click id lost: a refresh carries none")
    if surface.kind == "handler":
        text = "carries the click id in onclick; in other handlers in newer browsers only"
        return Attribution("some", text)
    if surface.kind == "script":
        opened = ", and through window.open" if settings.window_open else ""
        return Attribution("some", f"carries the click id in newer browsers only{opened}")
    if surface.reference is not None:
        if settings.existing_reference == "overwrite" or not is_reference(surface.reference):
            return Attribution("always", "carries the click id, in place of its own reference")
        return Attribution("own-reference", "keeps its own reference: the click id is not sent")
    if surface.kind in ("buy-button", "pricing-table"):
        return Attribution("always", "carries the click id, as client-reference-id")
    return Attribution("always", "carries the click id")
