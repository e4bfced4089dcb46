"""Firefox, driven through Marionette: the protocol inside Firefox that geckodriver speaks to."""

from __future__ import annotations

import base64
import contextlib
import os
import tempfile
from typing import Any, ClassVar

from marionette_driver.errors import (  # type: ignore[import-untyped]
    MarionetteException,
    UnknownException,
)
from marionette_driver.marionette import Marionette  # type: ignore[import-untyped]

from tools.engines.browser import FIND, SECONDS, Browser


class Firefox(Browser):
    """Debian's Firefox ESR, headless, with a profile of its own."""

    name = "firefox"
    clicks_in_frames = True
    programs: ClassVar[dict[str, str]] = {"firefox-esr": "/usr/bin/firefox-esr"}

    def _start(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tracknow-firefox-")
        self.marionette = Marionette(
            bin=self.programs["firefox-esr"],
            headless=True,
            workspace=self._folder.name,
            gecko_log=os.path.join(self._folder.name, "gecko.log"),  # noqa: PTH118 - a text, for mozrunner
            prefs=_PREFERENCES,
            app_args=["--width=1280", "--height=900"],
        )
        self.marionette.start_session({"acceptInsecureCerts": True, "pageLoadStrategy": "none"})
        self.marionette.timeout.script = SECONDS

    def _go(self, url: str) -> None:
        self.marionette.navigate(url)

    def _run(self, script: str, arguments: tuple[object, ...], patience: float = SECONDS) -> Any:  # noqa: ARG002
        # sandbox=None: the page's own objects. Names it must see are set on window all the same.
        return self.marionette.execute_script(
            script, script_args=list(arguments), sandbox=None, new_sandbox=False
        )

    def _perform(self, sources: list[dict[str, object]]) -> None:
        try:
            self.marionette.actions.perform(sources)
        except UnknownException as error:
            # After the last action Marionette still waits for the frame that got the input, though
            # the page may have left for the back/forward cache, and the frame with it.
            if "InactiveActor" not in str(error):
                raise
        with contextlib.suppress(MarionetteException):
            self.marionette.actions.release()

    def _command(self, name: str, *arguments: Any) -> Any:
        driver = self.marionette
        match name:
            case "url":
                return driver.get_url()
            case "tabs":
                return driver.window_handles
            case "switch":
                return driver.switch_to_window(arguments[0])
            case "close":
                return driver.close()
            case "back":
                return driver.go_back()
            case "forward":
                return driver.go_forward()
            case "reload":
                return driver.refresh()
            case "cookies":
                return driver.get_cookies()
            case "frame":
                return driver.switch_to_frame(self._run(FIND, arguments))
            case "top":
                return driver.switch_to_default_content()
        raise ValueError(name)

    def _screenshot(self) -> bytes:
        return base64.b64decode(self.marionette.screenshot(full=False))

    def _quit(self) -> None:
        with contextlib.suppress(MarionetteException, OSError):
            self.marionette.quit(in_app=False)
        self.marionette.cleanup()
        self._folder.cleanup()


_PREFERENCES = {
    # Opening a tab by a middle click or with ctrl must not depend on somebody's habits.
    "browser.tabs.opentabfor.middleclick": True,
    "browser.tabs.loadInBackground": True,
    "dom.disable_open_during_load": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    # Partitioned lookups of names that exist only in the sandbox.
    "network.dns.disablePrefetch": True,
    "network.trr.mode": 5,
}
