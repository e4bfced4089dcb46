"""The ``tracknow-relay`` command; each subcommand is imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracknow_static import __version__
from tracknow_static.errors import SettingsError, TracknowError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CODES = """\b
Exit codes:
  0  done, and nothing needs a person
  1  something was not found, or needs a person (see the command)
  2  a wrong option or configuration; nothing was done
  3  the database is out of reach or does not fit this version"""

# name: module. The order is that of a relay's life.
COMMANDS = {
    "variables": "variables",
    "check": "check",
    "migrate": "repair",
    "serve": "run",
    "worker": "run",
    "drain": "run",
    "status": "inspect",
    "list": "inspect",
    "show": "inspect",
    "replay": "repair",
    "resume": "repair",
    "purge": "repair",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"tracknow_static.relay.operate.{COMMANDS[cmd_name]}")
        command = getattr(module, f"{cmd_name}_" if cmd_name == "list" else cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what a user or a database did wrong is said without a traceback."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            for problem in error.problems:
                click.echo(f"Error: {problem}", err=True)
            ctx.exit(2)
        except TracknowError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(3)


@click.group(
    cls=_Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="tracknow-relay")
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read variables from a file of NAME=VALUE lines; those of the environment count first.",
)
def cli(env_file: Path | None) -> None:
    """Take Stripe's events in, keep them safe, and deliver them to Tracknow.

    Everything is configured by environment variables: at least TRACKNOW_NAMESPACE and
    STRIPE_WEBHOOK_SECRET. `tracknow-relay check` says what is set and whether it works.
    """
    if env_file is not None:
        _read(env_file)


def _read(file: Path) -> None:
    from dotenv import dotenv_values

    try:
        found = dotenv_values(file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(
            [f"--env-file: {str(file)!r} cannot be read: {reason}. Accepted: NAME=VALUE lines."]
        ) from None
    for name, value in found.items():
        if value is None:
            raise SettingsError(
                [f"--env-file: {str(file)!r}: {name!r} has no value. Accepted: NAME=VALUE lines."]
            )
        os.environ.setdefault(name, value)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    # Only a user's terminal says in which encoding it can show what is not ASCII.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    cli.main(args=args, prog_name="tracknow-relay")
