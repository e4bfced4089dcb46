"""``variables``: what can be configured, and how it is set here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from tracknow_static.relay.config import VARIABLES
from tracknow_static.relay.operate import output
from tracknow_static.relay.operate.common import json_option, print_json

if TYPE_CHECKING:
    from tracknow_static.relay.variable import Variable


@click.command(short_help="List every variable, its default and its value here.")
@json_option
def variables(as_json: bool) -> None:
    """List every variable with its default, its meaning, and its value here.

    Secrets are shown as "set".
    """
    if as_json:
        rows = [
            {
                "name": one.name,
                "default": default(one),
                "value": value(one),
                "accepts": one.accepts,
                "meaning": one.doc,
            }
            for one in VARIABLES
        ]
        print_json(rows)
        return
    table = output.table("variable", "value", "meaning")
    for one in VARIABLES:
        here = value(one)
        table.add_row(
            one.name, output.clean(here or default(one)), one.doc, style="bold" if here else ""
        )
    output.console().print(table)


def default(one: Variable) -> str:
    """Write a variable's default as it would be set; empty when there is none."""
    if one.shown:
        return one.shown
    if one.default is None or one.secret:
        return ""
    if isinstance(one.default, bool):
        return str(one.default).lower()
    if isinstance(one.default, tuple):
        return ",".join(one.default)
    return f"{one.default:g}" if isinstance(one.default, float) else str(one.default)


def value(one: Variable) -> str | None:
    """Give what the environment sets, or None; of secrets only that they are set."""
    for name in (one.name, f"{one.name}_FILE" if one.secret else one.name):
        found = os.environ.get(name)
        if found:
            return found if name.endswith("_FILE") else "set" if one.secret else found
    return None


def markdown_table() -> str:
    """Give the table of the variables for the README, without a final newline."""
    rows = [
        f"| `{one.name}` | {_cell(one)} | {one.doc} Accepts {one.accepts}. |" for one in VARIABLES
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def _cell(one: Variable) -> str:
    if one.shown:
        return one.shown
    text = default(one)
    return f"`{text}`" if text else "none"
