"""Why a sale has no click id: its payment link is looked for in the inventory of the site.

The inventory is the manifest of the site's build. Stripe's API maps the ``plink_…`` of a sale to the
address that is on the pages. Nothing here fails: what cannot be found out is a sentence in
:attr:`Site.missing`, and the reasons then are coarser.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tracknow_static.errors import TracknowError
from tracknow_static.relay.sales.inventory import read_inventory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tracknow_static.account.catalog import Catalog
    from tracknow_static.account.key import ApiKey
    from tracknow_static.manifest import ListedSurface
    from tracknow_static.relay.sales.derive import Sale
    from tracknow_static.relay.sales.inventory import Inventory

NO_CLICK_ID = "no-click-id"
OWN_CODE = "own-code"
AWAITED = "session-awaited"
NOT_ON_SITE = "link-not-on-site"
WITH_SCRIPT = "page-with-script"
WITHOUT_SCRIPT = "page-without-script"

REASONS = {
    WITH_SCRIPT: "The link's pages carry the script: the visitor came without a click, refused "
    "consent, or used another browser.",
    WITHOUT_SCRIPT: "A page with the link does not carry the script.",
    NOT_ON_SITE: "The link is on no page of the site: it was opened from a mail, a QR code or "
    "another site.",
    OWN_CODE: "It was not made by a payment link, and the code that made it set no "
    "client_reference_id. A charge without a Checkout Session cannot carry one.",
    AWAITED: "It is a new charge. Its Checkout Session may still come, and carries the click id if "
    "there is one: look again when TRACKNOW_RELAY_FORWARD_WAIT (15 minutes) is over.",
}
"""The reasons for ``no-click-id``, and for ``waiting`` without one, with their meanings.

The codes are stable."""

_NO_SITE = (
    "To see why a sale has no click id, set --site or TRACKNOW_RELAY_SITE to the URL of your site, "
    "or to its tracknow.json, and STRIPE_API_KEY to a restricted key with Payment Links: Read."
)
_PERMISSION = (
    "Matching sales with the site's links needs a restricted key with Payment Links: Read."
)
# The newest; Stripe lists 100 in an answer.
_MOST_LINKS = 2_000
_SHOWN = 3


class Reason(NamedTuple):
    """Why a sale has no click id, and first pages of the site that show it."""

    code: str
    pages: tuple[str, ...] = ()

    def __str__(self) -> str:
        meaning = REASONS.get(self.code, "")
        if not self.pages:
            return meaning
        more = ", …" if len(self.pages) > _SHOWN else ""
        return f"{meaning} Pages: {', '.join(self.pages[:_SHOWN])}{more}."


def is_own_code(sale: Sale) -> bool:
    """Whether no payment link made a sale without a click id.

    Of a session whose payload was purged nobody knows through which link it came.
    """
    known = sale.amount is not None and sale.renews is None
    return sale.verdict == NO_CLICK_ID and known and sale.payment_link is None


class Site:
    """The merchant's site and its payment links; both are read when they are first needed.

    ``place`` is the site's URL, or the path or URL of its manifest; ``key`` returns the API key, or
    raises :class:`TracknowError`. Without a place nothing is read.
    """

    def __init__(self, place: str | None = None, key: Callable[[], ApiKey] | None = None) -> None:
        self._place = place
        self._key = key
        self.missing = ""

    def read(self) -> None:
        """Read both now, not when a sale asks for them."""
        if self._inventory is not None:
            self._catalog  # noqa: B018 - reads it

    def reason(self, sale: Sale) -> Reason | None:
        """Return why a sale has no click id, or none yet; None for a sale of another verdict."""
        if sale.verdict == "waiting" and not sale.reference:
            return Reason(AWAITED)
        if sale.verdict != NO_CLICK_ID:
            return None
        if sale.mode is None and is_own_code(sale):  # a charge: a pricing table makes sessions
            return Reason(OWN_CODE)
        unknown = sale.payment_link is None and not is_own_code(sale)
        return Reason(NO_CLICK_ID) if unknown else self.reason_of(sale.payment_link)

    def reason_of(self, payment_link: str | None) -> Reason:
        """Return why sales through a payment link (``plink_…``) have none; None for no link."""
        if payment_link is None:
            tables = self._of_kind("pricing-table") if self._place else []
            return _on_pages(tables) if tables else Reason(OWN_CODE)
        if self._inventory is None or self._catalog is None:
            return Reason(NO_CLICK_ID)
        if self._is_foreign:
            self.missing = (
                f"{self._inventory.source}: none of its payment links belongs to the account of the "
                f"API key in {self._catalog.mode} mode. Is it another site's, or built with links of "
                "the other mode?"
            )
            return Reason(NO_CLICK_ID)
        if payment_link not in self._known:
            self.missing = (
                f"{payment_link}: the account of the API key has no such payment link in "
                f"{self._catalog.mode} mode."
            )
            return Reason(NO_CLICK_ID)
        # A buy button has a payment link behind it, and does not name it.
        found = self._surfaces.get(payment_link) or self._of_kind("buy-button")
        if found:
            return _on_pages(found)
        return Reason(NO_CLICK_ID if self._inventory.truncated else NOT_ON_SITE)

    @cached_property
    def _inventory(self) -> Inventory | None:
        if self._place is None:
            self.missing = _NO_SITE
            return None
        try:
            return read_inventory(self._place)
        except TracknowError as error:
            self.missing = str(error)
            return None

    @cached_property
    def _catalog(self) -> Catalog | None:
        if self._key is None:
            return None
        try:
            from tracknow_static.account.catalog import read_links
            from tracknow_static.relay.stripe_api import client_of

            key = self._key()
            return read_links(key, client_of(key), most=_MOST_LINKS)
        except TracknowError as error:
            text = str(error).replace("\n", " ")
            self.missing = text if "Payment Links" in text else f"{text} {_PERMISSION}"
            return None

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(link.id for link in self._catalog.links) if self._catalog else frozenset()

    @cached_property
    def _surfaces(self) -> dict[str, list[ListedSurface]]:
        """What leads to each of the account's payment links."""
        found: dict[str, list[ListedSurface]] = defaultdict(list)
        if self._inventory and self._catalog:
            for surface in self._inventory.surfaces:
                if surface.url and (link := self._catalog.look_up(surface.url).link):
                    found[link.id].append(surface)
        return found

    @property
    def _is_foreign(self) -> bool:
        """Whether the inventory has payment links, and none of them is the account's."""
        inventory = self._inventory
        return bool(inventory and any(surface.url for surface in inventory.surfaces)) and not (
            self._surfaces
        )

    def _of_kind(self, kind: str) -> list[ListedSurface]:
        surfaces = self._inventory.surfaces if self._inventory else ()
        return [surface for surface in surfaces if surface.kind == kind]


def _on_pages(surfaces: Iterable[ListedSurface]) -> Reason:
    surfaces = list(surfaces)
    bare = [page for surface in surfaces for page in surface.without_script]
    pages = bare or [page for surface in surfaces for page in surface.pages]
    return Reason(WITHOUT_SCRIPT if bare else WITH_SCRIPT, tuple(dict.fromkeys(pages)))
