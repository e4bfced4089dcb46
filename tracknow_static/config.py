"""Where the command line finds its settings: flags, ``tracknow.toml``, ``[tool.tracknow]``.

A flag beats a file. ``tracknow.toml`` beats ``pyproject.toml``, and both are looked for in the
current folder only: a build must not depend on what lies above its own folder.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tracknow_static.errors import SettingsError
from tracknow_static.options import read
from tracknow_static.settings import OPTIONS, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracknow_static.manifest import Manifest

OWN_FILE = "tracknow.toml"
SHARED_FILE = "pyproject.toml"


@dataclass(frozen=True)
class Project:
    """The settings of a project's files and flags.

    ``site_url`` is where the site will be served (for pages such as 404.html that are served at
    any depth; generators' plugins take it from the generator). ``severity`` maps codes of
    findings to ``error``, ``warning``, ``info`` or ``off``; the audit checks both. ``in_file`` and
    ``in_flags`` hold the options as they were given, by name, also those that equal a default.
    """

    settings: Settings
    site_url: str | None
    severity: dict[str, str]
    source: str
    in_file: dict[str, object] = field(default_factory=dict)
    in_flags: dict[str, object] = field(default_factory=dict)

    def with_manifest(self, manifest: Manifest | None) -> Project:
        """Return the project with a manifest's settings under those of its file and its flags.

        Raises :class:`SettingsError` when the options contradict each other.
        """
        if manifest is None:
            return self
        source = self.source if self.in_file else manifest.path
        options: dict[str, Any] = {**manifest.options, **self.in_file, **self.in_flags}
        settings = Settings.from_mapping(options, where=source)
        site_url = self.site_url or manifest.site_url
        return replace(self, settings=settings, site_url=site_url, source=source)

    def kept_from(self, manifest: Manifest) -> dict[str, object]:
        """Return the options that come from the manifest alone and differ from their defaults."""
        given = {*self.in_file, *self.in_flags}
        return {
            name: value
            for name, value in asdict(self.settings).items()
            if name in manifest.options.keys() - given and value != OPTIONS[name].default
        }


def load(flags: Mapping[str, object], *, file: Path | None = None) -> Project:
    """Read the project's settings; ``flags`` come from the command line, ``file`` is a path.

    Raises :class:`SettingsError` for a file that cannot be read or is not TOML, for an unknown
    option and for a value that is not accepted.
    """
    table, source = _table(file)
    in_flags = {name: value for name, value in flags.items() if name != "site_url"}
    given_here, site_url = "site_url" in flags, table.pop("site_url", None)
    site_url = _site_url(flags.get("site_url", site_url), "" if given_here else source)
    severity = _severity(table.pop("severity", {}), source)
    # The file is checked alone first, so that an error names the place to fix.
    _, problems = read(OPTIONS, table)
    if problems:
        raise SettingsError(problems, where=source)
    settings = Settings.from_mapping({**table, **in_flags}, where="" if in_flags else source)
    return Project(settings, site_url, severity, source, table, in_flags)


def _table(file: Path | None) -> tuple[dict[str, Any], str]:
    if file is not None:
        return _section(file), str(file)
    if Path(OWN_FILE).is_file():
        return _section(Path(OWN_FILE)), OWN_FILE
    if Path(SHARED_FILE).is_file():
        return _section(Path(SHARED_FILE)), f"{SHARED_FILE} [tool.tracknow]"
    return {}, "defaults"


def _section(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            data: dict[str, Any] = tomllib.load(stream)
    except OSError as error:
        raise SettingsError([f"cannot be read: {error.strerror}"], where=str(file)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"is not TOML: {error}"], where=str(file)) from None
    if file.name != SHARED_FILE:
        return data
    section = data.get("tool", {}).get("tracknow", {})
    if not isinstance(section, dict):
        problem = f"tool.tracknow: {section!r} is not accepted. Accepted: a table of options."
        raise SettingsError([problem], where=str(file))
    return dict(section)


def _site_url(raw: object, source: str) -> str | None:
    if raw is None or raw == "":
        return None
    if isinstance(raw, str) and _is_served_at(raw):
        return raw if raw.endswith("/") else raw + "/"
    accepted = (
        "the URL or the path that the site is served under, such as https://example.com/shop/"
    )
    problem = f"site_url: {raw!r} is not accepted. Accepted: {accepted}."
    raise SettingsError([problem], where=source)


def _is_served_at(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return text.startswith("/") or bool(
            parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
        )
    except ValueError:  # a bracket that is never closed, or a port beyond the last
        return False


def _severity(raw: object, source: str) -> dict[str, str]:
    if isinstance(raw, dict) and all(isinstance(value, str) for value in raw.values()):
        return raw
    problem = (
        f"severity: {raw!r} is not accepted. "
        "Accepted: a table from code to severity, such as TN101 = 'error'."
    )
    raise SettingsError([problem], where=source)
