"""Options that several commands declare alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_JSON = f"{__name__}.json"


def format_option(*more: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add ``--format text|json`` and ``--json``, its short form, to a command.

    The command's function gets the chosen name as ``output_format``. ``more`` adds names after
    ``text`` and ``json``, such as ``github`` and ``sarif``.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        short = click.option(
            "--json",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_remember,
            help="Short for --format json.",
        )
        full = click.option(
            "--format",
            "output_format",
            type=click.Choice(["text", "json", *more]),
            default="text",
            show_default=True,
            callback=_choose,
            help="Format of the output.",
        )
        return full(short(command))

    return decorate


# --fail-on: the severities that make the exit code 1.
FAILING = {"error": ("error",), "warning": ("error", "warning"), "never": ()}
FAIL_ON_ATTENTION = "a finding of the severity in --fail-on, or a worse one"


def fail_on_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that reports findings ``--fail-on``; its function gets ``fail_on``."""
    return click.option(
        "--fail-on",
        type=click.Choice(list(FAILING)),
        default="error",
        show_default=True,
        help="Lowest severity of a finding that makes the exit code 1.",
    )(command)


def _remember(context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001, RUF100
    context.meta[_JSON] = value


def _choose(context: click.Context, option: click.Parameter, value: str) -> str:
    if not context.meta.get(_JSON):
        return value
    source = context.get_parameter_source(option.name or "")
    if value != "json" and source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError(f"--json and --format {value} exclude each other: use one of them.")
    return "json"
