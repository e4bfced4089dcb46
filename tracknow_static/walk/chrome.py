"""Starting the Chrome or Chromium of this machine so that every host is the stand-in."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import warnings
from typing import TYPE_CHECKING

from tracknow_static.errors import TracknowError
from tracknow_static.exit_codes import MISUSE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from selenium.webdriver.chrome.webdriver import WebDriver

_NAMES = ("google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "chrome")
_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
)
_SECONDS = 60  # for a page to load, and for a script in it to end
_FLAGS = (
    "--ignore-certificate-errors",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--disable-popup-blocking",
    "--window-size=1280,1000",
)


class BrowserError(TracknowError):
    """No browser is installed, or it does not start."""


def find_browser(given: str | None) -> str:
    """Return the path of a browser: ``given``, or the first that is installed.

    Raises :class:`BrowserError`, which explains how to get one.
    """
    candidates = [given] if given else [*_NAMES, *_PLACES]
    for name in candidates:
        if found := shutil.which(name):
            return found
    missing = f"--browser {given}: no such program." if given else "No Chrome or Chromium is found."
    raise BrowserError(
        f"{missing} Install one (Debian: apt-get install chromium chromium-driver; "
        "others: https://www.google.com/chrome/), or name its program: --browser PATH.",
        MISUSE,
    )


@contextlib.contextmanager
def browsing(
    browser: str, port: int, *, headed: bool = False, allowed: Collection[str] = ()
) -> Iterator[WebDriver]:
    """Run a browser whose every host name leads to ``port``, except ``allowed`` ones.

    Its profile is empty and is gone afterwards. Raises :class:`BrowserError` if it does not start,
    or stops before the block ends.
    """
    from selenium.common.exceptions import WebDriverException
    from urllib3.exceptions import HTTPError

    with warnings.catch_warnings():
        # Selenium uses what its own libraries deprecate.
        warnings.simplefilter("ignore")
        driver = _start(browser, port, headed=headed, allowed=allowed)
        try:
            yield driver
        except (WebDriverException, HTTPError) as error:
            raise BrowserError(f"{browser} stopped: {_reason(error)}.") from None
        finally:
            with contextlib.suppress(Exception):
                driver.quit()


def _start(browser: str, port: int, *, headed: bool, allowed: Collection[str]) -> WebDriver:
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    rules = [
        f"MAP * 127.0.0.1:{port}",
        "EXCLUDE 127.0.0.1",
        *(f"EXCLUDE {host}" for host in allowed),
    ]
    options.add_argument(f"--host-resolver-rules={', '.join(rules)}")
    for flag in _FLAGS:
        options.add_argument(flag)
    if not headed:
        options.add_argument("--headless=new")
    if sys.platform == "linux" and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chrome refuses to run as root with its sandbox
    options.page_load_strategy = "eager"
    driver = shutil.which("chromedriver")
    for last in (False, True):
        service = webdriver.ChromeService(driver) if driver else webdriver.ChromeService()
        try:
            started = webdriver.Chrome(options=options, service=service)
        except WebDriverException as error:
            # Another program may get the driver's port before the driver does.
            if last:
                raise BrowserError(
                    f"--browser {browser}: it does not start as Chrome does: {_reason(error)}. "
                    "Accepted: the path of Chrome or Chromium, of the version of its chromedriver.",
                    MISUSE,
                ) from None
        else:
            break
    started.set_page_load_timeout(_SECONDS)
    started.set_script_timeout(_SECONDS)
    return started


def _reason(error: Exception) -> str:
    """Return the first sentence of an error; the driver's go on with links to its manual."""
    text = getattr(error, "msg", None) or str(error)
    return re.split(r"[\n;]|\. ", text.strip())[0].rstrip(".")
