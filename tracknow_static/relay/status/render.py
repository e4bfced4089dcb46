"""Making HTML: the templates, their one style, and a response that allows nothing else.

Everything that a template shows is escaped. The only style is the one whose hash the policy names,
there is no script, and nothing is loaded from anywhere.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from functools import cache, partial
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tracknow_static.relay.operate import output
from tracknow_static.relay.receive.response import Header, Response
from tracknow_static.relay.status.chart import TONES
from tracknow_static.relay.store.model import without_query
from tracknow_static.tracknow import money

if TYPE_CHECKING:
    from collections.abc import Mapping

_HTML = "text/html; charset=utf-8"


@cache
def environment() -> Environment:
    """Return the templates; each escapes what it shows."""
    made = Environment(
        loader=PackageLoader("tracknow_static.relay.status"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["style"] = Markup(style())  # noqa: S704 - ours
    made.filters.update(
        duration=output.duration,
        iso=output.time_of,
        marked=_marked,
        moment=_moment,
        money=_money,
        number=_number,
        segment=partial(quote, safe=""),
        sentence=output.sentence,
        tone=lambda verdict: TONES.get(verdict, "none"),
        without_query=without_query,
    )
    return made


def _number(value: float) -> str:
    return f"{value:,.1f}" if value % 1 else f"{value:,.0f}"


def _money(amount: int | None, currency: str | None) -> str:
    """Write an amount with its thousands apart."""
    return re.sub(r"\d+", lambda found: f"{int(found[0]):,}", money(amount, currency), count=1)


def _moment(seconds: float, exact: bool) -> str:
    """Write a time for people; the year only if it is another one."""
    moment, now = dt.datetime.fromtimestamp(seconds, dt.UTC), dt.datetime.now(dt.UTC)
    year = "" if moment.year == now.year else f" {moment.year}"
    return f"{moment.day} {moment:%b}{year}, {moment:{'%H:%M:%S' if exact else '%H:%M'}}"


def _marked(text: str) -> Markup:
    """Mark what is between backquotes as code."""
    parts = [
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


@cache
def style() -> str:
    """Return the style sheet."""
    return resources.files(__package__).joinpath("templates", "style.css").read_text("utf-8")


@cache
def policy() -> str:
    """Return the Content-Security-Policy: our style, forms that lead back here, nothing else."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def html(template: str, values: Mapping[str, Any]) -> str:
    """Return a template's text."""
    return environment().get_template(template).render(values)


def response(code: int, template: str, values: Mapping[str, Any], *headers: Header) -> Response:
    """Return a page as a response that no cache keeps and no other site shows."""
    return Response.make(
        code,
        _HTML,
        html(template, values).encode("utf-8", "replace"),
        ("Content-Security-Policy", policy()),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("X-Robots-Tag", "noindex, nofollow"),
        *headers,
    )


def message(
    code: int, title: str, text: str, *headers: Header, command: str = "", base: str | None = None
) -> Response:
    """Return a page with one message; with ``base`` it leads back to the others."""
    values = {
        "title": title,
        "text": text,
        "command": command,
        "base": base,
        "here": "",
        "inside": False,
    }
    return response(code, "message.html", values, *headers)
