"""What a policy for a site has to hold, and what the ones that are there lack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracknow_static.audit.policy import STRIPE_JS

if TYPE_CHECKING:
    from tracknow_static.audit.site import SiteAudit
    from tracknow_static.page.findings import Finding

_POLICY_CODES = ("TN421", "TN422", "TN423", "TN424")
_MOST = 1_000


def advice(audit: SiteAudit) -> tuple[dict[str, list[str]], list[Finding]]:
    """Read the site; give the sources by directive, and the findings about its policies."""
    lacks: dict[tuple[str, str], Finding] = {}
    carrying = False
    for page in audit.pages():
        carrying = carrying or page.state not in ("excluded", "skipped", "unread")
        for one in page.findings:
            if one.code in _POLICY_CODES and len(lacks) < _MOST:
                lacks.setdefault((one.code, one.message), one)
    for one in audit.of_the_site():
        if one.code in _POLICY_CODES:
            lacks[one.file, one.message] = one
    wanted: dict[str, list[str]] = {}
    if carrying:
        wanted["script-src"] = audit.needs.script_sources()
    if audit.elements:
        wanted.setdefault("script-src", []).append(STRIPE_JS)
        wanted["frame-src"] = [STRIPE_JS]
    if audit.forms:
        # Without this directive every form is allowed; with it these have to be in it.
        wanted["form-action"] = ["'self'", *(f"https://{host}" for host in audit.forms)]
    return wanted, list(lacks.values())
