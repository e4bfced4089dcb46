"""Starting an engine by name."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tools.engines.browser import Browser, BrowserError

if TYPE_CHECKING:
    from tools.engines.sandbox import Sandbox

ENGINES = {
    "chromium": "tools.engines.selenium_engines:Chromium",
    "firefox": "tools.engines.firefox:Firefox",
    "webkit": "tools.engines.selenium_engines:WebKit",
}


def launch(name: str, sandbox: Sandbox) -> Browser:
    """Start a browser in a sandbox.

    Raises :class:`BrowserError` when its programs are not installed or it does not start.
    """
    with warnings.catch_warnings():
        # The drivers use what their own libraries deprecate; we cannot fix that.
        warnings.simplefilter("ignore")
        return _launch(name, sandbox)


def _launch(name: str, sandbox: Sandbox) -> Browser:
    module, _, class_name = ENGINES[name].partition(":")
    engine: type[Browser] = getattr(importlib.import_module(module), class_name)
    if missing := [path for path in engine.programs.values() if not Path(path).exists()]:
        raise BrowserError(
            f"{name} is not installed: no {', '.join(missing)}. sh tools/install_browsers.sh installs it."
        )
    others = sandbox.processes()
    try:
        return engine(sandbox)
    except BrowserError:
        raise
    except Exception:  # noqa: BLE001 - each engine has exceptions of its own
        # What fails to start on a machine under load starts the second time.
        sandbox.kill_all(but=others)
    try:
        return engine(sandbox)
    except Exception as error:
        raise BrowserError(f"{name} does not start: {error}") from error
