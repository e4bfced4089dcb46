"""The plugin for MkDocs and ProperDocs: every HTML file of the build gets the script."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mkdocs.config.base import BaseConfigOption, LegacyConfig, ValidationError
from mkdocs.exceptions import PluginError
from mkdocs.plugins import BasePlugin, event_priority, get_plugin_logger
from mkdocs.utils.meta import get_data

from tracknow_static.errors import SettingsError
from tracknow_static.options import unknown_option
from tracknow_static.page.plugin_build import OptOuts, finish
from tracknow_static.page.site import process_site
from tracknow_static.settings import OPTIONS, Settings

if TYPE_CHECKING:
    from jinja2 import Environment
    from mkdocs.config.base import ConfigErrors, ConfigWarnings
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

log = get_plugin_logger("tracknow")


def _declared(default: object) -> BaseConfigOption[Any]:
    option: BaseConfigOption[Any] = BaseConfigOption()
    option.default = default
    return option


class TracknowPlugin(BasePlugin[LegacyConfig]):  # type: ignore[no-untyped-call]
    """Checks its options as ``settings`` declares them and works on ``site_dir`` at the very end.

    MkDocs keeps one instance over all rebuilds of ``mkdocs serve``, because of ``on_startup``.
    """

    # With `enabled` among them MkDocs 1.6 leaves it to us, as MkDocs 1.5 does.
    config_scheme = tuple((name, _declared(option.default)) for name, option in OPTIONS.items())

    def __init__(self) -> None:
        self.settings = Settings()
        self._opt_outs = OptOuts()
        self._depth = 0
        self._dirty = False

    def load_config(
        self, options: dict[str, Any], config_file_path: str | None = None
    ) -> tuple[ConfigErrors, ConfigWarnings]:
        """Check all options at once: MkDocs itself stops at the first that is not accepted."""
        super().load_config({}, config_file_path)
        warnings = [
            (str(name), _rest(unknown_option(name, OPTIONS))) for name in options.keys() - OPTIONS
        ]
        given = {name: options[name] for name in OPTIONS if options.get(name) is not None}
        try:
            self.settings = Settings.from_mapping(given)
        except SettingsError as error:
            named = [(text.partition(":")[0], _rest(text)) for text in error.problems]
            return [(name, ValidationError(text)) for name, text in named], warnings
        self.config.update(asdict(self.settings))
        return [], warnings

    def on_startup(self, *, command: Literal["build", "gh-deploy", "serve"], dirty: bool) -> None:  # noqa: ARG002
        """Note whether pages that did not change are left as they are."""
        self._dirty = dirty

    def on_config(self, config: MkDocsConfig) -> None:
        """Run a first time before a plugin that signs the pages when the build is over."""
        handlers = config.plugins.events["post_build"]
        for plugin in config.plugins.values():
            if not isinstance(plugin, BasePlugin):  # a hook
                continue
            signs = plugin.config.get("sign_files") and plugin.on_post_build in handlers
            if signs and self._before_signing not in handlers:
                handlers.insert(handlers.index(plugin.on_post_build), self._before_signing)

    def on_pre_build(self, *, config: MkDocsConfig) -> None:  # noqa: ARG002
        """Count builds: mkdocs-static-i18n runs one for each language inside the first."""
        self._depth += 1

    def on_env(self, env: Environment, *, config: MkDocsConfig, files: Files) -> None:  # noqa: ARG002
        """Read the front matter of pages that a dirty build passes over: they get no page event."""
        if not self._dirty:
            return
        for file in files.documentation_pages():
            if file.abs_src_path and not file.is_modified():
                text = Path(file.abs_src_path).read_text("utf-8-sig", "replace")
                self._opt_outs.note(file.dest_uri, get_data(text)[1].get("tracknow"), file.src_uri)

    def on_build_error(self, *, error: Exception) -> None:  # noqa: ARG002
        """Start counting anew."""
        self._depth = 0

    def on_post_page(self, output: str, *, page: Page, config: MkDocsConfig) -> None:  # noqa: ARG002
        """Read the page's front matter, which is gone when the build is over."""
        file = page.file
        self._opt_outs.note(file.dest_uri, page.meta.get("tracknow"), file.src_uri)

    # After minifiers, redirects, print-site and encryption (-200): whatever writes HTML is done.
    @event_priority(-1000)
    def on_post_build(self, *, config: MkDocsConfig) -> None:
        """Process everything that the build has written, whichever plugin wrote it."""
        self._depth -= 1
        if self._depth > 0:
            return
        failed = finish(
            config.site_dir,
            self.settings,
            log,
            generator="mkdocs",
            site_url=config.site_url,
            opt_outs=self._opt_outs,
            prefix="",
        )
        if failed:
            raise PluginError(f"tracknow: {failed}.")

    def _before_signing(self, *, config: MkDocsConfig) -> None:
        """Put the script in; :meth:`on_post_build` reports."""
        if self._depth == 1 and self.settings.enabled:
            process_site(
                config.site_dir,
                self.settings,
                generator="mkdocs",
                site_url=config.site_url,
                opted_out=self._opt_outs.paths,
            )


def _rest(problem: str) -> str:
    """Return a problem without the option's name, which MkDocs puts in front itself."""
    return problem.partition(": ")[2]
