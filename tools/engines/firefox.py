"""Firefox, driven through Marionette: the protocol inside Firefox that geckodriver speaks to."""

from __future__ import annotations

import base64
import contextlib
import os
import tempfile
from typing import Any, ClassVar

from marionette_driver.errors import (  # type: ignore[import-untyped]
    MarionetteException,
    NoSuchWindowException,
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
        # A process of the browser that is being killed may still write there.
        self._folder = tempfile.TemporaryDirectory(
            prefix="tracknow-firefox-", ignore_cleanup_errors=True
        )
        try:
            self.marionette = Marionette(
                bin=self.programs["firefox-esr"],
                headless=True,
                workspace=self._folder.name,
                gecko_log=os.path.join(self._folder.name, "gecko.log"),  # noqa: PTH118 - a text, for mozrunner
                prefs=_PREFERENCES,
                app_args=["--width=1280", "--height=900"],
                # Longer than a script may run, and short enough to replace the browser after it.
                socket_timeout=SECONDS + 20,
            )
            # When an answer does not come, the driver would wait for ever for the browser's children.
            self._instance, self.marionette.instance = self.marionette.instance, None
            self.marionette.start_session({"acceptInsecureCerts": True, "pageLoadStrategy": "none"})
            self.marionette.timeout.script = SECONDS
        except BaseException:
            self._quit()
            raise

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
        except NoSuchWindowException:
            pass
        except UnknownException as error:
            # After each action Marionette waits for the page or frame that got the input, which
            # may have left because of it: for the back/forward cache, or for good.
            if not any(name in str(error) for name in _GONE):
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
                # A lost answer is none at all, and would lead to the page itself.
                if (frame := self._run(FIND, arguments)) is None:
                    raise NoSuchWindowException("the page left")
                return driver.switch_to_frame(frame)
            case "top":
                return driver.switch_to_default_content()
        raise ValueError(name)

    def _screenshot(self) -> bytes:
        return base64.b64decode(self.marionette.screenshot(full=False))

    def _quit(self) -> None:
        self.sandbox.kill_all(program="firefox-esr")
        # What a dead browser's driver raises depends on when it died.
        with contextlib.suppress(Exception):
            self.marionette.delete_session(send_request=False)
            self.marionette.cleanup()
        with contextlib.suppress(Exception):
            self._instance.close(clean=True)
        self._folder.cleanup()


# What Firefox's actors throw when their page has left: MarionetteCommandsParent.sys.mjs.
_GONE = ("InactiveActor", "AbortError", "currentWindowGlobal is null")
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
