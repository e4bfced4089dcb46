"""The script of a site, made of its settings: the tag that goes into each page, and the file.

Two parts. **capture** is inline in the page and runs at once: it stores the click id of the landing
URL and adds it to a plain payment link in the moment of the click. **carry** is one file, loaded
after the page is parsed, and does everything else; it also corrects what capture stored. They share
``window.tracknow`` and nothing else is global.

What the browser keeps
    cookie ``tn_click_id`` (``storage_name``): the id; ``path=/; SameSite=Lax; Secure`` (``Secure``
    is left out on http: loopback addresses only), ``max-age`` the window or what is left of it. A
    cookie that holds the id already is not written again: a server may have set it.
    localStorage ``tn_click_id``: the id, as Tracknow's own snippet writes it.
    localStorage ``tn_click_id_at``: ``<milliseconds since 1970> <id> <older ids…>``, when the click
    came; the older ids are references that a page may still hold. It outlives the id itself, so
    that a tab that is restored does not bring back a click whose window is over.
    A value that another snippet wrote, without such a date, counts from when it is first seen. A
    lost cookie is written again from localStorage for what is left of the window, and the reverse.
    While the cookie lives its id counts, and is dated anew. Where nothing can be stored the id
    lives in memory, for the page.

Which id counts
    The first value of ``param`` in the address that Stripe accepts (``[A-Za-z0-9_-]{1,200}``) and
    that is no junk such as ``undefined``, ``null`` or ``CLICK_ID``; "?" separates like "&", a query
    behind the fragment counts, and blanks, quotes and punctuation around the value do not; with
    ``attribution: first`` only when no id is stored. A reload, or a step in the history, counts
    only when nothing was ever stored; a page that changes its address without loading counts.
    Several cookies of the name: the one that localStorage agrees with, else the browser's first;
    with ``cookie_domain`` the page's own one is deleted when the domain's was accepted.

What carries it, and when
    Nothing of the page changes before the visitor acts, but ``client-reference-id`` of
    ``stripe-buy-button`` and ``stripe-pricing-table``, open and closed shadow roots and frames that
    the page writes itself included. In the moment (``click``, ``auxclick``, ``contextmenu``,
    ``dragstart``, ``submit``, ``touchstart``), after the page's own handlers and not if one of them
    prevented the default: ``href`` of ``a``, ``area`` and SVG ``a``, ``action`` and ``formaction`` of
    forms that post, the entries that other forms send (``formdata``), what is dragged; all is put
    back when the browser has read it. Forms that a script sends by ``submit()``. Navigations by
    script where the browser has the Navigation API. ``window_open``: windows that scripts open,
    addresses that an empty one is sent to (scripts get a stand-in for it), and ``click()`` on links
    that are not in the page. ``link_domains``: links to these sites get ``param``.
    A reference that the merchant wrote stays (``existing_reference: keep``) unless Stripe would
    drop it: an empty, invalid or junk one is replaced, and one of ours that a page kept.

Consent
    With ``consent`` nothing is stored and nothing decorated until it is given. Meanwhile the id
    is in memory; after a change of page it is found again in the address of the page before or in
    this tab's history, where the browser keeps it anyway. A refusal deletes cookie, localStorage
    and our references in the page. ``respect_gpc``: Global Privacy Control counts as a refusal.

Interface (``window.tracknow``, once carry has run; before that the object may lack them)
    ``clickId()``: the id or null. ``decorate(url)``: the URL as a text, with the id, and as the
    browser asks for it, if it leads to a payment page.
    ``consent(true | false)``: for any other consent manager. ``ready``: a promise of
    ``window.tracknow`` itself, kept when the store was read. None of them throws.

Debugging: a page with ``tn_debug=1`` in its address, or reached from one, writes codes to the console:
    ``TNB1`` and the id that counts, ``TNB2`` the same, though no store keeps it, ``TNB3`` no id,
    ``TNB4`` and a query that has no id which Stripe takes, ``TNB5`` and the URL or form that is
    decorated (in the moment), ``TNB6`` and a URL with the merchant's own reference, ``TNB7`` consent
    is refused or taken back.

Importing this module is cheap: it needs the standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from tracknow_static.settings import Settings

_DIST = Path(__file__).parent / "dist"

# What the managers call the category that covers affiliate attribution when their users keep the
# names they come with. Material and Klaro come with none: there the name is ours.
CATEGORIES = {
    "material": "affiliate",
    "cookiebot": "marketing",
    "cookieyes": "advertisement",
    "onetrust": "C0004",
    "usercentrics": "marketing",
    "klaro": "tracknow",
    "vanilla-cookieconsent": "marketing",
}

# No content blocker's list matches the name, and no other tool makes it.
_NAME = "carry"
ASSET_PATTERN = re.compile(rf"{_NAME}\.[0-9a-f]{{8}}\.js")


@dataclass(frozen=True)
class Script:
    """One site's script.

    ``inline`` is the text of the script element in the page, ``asset`` the file's content and
    ``asset_path`` its path inside the site; each is None where the delivery has none.
    ``attributes`` are in every tag, ``asset_attributes`` in the file's too.
    """

    inline: str | None
    asset_path: str | None
    asset: bytes | None
    attributes: str = ""
    asset_attributes: str = ""
    integrity: bool = False
    asset_pattern: re.Pattern[str] = ASSET_PATTERN

    @property
    def csp_hash(self) -> str | None:
        """The inline text's source expression for script-src, without quotes; None without any."""
        if self.inline is None:
            return None
        return "sha256-" + _base64(hashlib.sha256(self.inline.encode("ascii")))

    @property
    def capture_tag(self) -> bytes:
        """The inline script element, the same in every page; empty where there is none."""
        if self.inline is None:
            return b""
        return f"<script data-tracknow{self.attributes}>{self.inline}</script>".encode("ascii")

    def carry_tag(self, base: str) -> bytes:
        """Give the file's script element for a page from which ``base`` leads to the root."""
        if self.asset_path is None or self.asset is None:
            return b""
        attributes = self.attributes + self.asset_attributes
        if self.integrity:
            attributes += f' integrity="sha384-{_base64(hashlib.sha384(self.asset))}"'
            if "//" in base:  # another origin's answer can be checked with CORS only
                attributes += " crossorigin"
        source = quote(base + self.asset_path, safe="/:%?#[]@!$'()*+,;=~")
        return f'<script data-tracknow{attributes} src="{source}"></script>'.encode("ascii")

    def tags(self, base: str) -> bytes:
        """Give the whole insertion for a page from which ``base`` leads to the root.

        ``base`` is a URL prefix: "", "../", "/sub/" or a whole URL that ends in a slash.
        """
        return self.capture_tag + self.carry_tag(base)


def compose(settings: Settings) -> Script:
    """Make the script of a site."""
    values = _values(settings)
    capture = _fill(_capture(settings), values)
    carry = ";\n".join(_fill(part, values) for part in _carry(settings)) + ";\n"
    if settings.delivery == "inline":
        return Script(f"{capture};\n{carry}", None, None, _attributes(settings))
    split = settings.delivery == "split"
    asset = (carry if split else f"{capture};\n{carry}").encode("ascii")
    name = f"{_NAME}.{hashlib.sha256(asset).hexdigest()[:8]}.js"
    return Script(
        inline=capture if split else None,
        asset_path=f"{settings.asset_dir}/{name}",
        asset=asset,
        attributes=_attributes(settings),
        # In one file the script must run before what stands after it, such as a redirect.
        asset_attributes=" defer" if split else "",
        integrity=settings.integrity,
    )


def _capture(settings: Settings) -> str:
    variant = "capture"
    if settings.consent is not None:
        variant += ".consent"
    if settings.attribution == "first":
        variant += ".first"
    if settings.consent is not None:
        variant += ".event" if settings.consent.startswith("event:") else ""
    elif settings.cookie_domain is not None:
        variant += ".domain"
    text = _part(variant)
    return f"navigator.globalPrivacyControl||{text}" if settings.respect_gpc else text


def _carry(settings: Settings) -> list[str]:
    parts = []
    if settings.consent is not None:
        parts.append(_part("recall"))
    if settings.clean_url:
        parts.append(_part("clean_url"))
    variant = "carry"
    variant += ".first" if settings.attribution == "first" else ""
    variant += ".overwrite" if settings.existing_reference == "overwrite" else ""
    variant += ".domain" if settings.cookie_domain is not None else ""
    variant += ".linked" if settings.link_domains else ""
    parts.append(_part(variant))
    if settings.respect_gpc:
        parts.append(_part("gpc"))
    if settings.consent is not None:
        parts.append(_part("consent." + settings.consent.partition(":")[0]))
    if settings.window_open:
        parts.append(_part("window_open"))
    return parts


def _values(settings: Settings) -> dict[str, str]:
    manager, _, event = (settings.consent or "").partition(":")
    hosts = r"(buy|book|donate)\.stripe\.com"
    if settings.payment_hosts:
        hosts = "|".join((hosts, *map(re.escape, settings.payment_hosts)))
        hosts = f"({hosts})"
    targets = hosts
    if settings.link_domains:
        linked = "|".join(map(re.escape, settings.link_domains))
        targets = rf"(?:{hosts}|(?:.+\.)?(?:{linked}))"
    return {
        "TN_PARAM": settings.param,
        "TN_NAME": settings.storage_name,
        "TN_SECONDS": str(settings.window_days * 86400),
        "TN_HOSTS": hosts,
        "TN_TARGETS": targets,
        "TN_DOMAIN": f";domain={settings.cookie_domain}" if settings.cookie_domain else "",
        "TN_NOW": _at_once(settings),
        "TN_CATEGORY": _escape(settings.consent_category or CATEGORIES.get(manager, "")),
        "TN_EVENT": event,
        "TN_SUBSCRIBE": f"({_part('subscribe')})",
    }


def _at_once(settings: Settings) -> str:
    """Return the JavaScript for whether the id may be stored without consent."""
    if settings.consent is not None:
        return "0"
    return "!navigator.globalPrivacyControl" if settings.respect_gpc else "1"


def _fill(text: str, values: dict[str, str]) -> str:
    filled = re.sub(r"TN_[A-Z]+", lambda match: values[match[0]], text)
    # A name may hold the word that a browser's search for the page's encoding looks for. Names
    # stand in texts and patterns only, where an escape means the same.
    return re.sub("[cC](?=harset)", lambda match: f"\\x{ord(match[0]):x}", filled)


def _escape(text: str) -> str:
    """Return a text of any characters in ASCII, escaped for a place between quotes."""
    units = text.encode("utf-16-be")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(code) if code < 127 else f"\\u{code:04x}" for code in codes)


def _attributes(settings: Settings) -> str:
    pairs = [("nonce", settings.nonce)] if settings.nonce else []
    return "".join(f' {name}="{value}"' for name, value in (*pairs, *settings.attributes))


def _base64(digest: hashlib._Hash) -> str:
    return base64.b64encode(digest.digest()).decode("ascii")


@cache
def _part(name: str) -> str:
    return (_DIST / f"{name}.js").read_text("ascii")
