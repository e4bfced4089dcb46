"""Every option of a site, declared once.

The MkDocs plugin, the Pelican plugin, the Sphinx extension, ``tracknow.toml``, the command line
and the documents' table all read this declaration: an option's name, its default, what it accepts
and what it means are in :class:`Settings` and nowhere else. How they are read is in ``options``.

Importing this module needs the standard library only: Pelican imports every plugin that is
installed, wanted or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracknow_static import rules
from tracknow_static.errors import SettingsError
from tracknow_static.options import declared, option, read

CONSENT_MANAGERS = (
    "material",
    "cookiebot",
    "cookieyes",
    "onetrust",
    "usercentrics",
    "klaro",
    "vanilla-cookieconsent",
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of one site, checked.

    Create it with :meth:`from_mapping`, which checks and normalises; the constructor takes values
    that are right already.
    """

    param: str = option(
        "click_id",
        rules.name(64),
        "URL parameter of the landing page that carries the click id.",
    )
    storage_name: str = option(
        "tn_click_id",
        rules.name(64),
        "Name of the cookie and of the localStorage entry that keep the click id.",
    )
    window_days: int = option(
        365,
        rules.whole_number(1, 400),
        "Attribution window: the number of days for which a stored click id counts.",
    )
    cookie_domain: str | None = option(
        None,
        rules.optional(rules.domain()),
        "Domain of the cookie, when several subdomains share one click id. "
        "A browser that refuses it gets a cookie for the page's own host.",
    )
    attribution: str = option(
        "last",
        rules.choice("last", "first"),
        "Which click earns the commission when a visitor comes through several affiliates.",
    )
    payment_hosts: tuple[str, ...] = option(
        (),
        rules.hosts(),
        "Your own domains for Stripe payment pages, "
        "in addition to buy.stripe.com, book.stripe.com and donate.stripe.com.",
    )
    link_domains: tuple[str, ...] = option(
        (),
        rules.hosts(),
        "Your other domains that carry this script: links to them and to their subdomains "
        "get the click id as a parameter when a visitor follows them.",
    )
    existing_reference: str = option(
        "keep",
        rules.choice("keep", "overwrite"),
        "What to do with a client_reference_id that a link already has.",
    )
    consent: str | None = option(
        None,
        rules.consent(CONSENT_MANAGERS),
        "Consent manager to wait for: nothing is stored before the visitor agrees. "
        "event:NAME waits for a DOM event of that name on document; "
        "an event whose detail is false withdraws consent.",
    )
    consent_category: str | None = option(
        None,
        rules.optional(rules.label(100)),
        "Category or service of the consent manager that covers affiliate attribution; "
        "by default the manager's usual marketing category.",
    )
    respect_gpc: bool = option(
        False,
        rules.flag(),
        "Store nothing for visitors whose browser sends Global Privacy Control.",
    )
    delivery: str = option(
        "split",
        rules.choice("split", "inline", "file"),
        "Where the script is: a small inline part and a cached file (split), "
        "all of it in each page (inline), or all of it in one file (file).",
    )
    asset_dir: str = option(
        "assets",
        rules.folder(),
        "Folder of the built site for the script file.",
    )
    integrity: bool = option(
        False,
        rules.flag(),
        "Give the script file's tag an integrity attribute (Subresource Integrity).",
    )
    nonce: str | None = option(
        None,
        rules.optional(rules.nonce()),
        "Value of the nonce attribute: a placeholder that your server replaces in each response.",
    )
    attributes: tuple[tuple[str, str], ...] = option(
        (),
        rules.attributes(),
        "More attributes of the script tags, for tools that change scripts: "
        "data-cfasync=false keeps Cloudflare's Rocket Loader away.",
    )
    clean_url: bool = option(
        False,
        rules.flag(),
        "Remove the parameter from the address bar once the click id is stored.",
    )
    window_open: bool = option(
        False,
        rules.flag(),
        "Also carry the click id through windows that scripts open: window.open() and click() on a "
        "link that is not in the page, by wrapping both functions.",
    )
    exclude: tuple[str, ...] = option(
        (),
        rules.globs(),
        "Pages to leave unchanged: globs over paths inside the built site, "
        "such as drafts/** or */print.html.",
    )
    test_links: str = option(
        "warn",
        rules.choice("warn", "error", "ignore"),
        "How a build reports a payment link of Stripe's test mode.",
    )
    manifest: bool = option(
        True,
        rules.flag(),
        "Write tracknow.json beside the script file: how the site was built, "
        "for check, csp, inject and remove.",
    )
    enabled: bool = option(
        True,
        rules.flag(),
        "Set to false to switch everything off, for example in local previews.",
    )

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object], *, where: str = "") -> Settings:
        """Check the values a user wrote and return the settings.

        ``mapping`` holds option names and raw values as YAML, TOML, Python or a command line give
        them; ``where`` names their source in an error ("mkdocs.yml", "TRACKNOW").

        Raises :class:`SettingsError` with one sentence for each option that is unknown or has a
        value that is not accepted, and for anything but a mapping.
        """
        if not isinstance(mapping, Mapping):
            problem = f"{mapping!r} is not accepted. Accepted: a table of options and their values."
            raise SettingsError([problem], where=where)
        values, problems = read(OPTIONS, mapping)
        problems = problems or _contradictions(values)
        if problems:
            raise SettingsError(problems, where=where)
        return cls(**values)


OPTIONS = declared(Settings)


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    problems = []
    if values.get("consent_category") is not None and values.get("consent") is None:
        problems.append(
            f"consent_category: {values['consent_category']!r} has no effect without consent. "
            f"Set consent to one of {', '.join(CONSENT_MANAGERS)} or event:NAME."
        )
    if values.get("integrity") and values.get("delivery") == "inline":
        problems.append(
            "integrity: True has no effect with delivery 'inline', which has no script file. "
            "Set delivery to 'split' or 'file', or leave integrity out."
        )
    return problems
