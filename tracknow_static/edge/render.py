"""The edge files of a site, made of its settings with Jinja2."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from tracknow_static.edge.files import FILES, MARKER
from tracknow_static.errors import SettingsError
from tracknow_static.tracknow import PLACEHOLDER

if TYPE_CHECKING:
    from tracknow_static.settings import Settings


@dataclass(frozen=True)
class EdgeFile:
    """One file: ``path`` is where it belongs, relative to the project's root folder."""

    path: str
    text: str


def render(host: str, settings: Settings) -> list[EdgeFile]:
    """Return the files that make ``host`` (one of ``HOSTS``) set the cookie on landings.

    The header has to come from the site's own host: Safari keeps such a cookie for its whole age,
    but one that a script wrote for seven days at most (webkit.org, "Intelligent Tracking
    Prevention"). Raises :class:`SettingsError` with ``consent``, which only the browser knows.
    """
    if settings.consent is not None:
        problem = (
            f"consent: {settings.consent!r} does not go with an edge cookie: the server sends it "
            "before the visitor has decided. Leave consent out, or do without this file."
        )
        raise SettingsError([problem])
    values = {
        # Both names match [A-Za-z0-9_-]+ and the domain is a host name: safe in every template.
        "param": settings.param,
        "name": settings.storage_name,
        "seconds": settings.window_days * 86_400,
        "domain": settings.cookie_domain,
        "domain_pattern": re.escape(settings.cookie_domain or ""),
        "first": settings.attribution == "first",
        "gpc": settings.respect_gpc,
        "placeholder": PLACEHOLDER,
        "marker": f"{MARKER} {host}: change the options and run it again, not this file.",
    }
    templates = Environment(
        loader=PackageLoader("tracknow_static.edge"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML, and no value that could break out (see above)
    )
    return [
        EdgeFile(path, templates.get_template(template).render(values, path=path))
        for path, template in FILES[host]
    ]
