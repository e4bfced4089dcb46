"""What a page contains that matters, as the reader reports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

SurfaceKind = Literal[
    "link",
    "form",
    "buy-button",
    "pricing-table",
    "handler",
    "script",
    "refresh",
    "data",
    "frame",
    "parameter",
]
# Stripe's own elements, which carry an attribute in place of an address.
ELEMENTS = ("buy-button", "pricing-table")
# "open": a script opens a window; "at-once": a script redirects while the page is parsed; "noscript":
# only browsers without scripts see it; "away": it leads through another site.
How = Literal["", "open", "at-once", "noscript", "away"]

# What other attribution tools load their scripts from, each as its documentation gives it.
VENDORS = {
    "dubcdn.com": "Dub",
    "r.wdfl.co": "Rewardful",
    "cdn.firstpromoter.com": "FirstPromoter",
    "assets.anytrack.io": "AnyTrack",
    "cdn.tolt.io": "Tolt",
    "cdn.promotekit.com": "PromoteKit",
    "assets.endorsely.com": "Endorsely",
    "app.partnero.com": "Partnero",
}
# Words of the elements that only an audit looks for.
MARKUP = (
    b"<base",
    b"http-equiv",
    b"data-tracknow",
    b"client_reference_id",
    *(host.encode() for host in VENDORS),
)


@dataclass(frozen=True)
class Surface:
    """One thing on a page that leads to a payment page.

    ``line`` counts from 1; ``url`` is the address as a browser reads it ("" for a buy button or a
    pricing table); ``reference`` is a client_reference_id that it carries already; ``how`` the page
    leads there, where the kind alone does not decide.
    """

    kind: SurfaceKind
    line: int
    url: str
    test_mode: bool = False
    plain_http: bool = False
    reference: str | None = None
    how: How = ""


class Redirect(NamedTuple):
    """A page that sends its visitor on; ``target`` as written, "" for one computed by a script.

    ``keeps_query``: the script passes the page's query on.
    """

    line: int
    target: str
    by_script: bool
    keeps_query: bool = False


class Positioned(NamedTuple):
    """A policy's text or a base's address, its line and its offset among the elements."""

    line: int
    offset: int
    text: str


@dataclass
class PageContents:
    """What :func:`read` found on a page, in the order of the source.

    ``vendor_line`` is that of Tracknow's own snippet, ``script_offset`` where the first script of
    ours begins. ``vendors`` are lines and names of other attribution tools, ``writers`` the lines of
    scripts that mention client_reference_id.
    """

    surfaces: list[Surface] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    policies: list[Positioned] = field(default_factory=list)
    base: Positioned | None = None
    vendor_line: int | None = None
    script_offset: int | None = None
    vendors: list[tuple[int, str]] = field(default_factory=list)
    writers: list[int] = field(default_factory=list)
