"""One command-line flag for each option of ``settings``, and the files behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracknow_static import config
from tracknow_static.errors import SettingsError
from tracknow_static.settings import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.settings import Option


def _flag(option: Option) -> click.Option:
    name = "--" + option.name.replace("_", "-")
    common: dict[str, Any] = {"help": f"{option.doc} [{_default(option)}]", "default": None}
    if option.kind == "flag":
        return click.Option([f"{name}/--no-{name[2:]}", option.name], **common)
    if option.kind == "list":
        return click.Option([name, option.name], multiple=True, metavar="TEXT", **common)
    metavar = {"number": "NUMBER", "choice": "|".join(option.choices)}.get(option.kind, "TEXT")
    return click.Option([name, option.name], metavar=metavar, **common)


def _default(option: Option) -> str:
    if option.kind == "list":
        return "repeatable"
    if option.default is None:
        return "default: none"
    return f"default: {str(option.default).lower() if option.kind == 'flag' else option.default}"


def settings_flags(command: click.Command) -> click.Command:
    """Give a command a flag for every option, ``--config`` and ``--site-url``."""
    command.params.extend(
        [
            click.Option(
                ["--config", "config_file"],
                type=click.Path(path_type=Path, dir_okay=False),
                help="Read the options from this TOML file "
                f"[default: {config.OWN_FILE}, or [tool.tracknow] in {config.SHARED_FILE}]",
            ),
            click.Option(
                ["--site-url"],
                help="URL or path that the site is served under; for pages that are served "
                "at any depth, such as 404.html [default: none]",
            ),
            *(_flag(option) for option in OPTIONS.values()),
        ]
    )
    return command


def project(values: dict[str, Any]) -> config.Project:
    """Take the settings out of a command's parameters (the rest stays in ``values``).

    Raises :class:`click.UsageError` (exit code 2) with one line for each problem.
    """
    file = values.pop("config_file")
    names = ["site_url", *OPTIONS]
    given = {name: values.pop(name) for name in names}
    flags = {name: value for name, value in given.items() if value is not None and value != ()}
    try:
        return config.load(_joined(flags), file=file)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


def _joined(flags: dict[str, Any]) -> dict[str, Any]:
    # "--exclude a,b --exclude c" means three globs, as in the other ways in.
    return {
        name: ",".join(value) if isinstance(value, tuple) else value
        for name, value in flags.items()
    }


def with_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a click callback: it gets ``project`` in place of the single options."""

    def callback(**values: Any) -> Any:  # noqa: ANN401, RUF100
        return function(project=project(values), **values)

    callback.__name__ = function.__name__
    callback.__doc__ = function.__doc__
    return callback
