"""The ``tracknow-static`` command; each subcommand is imported only when it is called."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from tracknow_static import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

# name: (module, attribute). The order is that of a site's life.
_COMMANDS = {
    "inject": ("tracknow_static.page.commands", "inject"),
    "remove": ("tracknow_static.page.commands", "remove"),
    "check": ("tracknow_static.audit.commands", "check"),
    "csp": ("tracknow_static.audit.commands", "csp"),
    "stripe": ("tracknow_static.account.commands", "stripe"),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tracknow-static")
def cli() -> None:
    """Affiliate attribution for static sites: the click id reaches Stripe."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    cli.main(args=args, prog_name="tracknow-static")
