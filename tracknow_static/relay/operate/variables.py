"""``variables``: what can be configured, and how it is set here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from tracknow_static.options import is_set
from tracknow_static.relay.config import VARIABLES
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.common import json_option, print_json

if TYPE_CHECKING:
    from tracknow_static.options import Option


@click.command(short_help="List every variable, its default and its value here.")
@json_option
def variables(as_json: bool) -> None:
    """List every variable with its default, its meaning, and its value here.

    Secrets are shown as "set".
    """
    if as_json:
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
        print_json(rows)
        return
    table = output.table("variable", "value", "meaning")
    for variable in VARIABLES.values():
        value = _value(variable)
        shown = output.clean(value or variable.shown or variable.default_text)
        table.add_row(variable.name, shown, variable.doc, style="bold" if value else "")
    output.console().print(table)


def _value(variable: Option) -> str | None:
    """Return what the environment sets, or None; of a secret only that it is set, or its file."""
    if not is_set(variable, os.environ):
        return None
    value = os.environ.get(variable.name)
    if variable.secret:
        return "set" if value else os.environ[f"{variable.name}_FILE"]
    return value
