"""The settings that a command works with: flags, then a file, then the site's manifest."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from tracknow_static.manifest import find
from tracknow_static.settings import OPTIONS, Settings

if TYPE_CHECKING:
    from tracknow_static.config import Project
    from tracknow_static.manifest import Manifest


def read_manifest(site_dir: str) -> Manifest | None:
    """Return the manifest of the site in a folder; raise ``SettingsError`` for a newer format."""
    return find(os.path.realpath(site_dir)).get("")


def with_manifest(project: Project, manifest: Manifest | None) -> Project:
    """Return the project with a manifest's settings under those of its file and its flags.

    Raises ``SettingsError`` when the options contradict each other.
    """
    if manifest is None:
        return project
    options: dict[str, Any] = {**manifest.options, **project.in_file, **project.in_flags}
    source = project.source if project.in_file else manifest.path
    return replace(
        project,
        settings=Settings.from_mapping(options, where=source),
        site_url=project.site_url or manifest.site_url,
        source=source,
    )


def kept_options(project: Project, manifest: Manifest) -> dict[str, object]:
    """Return the options that come from the manifest alone and differ from their defaults."""
    given = {*project.in_file, *project.in_flags}
    values = asdict(project.settings)
    return {
        name: values[name]
        for name, option in OPTIONS.items()
        if name in manifest.options and name not in given and values[name] != option.default
    }
