"""Chromium and WebKitGTK, driven by Selenium through the drivers that come with them."""

from __future__ import annotations

import base64
import contextlib
import os
import select
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.remote.command import Command
from urllib3.exceptions import HTTPError, ReadTimeoutError

from tools.engines.browser import FIND, SECONDS, Browser, BrowserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.remote.webdriver import WebDriver

_CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--window-size=1280,800",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)


class SeleniumBrowser(Browser):
    """What both have in common."""

    driver: WebDriver

    def _go(self, url: str) -> None:
        self.driver.get(url)

    @contextlib.contextmanager
    def _patience(self, seconds: float) -> Iterator[None]:
        """Wait so long for an answer; WebKit gives none when the page's process is replaced."""
        config = self.driver.command_executor.client_config  # type: ignore[union-attr]
        usual, config.timeout = config.timeout, seconds
        try:
            yield
        finally:
            config.timeout = usual

    def _run(self, script: str, arguments: tuple[object, ...], patience: float = SECONDS) -> Any:
        with self._patience(patience):
            return self.driver.execute_script(script, *arguments)

    def _perform(self, sources: list[dict[str, object]]) -> None:
        with self._patience(SECONDS), contextlib.suppress(ReadTimeoutError):
            self.driver.execute(Command.W3C_ACTIONS, {"actions": sources})
        # The page may be gone by now, and with it what was held down.
        with self._patience(5), contextlib.suppress(WebDriverException, HTTPError):
            self.driver.execute(Command.W3C_CLEAR_ACTIONS)

    def _command(self, name: str, *arguments: Any) -> Any:
        # The library asks three times more when a question is not answered.
        asks = name in ("url", "tabs", "cookies")
        with self._patience(SECONDS / 4 if asks else SECONDS):
            return self._answer(name, *arguments)

    def _answer(self, name: str, *arguments: Any) -> Any:
        driver = self.driver
        match name:
            case "url":
                return driver.current_url
            case "tabs":
                return driver.window_handles
            case "switch":
                return driver.switch_to.window(arguments[0])
            case "close":
                return driver.close()
            case "back":
                return driver.back()
            case "forward":
                return driver.forward()
            case "reload":
                return driver.refresh()
            case "cookies":
                return driver.get_cookies()
            case "frame":
                return driver.switch_to.frame(self._run(FIND, arguments))
            case "top":
                return driver.switch_to.default_content()
        raise ValueError(name)

    def _screenshot(self) -> bytes:
        return base64.b64decode(self.driver.get_screenshot_as_base64())

    def _quit(self) -> None:
        # What a dead browser's driver raises depends on when it died.
        with self._patience(10), contextlib.suppress(Exception):
            self.driver.quit()


class Chromium(SeleniumBrowser):
    """Debian's Chromium in its headless mode, which is the real browser without a window."""

    name = "chromium"
    programs: ClassVar[dict[str, str]] = {
        "chromium": "/usr/bin/chromium",
        "chromedriver": "/usr/bin/chromedriver",
    }

    def _start(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = self.programs["chromium"]
        for flag in _CHROMIUM_FLAGS:
            options.add_argument(flag)
        options.accept_insecure_certs = True
        # Tests wait for what they need; some hold a page's parts back on purpose.
        options.page_load_strategy = "none"
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(self.programs["chromedriver"])
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_script_timeout(SECONDS)

    def resize(self, width: int, height: int) -> None:
        """Return the page exactly this size in CSS pixels, whatever the window around it takes."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.sandbox.call(self.driver.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", size)

    def prefer(self, feature: str, value: str) -> None:
        """Let pages find a preference of the visitor, such as dark colors; empty is the browser's own."""
        features = {"features": [{"name": feature, "value": value}]}
        self.sandbox.call(self.driver.execute_cdp_cmd, "Emulation.setEmulatedMedia", features)


class WebKit(SeleniumBrowser):
    """WebKitGTK's MiniBrowser, which has Safari's engine, on a screen in memory."""

    name = "webkit"
    programs: ClassVar[dict[str, str]] = {
        "WebKitWebDriver": "/usr/bin/WebKitWebDriver",
        "Xvfb": "/usr/bin/Xvfb",
    }
    _browsers = "/usr/lib/*/webkit2gtk-4.1/MiniBrowser"

    def _start(self) -> None:
        found = sorted(Path("/").glob(self._browsers.lstrip("/")))
        if not found:
            raise BrowserError(f"WebKit is not installed: no {self._browsers}")
        self._screen, display = _start_screen()
        options = webdriver.WebKitGTKOptions()
        options.binary_location = str(found[0])
        options.add_argument("--automation")
        options.accept_insecure_certs = True
        options.page_load_strategy = "none"
        service = webdriver.WebKitGTKService(
            self.programs["WebKitWebDriver"],
            env={
                **os.environ,
                "DISPLAY": display,
                "GDK_BACKEND": "x11",
                # The sandbox needs what root in a container does not have.
                "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",
                # There is no bus for accessibility and settings, and nobody waits for one.
                "NO_AT_BRIDGE": "1",
                "LIBGL_ALWAYS_SOFTWARE": "1",
            },
        )
        try:
            self.driver = webdriver.WebKitGTK(options=options, service=service)
        except BaseException:
            self._end_screen()
            raise
        self.driver.set_script_timeout(SECONDS)
        self.driver.set_window_rect(0, 0, 1280, 900)

    def _quit(self) -> None:
        super()._quit()
        self._end_screen()

    def _end_screen(self) -> None:
        self._screen.kill()
        self._screen.wait()


def _start_screen() -> tuple[subprocess.Popen[bytes], str]:
    """Start an X server on a free display; give it and the display's name."""
    readable, writable = os.pipe()
    program = shutil.which("Xvfb") or "/usr/bin/Xvfb"
    screen = subprocess.Popen(
        [program, "-displayfd", str(writable), "-screen", "0", "1400x1000x24", "-nolisten", "tcp"],
        pass_fds=[writable],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writable)
    with os.fdopen(readable, encoding="ascii") as answer:
        ready, _, _ = select.select([answer], [], [], SECONDS)
        number = answer.readline().strip() if ready else ""
    if not number:
        screen.kill()
        screen.wait()
        raise RuntimeError("Xvfb did not start; it serves the screen that WebKit draws on")
    return screen, f":{number}"
