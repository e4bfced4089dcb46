"""Every option, declared once.

The MkDocs plugin, the Pelican plugin, the Sphinx extension, ``tracknow.toml``, the command line
and the README's table all read this one declaration: an option's name, its default, what it
accepts and what it means stand in :class:`Settings` and nowhere else.

Importing this module is cheap: it needs the standard library only, because Pelican imports every
plugin that is installed, wanted or not.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from tracknow_static import rules
from tracknow_static.errors import SettingsError

if TYPE_CHECKING:
    from tracknow_static.rules import Rule

CONSENT_MANAGERS = (
    "material",
    "cookiebot",
    "cookieyes",
    "onetrust",
    "usercentrics",
    "klaro",
    "vanilla-cookieconsent",
)


def _option(default: object, rule: Rule, doc: str) -> Any:
    return field(default=default, metadata={"rule": rule, "doc": doc})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of one site, checked.

    Make it with :meth:`from_mapping`, which checks and normalises; the constructor takes values
    that are right already.
    """

    param: str = _option(
        "click_id",
        rules.name(64),
        "URL parameter of the landing page that carries the click id.",
    )
    storage_name: str = _option(
        "tn_click_id",
        rules.name(64),
        "Name of the cookie and of the localStorage entry that keep the click id.",
    )
    window_days: int = _option(
        365,
        rules.whole_number(1, 400),
        "Attribution window: for how many days a stored click id counts.",
    )
    cookie_domain: str | None = _option(
        None,
        rules.optional(rules.domain()),
        "Domain of the cookie, when several subdomains share one click id. "
        "A browser that refuses it gets a cookie for the page's own host.",
    )
    attribution: str = _option(
        "last",
        rules.choice("last", "first"),
        "Which click earns the commission when a visitor comes through several affiliates.",
    )
    payment_hosts: tuple[str, ...] = _option(
        (),
        rules.hosts(),
        "Your own domains for Stripe payment pages, "
        "beside buy.stripe.com, book.stripe.com and donate.stripe.com.",
    )
    existing_reference: str = _option(
        "keep",
        rules.choice("keep", "overwrite"),
        "What happens to a client_reference_id that a link carries already.",
    )
    consent: str | None = _option(
        None,
        rules.consent(CONSENT_MANAGERS),
        "Consent manager to wait for: nothing is stored before it says yes. "
        "event:NAME waits for a DOM event of that name on document "
        "(its detail being false withdraws).",
    )
    consent_category: str | None = _option(
        None,
        rules.optional(rules.label(100)),
        "Category or service of the consent manager that covers affiliate attribution; "
        "the manager's usual marketing category when not given.",
    )
    respect_gpc: bool = _option(
        False,
        rules.flag(),
        "Store nothing for visitors whose browser sends Global Privacy Control.",
    )
    delivery: str = _option(
        "split",
        rules.choice("split", "inline", "file"),
        "Where the script lives: a small inline part and a cached file, "
        "all of it in each page, or all of it in one file.",
    )
    asset_dir: str = _option(
        "assets",
        rules.folder(),
        "Folder of the built site that takes the script file.",
    )
    integrity: bool = _option(
        False,
        rules.flag(),
        "Give the script file's tag an integrity attribute (Subresource Integrity).",
    )
    nonce: str | None = _option(
        None,
        rules.optional(rules.nonce()),
        "Value of the nonce attribute: a placeholder that your server replaces in each answer.",
    )
    clean_url: bool = _option(
        False,
        rules.flag(),
        "Remove the parameter from the address bar once the click id is stored.",
    )
    window_open: bool = _option(
        False,
        rules.flag(),
        "Also carry the click id through window.open() calls, by wrapping that function.",
    )
    exclude: tuple[str, ...] = _option(
        (),
        rules.globs(),
        "Pages that stay as they are: globs over paths inside the built site, "
        "such as drafts/** or */print.html.",
    )
    test_links: str = _option(
        "warn",
        rules.choice("warn", "error", "ignore"),
        "What a payment link of Stripe's test mode is worth in a build.",
    )
    enabled: bool = _option(
        True,
        rules.flag(),
        "Switch the whole plugin off, for instance in local previews.",
    )

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object], *, where: str = "") -> Settings:
        """Check the values a user wrote and give the settings.

        ``mapping`` holds option names and raw values as YAML, TOML, Python or a command line give
        them; ``where`` names their source in an error ("mkdocs.yml", "TRACKNOW").

        Raises :class:`SettingsError` with one sentence for each option that is unknown or has a
        value that is not accepted, and for what is no mapping at all.
        """
        if not isinstance(mapping, Mapping):
            problem = f"{mapping!r} is not accepted. Accepted: a table of options and their values."
            raise SettingsError([problem], where=where)
        values: dict[str, object] = {}
        problems: list[str] = []
        for key, raw in mapping.items():
            option = OPTIONS.get(key)
            if option is None:
                problems.append(unknown_option(key))
                continue
            try:
                values[key] = option.parse(raw)
            except ValueError as error:
                problems.append(str(error))
        if not problems:
            problems = _contradictions(values)
        if problems:
            raise SettingsError(problems, where=where)
        return cls(**values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Option:
    """One option as its readers see it: ``accepts`` is a phrase for people."""

    name: str
    default: object
    rule: Rule
    doc: str

    @property
    def accepts(self) -> str:
        """What the option accepts, in words."""
        return self.rule.accepts

    @property
    def kind(self) -> str:
        """Shape of the value: ``text``, ``number``, ``flag``, ``choice`` or ``list``."""
        return self.rule.kind

    @property
    def choices(self) -> tuple[str, ...]:
        """All values of a ``choice``; empty for the other kinds."""
        return self.rule.choices

    def parse(self, raw: object) -> object:
        """Turn a raw value into the checked one.

        Raises ``ValueError`` whose text names the option, the value and what is accepted.
        """
        try:
            return self.rule.parse(raw)
        except rules.RefusedError as refused:
            hint = f" {refused}" if str(refused) else ""
            text = f"{self.name}: {raw!r} is not accepted.{hint} Accepted: {self.accepts}."
            raise ValueError(text) from None


def _declared() -> dict[str, Option]:
    declared = {}
    for one in fields(Settings):
        if one.default is MISSING:  # pragma: no cover - every option has a default
            raise TypeError(one.name)
        declared[one.name] = Option(
            one.name, one.default, one.metadata["rule"], one.metadata["doc"]
        )
    return declared


OPTIONS: dict[str, Option] = _declared()


def unknown_option(name: object) -> str:
    """Say that an option does not exist, and which one was meant."""
    close = difflib.get_close_matches(str(name), OPTIONS, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    return f"{name}: unknown option.{meant} Known: {', '.join(OPTIONS)}."


def _contradictions(values: Mapping[str, object]) -> list[str]:
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
