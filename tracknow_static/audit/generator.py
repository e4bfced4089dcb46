"""The settings of a site whose generator's plugin put the script in, from the generator's own file.

Read when nothing else gives options (a tracknow.toml with severities gives none): the plugin's
options in ``mkdocs.yml``, ``TRACKNOW`` in ``pelicanconf.py``, ``tracknow`` in Sphinx's ``conf.py``.
Python files are read, never run.
"""

from __future__ import annotations

import ast
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknow_static.errors import SettingsError
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.config import Project

_Options = tuple[dict[str, Any], "str | None"]


def with_generators_settings(project: Project, site_dir: str) -> Project:
    """Give the project with the settings of the generator's file, under those of the flags.

    Looks in the current folder, then beside ``site_dir``. Raises :class:`SettingsError` when the
    file holds options that are not accepted, or cannot be read.
    """
    if project.in_file:
        return project
    beside = Path(os.path.realpath(site_dir)).parent
    for folder in dict.fromkeys((Path.cwd(), beside)):
        for name, read in _FILES.items():
            file = folder / name
            if not file.is_file():
                continue
            options = read(file)
            if options is not None:
                return _joined(project, *options, os.path.relpath(file))
    return project


def _joined(project: Project, options: dict[str, Any], url: str | None, source: str) -> Project:
    # The file is checked alone first, so that an error names the place to fix.
    Settings.from_mapping(options, where=source)
    settings = Settings.from_mapping({**options, **project.in_flags})
    site_url = project.site_url or (f"{url.rstrip('/')}/" if url else None)
    return replace(project, settings=settings, site_url=site_url, source=source)


def _mkdocs(file: Path) -> _Options | None:
    try:
        import yaml  # noqa: F401
    except ImportError:  # it comes with MkDocs; a site built elsewhere has to name its settings
        return None
    data = _inherited(file, ())
    plugins = data.get("plugins")
    found = None
    entries = plugins.items() if isinstance(plugins, dict) else map(_entry, plugins or ())
    for name, options in entries:
        if name == "tracknow":
            found = options or {}
    if not isinstance(found, dict):
        return None
    url = data.get("site_url")
    return found, url if isinstance(url, str) else None


def _inherited(file: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    """Read a file of MkDocs over the one that its ``INHERIT`` names.

    Mappings are merged key by key, everything else is replaced
    (mkdocs.org/user-guide/configuration/#configuration-inheritance).
    """
    data = _yaml(file)
    if not isinstance(data, dict):
        return {}
    parent = data.pop("INHERIT", None)
    if not isinstance(parent, str):
        return data
    base = Path(os.path.normpath(file.parent / parent))
    if base in (file, *children):
        raise SettingsError([f"INHERIT: {parent!r} leads back to itself."], where=str(file))
    if not base.is_file():
        raise SettingsError([f"INHERIT: there is no file {parent!r}."], where=str(file))
    return _merged(_inherited(base, (file, *children)), data)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            result[key] = _merged(under, value)
        else:
            result[key] = value
    return result


def _yaml(file: Path) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Knows MkDocs' own tags; what Python objects they name does not matter here."""

    def environment(loader: Any, node: Any) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return os.environ.get(loader.construct_scalar(node))
        *names, last = loader.construct_sequence(node)
        found = next((os.environ[name] for name in names if name in os.environ), None)
        if found is not None:
            return yaml.safe_load(found)
        return os.environ.get(str(last), last) if not names else last

    Loader.add_constructor("!ENV", environment)
    Loader.add_multi_constructor("!", lambda *_: None)
    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    try:
        with file.open("rb") as stream:
            return yaml.load(stream, Loader)  # noqa: S506 - a safe loader with two tags more
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = f"cannot be read: {str(error).partition(chr(10))[0]}"
        raise SettingsError([problem], where=str(file)) from None


def _entry(one: Any) -> tuple[Any, Any]:
    return next(iter(one.items()), (None, None)) if isinstance(one, dict) else (one, {})


def _python(variable: str, address: str) -> Callable[[Path], _Options | None]:
    def read(file: Path) -> _Options | None:
        try:
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError) as error:
            raise SettingsError([f"cannot be read: {error}"], where=str(file)) from None
        values: dict[str, Any] = {}
        for node in tree.body:
            target = _assigned(node)
            if target not in (variable, address):
                continue
            assert isinstance(node, (ast.Assign, ast.AnnAssign))  # noqa: S101
            try:
                values[target] = ast.literal_eval(node.value) if node.value else None
            except ValueError:
                if target == variable:
                    problem = f"{variable}: is computed, so it cannot be read here. Use --config."
                    raise SettingsError([problem], where=str(file)) from None
        options, url = values.get(variable), values.get(address)
        if not isinstance(options, dict):
            return None
        return options, url if isinstance(url, str) and url else None

    return read


def _assigned(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target: ast.expr = node.targets[0]
    elif isinstance(node, ast.AnnAssign):
        target = node.target
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None


_FILES: dict[str, Callable[[Path], _Options | None]] = {
    "mkdocs.yml": _mkdocs,
    "mkdocs.yaml": _mkdocs,
    "pelicanconf.py": _python("TRACKNOW", "SITEURL"),
    "conf.py": _python("tracknow", "html_baseurl"),
}
