"""The ``tracknow-static`` command; each subcommand is imported only when it is called."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import click

from tracknow_static import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Place(NamedTuple):
    module: str
    attribute: str
    extra: str | None = None  # what `pip install 'tracknow-static[…]'` adds for it


# The order is that of a site's life.
_COMMANDS = {
    "inject": _Place("tracknow_static.page.commands", "inject"),
    "remove": _Place("tracknow_static.page.commands", "remove"),
    "check": _Place("tracknow_static.audit.commands", "check"),
    "csp": _Place("tracknow_static.audit.commands", "csp"),
    "stripe": _Place("tracknow_static.account.commands", "stripe", "stripe"),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        try:
            command = getattr(importlib.import_module(place.module), place.attribute)
        except ModuleNotFoundError as missing:
            return _unavailable(cmd_name, place, missing.name or "")
        assert isinstance(command, click.Command)  # noqa: S101
        return command


def _unavailable(name: str, place: _Place, missing: str) -> click.Command:
    """Stand in for a command whose module or dependency is not installed."""
    extra = f"[{place.extra}]" if place.extra else ""
    need = f"pip install --upgrade 'tracknow-static{extra}'"

    def refuse(**_values: object) -> NoReturn:
        raise click.UsageError(f"{name} needs {missing}, which is not installed: {need}")

    return click.Command(
        name,
        callback=refuse,
        params=[click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)],
        help=f"Not installed: {need}",
        context_settings={"ignore_unknown_options": True},
    )


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tracknow-static")
def cli() -> None:
    """Affiliate attribution for static sites: the click id reaches Stripe."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    cli.main(args=args, prog_name="tracknow-static")
