"""Starting an engine by name."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from tools.engines.browser import Browser, BrowserError

if TYPE_CHECKING:
    from tools.engines.room import Room

ENGINES = {
    "chromium": "tools.engines.selenium_engines:Chromium",
    "firefox": "tools.engines.firefox:Firefox",
    "webkit": "tools.engines.selenium_engines:WebKit",
}


def launch(name: str, room: Room) -> Browser:
    """Start a browser in a room.

    Raises :class:`BrowserError` when its programs are not installed or it does not start.
    """
    module, _, class_name = ENGINES[name].partition(":")
    engine: type[Browser] = getattr(importlib.import_module(module), class_name)
    programs: dict[str, str] = getattr(engine, "programs", {})
    if missing := [path for path in programs.values() if not Path(path).exists()]:
        raise BrowserError(
            f"{name} is not installed: no {', '.join(missing)}. sh tools/install_browsers.sh installs it."
        )
    for attempt in (1, 2):
        try:
            return engine(room)
        except BrowserError:
            raise
        except Exception as error:
            # A browser that fails to start once on a loaded machine starts the second time.
            if attempt == 2:
                raise BrowserError(f"{name} does not start: {error}") from error
    raise AssertionError("unreachable")
