"""A group of commands whose modules are imported when a command is called, not for ``--help``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from tracknow_static.errors import TracknowError
from tracknow_static.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Mapping


class Place(NamedTuple):
    """Where a command is defined, and its line in the group's ``--help``.

    ``extra`` is what ``pip install 'tracknow-static[…]'`` adds for it, ``attribute`` its name in
    the module where that differs from the command's.
    """

    module: str
    help: str
    extra: str | None = None
    attribute: str | None = None


class LazyGroup(click.Group):
    """The commands of ``places``, in that order.

    An error meant for the user is printed without a traceback, and ends the program with the
    error's own exit code.
    """

    def __init__(self, *args: Any, places: Mapping[str, Place], **options: Any) -> None:
        super().__init__(*args, **options)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands."""
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; without its extra, a stand-in that reports what to install."""
        place = self.places.get(cmd_name)
        if place is None:
            return None
        try:
            command = getattr(importlib.import_module(place.module), place.attribute or cmd_name)
        except ModuleNotFoundError as missing:
            return _unavailable(cmd_name, place, missing.name or "")
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.help) for name, place in self.places.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except TracknowError as error:
            from tracknow_static.tracknow import clean

            for line in str(error).splitlines():
                click.echo(f"Error: {clean(line)}", err=True)
            ctx.exit(error.exit_code)
        except ModuleNotFoundError as missing:
            # One that a command asks for only when it runs.
            name = ctx.invoked_subcommand or ""
            place = self.places.get(name)
            if place is None or place.extra is None:
                raise
            raise click.UsageError(_lack(name, place, missing.name or "")) from None
        except KeyboardInterrupt:
            click.echo("\ninterrupted", err=True)
            ctx.exit(INTERRUPTED)


def _need(place: Place) -> str:
    extra = f"[{place.extra}]" if place.extra else ""
    return f"pip install --upgrade 'tracknow-static{extra}'"


def _lack(name: str, place: Place, missing: str) -> str:
    return f"{name} needs {missing}, which is not installed: {_need(place)}"


def _unavailable(name: str, place: Place, missing: str) -> click.Command:
    def refuse(**_values: object) -> NoReturn:
        raise click.UsageError(_lack(name, place, missing))

    return click.Command(
        name,
        callback=refuse,
        params=[click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)],
        help=f"Not installed: {_need(place)}",
        context_settings={"ignore_unknown_options": True},
    )
