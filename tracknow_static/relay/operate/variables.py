"""``variables``: what can be configured, and how it is set here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from tracknow_static import exit_codes
from tracknow_static.click_options import format_option
from tracknow_static.options import is_set
from tracknow_static.relay.config import VARIABLES
from tracknow_static.relay.operate import output

if TYPE_CHECKING:
    from tracknow_static.options import Option


@click.command(epilog=exit_codes.epilog())
@format_option()
def variables(output_format: str) -> None:
    """List every variable with its default, its meaning, and its value here.

    Secrets are shown as "set".
    """
    if output_format == "json":
        rows = [
            {
                "name": variable.name,
                "default": variable.shown or variable.default_text,
                "value": _value(variable),
                "accepts": variable.accepts,
                "meaning": variable.doc,
            }
            for variable in VARIABLES.values()
        ]
        output.print_json(rows)
        return
    for variable in VARIABLES.values():
        value = _value(variable)
        shown = output.clean(value or variable.shown or variable.default_text)
        name = click.style(variable.name, bold=bool(value))
        click.echo(f"{name} = {shown}" if shown else name)
        click.echo(click.wrap_text(variable.doc, 100, "    ", "    "))


def _value(variable: Option) -> str | None:
    """Return what the environment sets, or None; of a secret only that it is set, or its file."""
    if not is_set(variable, os.environ):
        return None
    value = os.environ.get(variable.name)
    if variable.secret:
        return "set" if value else os.environ[f"{variable.name}_FILE"]
    return value
