"""The extension for Sphinx: every HTML file of the build gets the script."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.errors import ConfigError
from sphinx.util import logging

from tracknow_static import __version__
from tracknow_static.errors import SettingsError
from tracknow_static.page.plugin_build import OptOuts, finish
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config
    from sphinx.util.typing import ExtensionMetadata

log = logging.getLogger(__name__)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect to Sphinx."""
    app.add_config_value("tracknow", {}, "", frozenset((dict,)))
    app.connect("config-inited", _check)
    # After the extensions that write pages of their own when a build is over.
    app.connect("build-finished", _finish, priority=900)
    return {"version": __version__, "parallel_read_safe": True, "parallel_write_safe": True}


def _settings(config: Config) -> Settings:
    try:
        return Settings.from_mapping(config.tracknow, where="conf.py, tracknow")
    except SettingsError as error:
        raise ConfigError(str(error)) from None


def _check(app: Sphinx, config: Config) -> None:  # noqa: ARG001
    _settings(config)


def _site_url(config: Config) -> str:
    """Return the URL of the site; the path is that of the 404 page's own files, if there is one."""
    base: str = config.html_baseurl
    if "notfound.extension" in config.extensions:
        base = urljoin(base, config.notfound_urls_prefix or "/")
    return base


def _finish(app: Sphinx, exception: Exception | None) -> None:
    """Process everything that the build has written, whichever extension wrote it."""
    builder = app.builder
    if exception or not isinstance(builder, StandaloneHTMLBuilder):
        return
    # HTML for a help viewer or an e-book, or in JSON for another program.
    if builder.embedded or not builder.out_suffix.endswith(("html", "htm")):
        log.info("tracknow: builder %r writes no site; no script added", builder.name)
        return
    opt_outs = OptOuts()
    for name, metadata in app.env.metadata.items():
        if "tracknow" in metadata:
            path = os.path.relpath(builder.get_outfilename(name), app.outdir).replace(os.sep, "/")
            opt_outs.note(path, metadata["tracknow"], str(app.env.doc2path(name, base=False)))
    failed = finish(
        app.outdir,
        _settings(app.config),
        log,
        generator="sphinx",
        site_url=_site_url(app.config),
        opt_outs=opt_outs,
    )
    if failed:
        log.error("tracknow: %s.", failed)
        app.statuscode = 1
