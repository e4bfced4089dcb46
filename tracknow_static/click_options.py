"""Options that several commands declare alike."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import click

from tracknow_static import exit_codes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    Function = Callable[..., Any]

_JSON = f"{__name__}.json"


class Number(click.FloatRange):
    """A range of numbers; "nan" and "inf" are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def decorated(function: Function, *options: Callable[[Function], Function]) -> Function:
    """Return a command's function with options, which ``--help`` lists in this order."""
    for decorate in reversed(options):
        function = decorate(function)
    return function


def format_option(*more: str) -> Callable[[Function], Function]:
    """Add ``--format text|json`` and ``--json``, its short form, to a command.

    The command's function gets the chosen name as ``output_format``. ``more`` adds names after
    ``text`` and ``json``, such as ``github`` and ``sarif``.
    """

    def decorate(command: Function) -> Function:
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
        return decorated(command, full, short)

    return decorate


# --fail-on: the severities that make the exit code 1.
_FAILING = {"error": ("error",), "warning": ("error", "warning"), "never": ()}


def reporting_command(*codes: int, epilog: str = "") -> Callable[[Function], click.Command]:
    """Make a command of a function that reports findings: ``--format`` and ``--fail-on``.

    The function gets ``output_format`` and ``fail_on``. It can return ``codes`` beside the usual
    exit codes; ``epilog`` follows them in ``--help``.
    """

    def decorate(function: Function) -> click.Command:
        fail_on = click.option(
            "--fail-on",
            type=click.Choice(list(_FAILING)),
            default="error",
            show_default=True,
            help="Lowest severity of a finding that makes the exit code 1.",
        )
        listed = exit_codes.epilog(
            exit_codes.FAILED,
            *codes,
            exit_codes.INTERRUPTED,
            attention="a finding of the severity in --fail-on, or a worse one",
        )
        options = format_option("github", "sarif")(fail_on(function))
        return click.command(epilog=listed + epilog)(options)

    return decorate


def exit_by(severities: Collection[str], fail_on: str) -> None:
    """End with the exit code 1 if one of the findings' ``severities`` is in ``--fail-on``."""
    if any(severity in _FAILING[fail_on] for severity in severities):
        sys.exit(exit_codes.ATTENTION)


def _remember(context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001, RUF100
    context.meta[_JSON] = value


def _choose(context: click.Context, option: click.Parameter, value: str) -> str:
    if not context.meta.get(_JSON):
        return value
    source = context.get_parameter_source(option.name or "")
    if value != "json" and source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError(f"--json and --format {value} exclude each other: use one of them.")
    return "json"
