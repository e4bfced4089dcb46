"""The whole ``--help`` of every command of both programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tracknow_static.cli import cli as static
from tracknow_static.relay.operate.cli import cli as relay

if TYPE_CHECKING:
    from collections.abc import Iterator


def _walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from _walk(f"{name} {below}", found)


COMMANDS = dict([*_walk("tracknow-static", static), *_walk("tracknow-relay", relay)])


def help_text(name: str) -> str:
    """Return what ``name --help`` prints, in long lines."""
    command = COMMANDS[name]
    context = click.Context(command, info_name=name, max_content_width=10_000)
    context.terminal_width = 10_000
    return command.get_help(context)
