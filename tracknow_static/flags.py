"""One command-line flag for each option of ``settings``, and the files behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracknow_static import config
from tracknow_static.click_options import decorated
from tracknow_static.settings import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tracknow_static.options import Option

    Function = Callable[..., Any]


def with_settings(function: Function) -> Function:
    """Add the flags of all options, ``--config`` and ``--site-url`` to a command.

    The command's function gets ``project`` (:class:`~tracknow_static.config.Project`) in place of
    the single options. Place it directly above the function: its flags are the last in ``--help``.
    """

    def callback(**values: Any) -> Any:  # noqa: ANN401, RUF100
        return function(project=_project(values), **values)

    callback.__name__ = function.__name__
    callback.__doc__ = function.__doc__
    return decorated(callback, *_flags())


def _flags() -> Iterator[Callable[[Function], Function]]:
    yield click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Read the options from this TOML file "
        f"[default: {config.OWN_FILE}, or [tool.tracknow] in {config.SHARED_FILE}]",
    )
    yield click.option(
        "--site-url",
        help="URL or path that the site is served under; for pages that are served "
        "at any depth, such as 404.html [default: none]",
    )
    for option in OPTIONS.values():
        yield _flag(option)


def _flag(option: Option) -> Callable[[Function], Function]:
    name = "--" + option.name.replace("_", "-")
    default = f"default: {option.default_text or 'none'}"
    if option.kind == "list":
        default = "repeatable"
    common: dict[str, Any] = {"help": f"{option.doc} [{default}]", "default": None}
    if option.kind == "flag":
        return click.option(f"{name}/--no-{name[2:]}", option.name, **common)
    if option.kind == "list":
        return click.option(name, option.name, multiple=True, metavar="TEXT", **common)
    metavar = {"number": "NUMBER", "choice": "|".join(option.choices)}.get(option.kind, "TEXT")
    return click.option(name, option.name, metavar=metavar, **common)


def _project(values: dict[str, Any]) -> config.Project:
    """Remove the settings from a command's parameters and read the project with them.

    Raises :class:`SettingsError` with one line for each problem.
    """
    file = values.pop("config_file")
    given = {name: values.pop(name) for name in ("site_url", *OPTIONS)}
    # "--exclude a,b --exclude c" means three globs, as everywhere else.
    flags = {
        name: ",".join(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value is not None and value != ()
    }
    return config.load(flags, file=file)
