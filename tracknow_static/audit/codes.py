"""The findings of an audit beside those of a build, and what each is worth."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Literal, get_args

from tracknow_static.errors import SettingsError
from tracknow_static.page.findings import CODES as BUILD_CODES
from tracknow_static.page.findings import Code, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tracknow_static.page.findings import Severity

Worth = Literal["off", "info", "warning", "error"]

_SEVERITY: dict[str, Severity] = {"info": "note", "warning": "warning", "error": "error"}

_OWN = (
    Code(
        "TN401",
        "error",
        "page without the script",
        "Run `tracknow-static inject`, or build with the plugin; if it is left out on purpose, "
        "name it in the option exclude.",
    ),
    Code(
        "TN402",
        "error",
        "page carries a script of other settings or of another version",
        "Build or inject the site again, with the settings that this audit uses.",
    ),
    Code(
        "TN403",
        "error",
        "page carries the script more than once",
        "Run `tracknow-static inject`: it leaves one.",
    ),
    Code(
        "TN404",
        "warning",
        "the script is not where it is first to run",
        "Run `tracknow-static inject`, after everything else that changes the page.",
    ),
    Code(
        "TN405",
        "error",
        "the script's file is missing or is another one",
        "Run `tracknow-static inject`, and publish that folder with the pages.",
    ),
    Code(
        "TN406",
        "warning",
        "pages carry scripts of different settings",
        "Build or inject the whole site at once.",
    ),
    Code(
        "TN407",
        "note",
        "page that cannot take the script",
        "Mend what keeps the script out, or exclude the page.",
    ),
    Code(
        "TN408",
        "note",
        "excluded page leads to a payment page: sales from here are not attributed",
        "Take it out of the option exclude if they shall be.",
    ),
    Code(
        "TN409",
        "warning",
        "excluded page carries the script all the same",
        "Run `tracknow-static inject`: it takes it out.",
    ),
    Code(
        "TN410",
        "note",
        "all pages carry one and the same script, made of other settings than those of this audit",
        "Name the settings that built the site: --config FILE, or as options.",
    ),
    Code(
        "TN411",
        "warning",
        "redirect without the script: a visitor who lands here loses the click id",
        "Let the page carry the script, or redirect on the server with the query kept.",
    ),
    Code(
        "TN412",
        "warning",
        "redirect to another host: the click id stays behind",
        "Send affiliates to that host directly, or set cookie_domain if it is a subdomain.",
    ),
    Code("TN421", "error", "Content-Security-Policy blocks the script", ""),
    Code("TN422", "error", "Content-Security-Policy blocks Stripe's element", ""),
    Code("TN423", "error", "Content-Security-Policy blocks the form to the payment page", ""),
    Code(
        "TN424",
        "warning",
        "file of headers that cannot be read",
        "Mend it: the host would not understand it either.",
    ),
    Code(
        "TN431",
        "note",
        "base element: relative links of the page start elsewhere",
        "Check that they lead where they should.",
    ),
    Code(
        "TN432",
        "error",
        "base element before the script: its file is looked for elsewhere",
        "Move <meta charset> and then <base> to the beginning of <head>, and inject again.",
    ),
    Code(
        "TN451",
        "error",
        "payment link that the Stripe account does not know",
        "Copy the link from the Dashboard again.",
    ),
    Code(
        "TN452",
        "error",
        "payment link that is deactivated",
        "Activate it in the Dashboard, or put another one in its place.",
    ),
    Code(
        "TN453",
        "error",
        "payment link of test mode, and the API key is of live mode",
        "Put the live link in its place.",
    ),
    Code(
        "TN454",
        "note",
        "payment link of live mode, which a test key cannot check",
        "Run the audit with a restricted live key.",
    ),
    Code(
        "TN455",
        "warning",
        "own domain of the Stripe account's payment links that is not in payment_hosts",
        "Add it to the option payment_hosts: links to it carry no click id.",
    ),
    Code(
        "TN456",
        "note",
        "Stripe's API does not list buy buttons and pricing tables: they are not compared",
        "Check them in the Dashboard.",
    ),
    Code(
        "TN457",
        "warning",
        "buy button or pricing table of the other mode than the API key",
        "Copy its code from the Dashboard in the mode that shall be published.",
    ),
)

CODES: dict[str, Code] = {**BUILD_CODES, **{code.name: code for code in _OWN}}


def found(
    code: str,
    file: str,
    line: int,
    what: str = "",
    remedy: str = "",
    *,
    severity: Severity | None = None,
) -> Finding:
    """Make a finding; ``remedy`` and ``severity`` stand in for the code's own."""
    kind = CODES[code]
    about = f": {what}" if what else ""
    message = f"{kind.meaning}{about}. {remedy or kind.remedy}".strip()
    return Finding(code, severity or kind.severity, file, line, message)


class Scale:
    """What each code is worth in this project.

    Raises :class:`SettingsError` for a code or a word that does not exist.
    """

    def __init__(self, severity: Mapping[str, str], source: str = "") -> None:
        problems = []
        for code, worth in severity.items():
            if code not in CODES:
                close = difflib.get_close_matches(code, CODES, n=1)
                meant = f" Did you mean {close[0]}?" if close else ""
                problems.append(f"severity.{code}: unknown code.{meant}")
            if worth not in get_args(Worth):
                accepted = ", ".join(get_args(Worth))
                problems.append(
                    f"severity.{code}: {worth!r} is not accepted. Accepted: {accepted}."
                )
        if problems:
            raise SettingsError(problems, where=source)
        self._severity = dict(severity)

    def weigh(self, findings: Iterable[Finding]) -> list[Finding]:
        """Give the findings that count, with the severity that the project gives them."""
        if not self._severity:
            return list(findings)
        kept = []
        for one in findings:
            worth = self._severity.get(one.code)
            if worth == "off":
                continue
            severity = _SEVERITY[worth] if worth else one.severity
            kept.append(Finding(one.code, severity, one.file, one.line, one.message))
        return kept
