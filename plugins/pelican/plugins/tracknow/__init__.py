"""The plugin for Pelican: every HTML file of the build gets the script.

Pelican imports every installed plugin, enabled or not: this module imports next to nothing.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pelican import signals  # type: ignore[attr-defined]

from tracknow_static.errors import TracknowError

if TYPE_CHECKING:
    from pelican import Pelican  # type: ignore[attr-defined]
    from pelican.generators import Generator  # type: ignore[import-untyped]

    from tracknow_static.page.plugin_build import OptOuts
    from tracknow_static.settings import Settings

log = logging.getLogger(__name__)


def register() -> None:
    """Connect to Pelican; calling it again (``--autoreload`` does) changes nothing."""
    # An error in here would be swallowed by Pelican, and the plugin with it.
    signals.initialized.connect(_check)
    signals.all_generators_finalized.connect(_begin)
    logging.getLogger("pelican").addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Remove the traceback from Pelican's report of an error that the user can fix."""
    if record.exc_info and isinstance(record.exc_info[1], TracknowError):
        record.exc_info = None
    return True


def _settings(settings: dict[str, Any]) -> Settings:
    from tracknow_static.settings import Settings

    return Settings.from_mapping(settings.get("TRACKNOW", {}), where="TRACKNOW")


def _check(pelican: Pelican) -> None:
    _settings(pelican.settings)


@dataclass
class _Build:
    """One build under way, into the folder ``output``; ``within`` is the outermost around it."""

    output: str
    within: str
    opt_outs: OptOuts


_builds: list[_Build] = []


def _begin(generators: list[Generator]) -> None:
    """Read all pages' metadata, and make ``_finish`` run after all other plugins."""
    from tracknow_static.page.plugin_build import OptOuts

    output = os.path.realpath(generators[0].output_path)
    # A build that never ended, by an error, is over when the next one into its folder begins.
    same = [build.output for build in _builds]
    del _builds[same.index(output) if output in same else len(_builds) :]
    # i18n_subsites runs a whole build for each language inside the first, into folders below.
    outer = _builds[0] if _builds and output.startswith(_builds[0].output + os.sep) else None
    within, opt_outs = (outer.output, outer.opt_outs) if outer else (output, OptOuts())
    _builds.append(_Build(output, within, opt_outs))
    for content in generators[0].context["generated_content"].values():
        if content is not None and (value := content.metadata.get("tracknow")) is not None:
            path = os.path.relpath(Path(output, content.save_as), within)
            opt_outs.note(path.replace(os.sep, "/"), str(value), content.source_path)
    signals.finalized.disconnect(_finish)
    signals.finalized.connect(_finish)


def _finish(pelican: Pelican) -> None:
    """Process everything that the build has written, whichever plugin wrote it."""
    from tracknow_static.errors import SiteError
    from tracknow_static.page.plugin_build import finish

    build = _builds.pop()
    if build.within != build.output:
        return
    failed = finish(
        build.output,
        _settings(pelican.settings),
        log,
        generator="pelican",
        site_url=pelican.settings["SITEURL"],
        opt_outs=build.opt_outs,
        print_summary=_print_summary,
    )
    if failed:
        raise SiteError(failed)


def _print_summary(summary: str) -> None:
    """Print the summary as Pelican prints its own: its log shows warnings only."""
    from pelican.log import console  # type: ignore[import-untyped]

    if log.isEnabledFor(logging.ERROR):
        console.print(summary, markup=False, highlight=False, soft_wrap=True)
