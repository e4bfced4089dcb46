"""A visitor in the browser: opens pages of the site, answers for consent, and acts on elements."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    InvalidSessionIdException,
    WebDriverException,
)
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.mouse_button import MouseButton
from selenium.webdriver.common.keys import Keys

from tracknow_static.walk.web import BLANK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.chrome.webdriver import WebDriver

    from tracknow_static.settings import Settings
    from tracknow_static.walk.web import StandInWeb

CLICK_ID = "tn-Walk_0aZ"

_FIND = Path(__file__).with_name("routes.js").read_text(encoding="utf-8")
# What covers a page until the visitor has answered. The answer itself comes through our own API.
_BANNERS = {
    "material": ".md-consent",
    "cookiebot": "#CybotCookiebotDialog",
    "cookieyes": ".cky-consent-container, .cky-overlay",
    "onetrust": "#onetrust-consent-sdk",
    "usercentrics": "#usercentrics-root, #usercentrics-cmp-ui",
    "klaro": "#klaro, .klaro",
    "vanilla-cookieconsent": "#cc-main, #cc--main",
}
_READY = """
const done = arguments[0];
const ready = () => Promise.resolve(self.tracknow && tracknow.ready).then(() => done());
document.readyState === "complete" ? ready() : addEventListener("load", ready);
"""
_SHOW = "function() { this.host[Symbol.for('tracknow walk')] = this; }"
_PAUSE = "setTimeout(arguments[1], arguments[0])"
_SCROLL_TO = "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})"
_FOCUS = "arguments[0].focus(); return arguments[0].getRootNode().activeElement === arguments[0]"
_HIDE = """
const style = document.createElement("style");
style.textContent = arguments[0] + "{display: none !important}";
document.documentElement.append(style);
"""


@dataclass
class Visitor:
    """Drives the browser. ``consent`` is what the visitor answers on every page, None for nothing."""

    driver: WebDriver
    web: StandInWeb
    settings: Settings
    consent: bool | None = None

    def open(self, path: str, *, landing: bool = False) -> bool:
        """Open a page of the site, with the click id if it is a landing; returns whether it loads."""
        address = path.removesuffix("index.html") if path.endswith("index.html") else path
        query = f"?{self.settings.param}={CLICK_ID}" if landing else ""
        try:
            inner = quote(os.fsencode(address))
            self.driver.get(f"https://{self.web.host}{self.web.prefix}{inner}{query}")
        except InvalidSessionIdException:
            raise  # the browser is gone, and no page will load
        except WebDriverException:
            return False
        self.settle()
        return True

    def settle(self) -> None:
        """Wait until the page and the script have loaded, and answer the consent manager."""
        with contextlib.suppress(WebDriverException):  # it may leave for Stripe meanwhile
            self.driver.execute_async_script(_READY)
            if banner := _BANNERS.get(self.settings.consent or ""):
                self.driver.execute_script(_HIDE, banner)
            if self.consent is not None:
                self.driver.execute_script("tracknow.consent(arguments[0])", self.consent)

    def pause(self, seconds: float) -> None:
        """Let the page's scripts go on for that long by the page's own clock, or until it leaves."""
        with contextlib.suppress(WebDriverException):
            self.driver.execute_async_script(_PAUSE, seconds * 1000)

    def show_closed_roots(self) -> None:
        """Let routes.js find closed shadow roots: Chrome knows them, but no script does."""
        with contextlib.suppress(WebDriverException):  # the page may leave for Stripe meanwhile
            self._show_closed_roots()

    def _show_closed_roots(self) -> None:
        ask = self.driver.execute_cdp_cmd
        nodes = [ask("DOM.getDocument", {"depth": -1, "pierce": True})["root"]]
        for node in nodes:  # it grows meanwhile
            if node.get("shadowRootType") == "closed":
                root = ask("DOM.resolveNode", {"nodeId": node["nodeId"]})["object"]
                show = {"objectId": root["objectId"], "functionDeclaration": _SHOW}
                ask("Runtime.callFunctionOn", show)
            nodes += [*node.get("children", ()), *node.get("shadowRoots", ())]
            nodes += [node["contentDocument"]] if "contentDocument" in node else []

    def run(self, script: str, *arguments: object) -> Any:
        """Run a script in the page; returns None where it cannot run."""
        try:
            return self.driver.execute_script(script, *arguments)
        except WebDriverException:
            return None

    def forget(self) -> None:
        """Forget every click id that this browser has stored."""
        with contextlib.suppress(WebDriverException):
            # No script of a page runs meanwhile.
            self.driver.get(f"https://{self.web.host}{BLANK}")
            self.driver.execute_script("localStorage.clear(); sessionStorage.clear()")
            self.driver.delete_all_cookies()

    def begin_again(self) -> None:
        """Close the tab and go on in a new one."""
        old = self.driver.current_window_handle
        self.driver.switch_to.new_window("tab")
        fresh = self.driver.current_window_handle
        self.driver.switch_to.window(old)
        self.driver.close()
        self.driver.switch_to.window(fresh)

    def find(self, *, scripted: bool) -> list[dict[str, Any]]:
        """Return the payment routes of the document: see routes.js."""
        return list(self.run(_FIND, sorted(self.web.payment_hosts), scripted) or [])

    @contextlib.contextmanager
    def in_frame(self, frame: int | None) -> Iterator[bool]:
        """Enter a frame of the page by its number; yields whether it could be entered."""
        entered = True
        if frame is not None:
            try:
                self.driver.switch_to.frame(frame)
            except WebDriverException:
                entered = False
        try:
            yield entered
        finally:
            with contextlib.suppress(WebDriverException):
                self.driver.switch_to.default_content()

    def close_tabs(self) -> None:
        """Close every tab but the first."""
        first, *others = self.driver.window_handles
        for handle in others:
            self.driver.switch_to.window(handle)
            self.driver.close()
        if others:
            self.driver.switch_to.window(first)

    def act(self, action: str, element: Any, *, closed: bool = False) -> str:
        """Do what a visitor does; returns why it cannot be done, or "" when it was.

        ``closed``: the element is in a closed shadow root.
        """
        try:
            if action == "middle click":
                self._press(element, MouseButton.MIDDLE)
            elif action == "keyboard":
                if not self.driver.execute_script(_FOCUS, element):
                    return "it is hidden"
                ActionChains(self.driver).send_keys(Keys.ENTER).perform()
            elif action == "submit":
                return self._submit(element)
            elif closed:  # the driver would look for the link in vain
                self._press(element, MouseButton.LEFT)
            else:
                element.click()
        except ElementClickInterceptedException:
            return "it is covered by something else"
        except ElementNotInteractableException:
            return "it is hidden"
        except WebDriverException as error:
            return (error.msg or "the browser refuses").partition("\n")[0]
        return ""

    def _press(self, element: Any, button: int) -> None:
        self.driver.execute_script(_SCROLL_TO, element)
        builder = ActionBuilder(self.driver)
        pointer: Any = builder.pointer_action
        pointer.move_to(element)
        pointer.pointer_down(button)
        pointer.pointer_up(button)
        builder.perform()

    def _submit(self, element: Any) -> str:
        if element.tag_name == "form":
            ready = "return arguments[0].checkValidity()"
            if not self.driver.execute_script(ready, element):
                return "it needs input"
            button = "return arguments[0].querySelector('button:not([type=button]), [type=submit]')"
            element = self.driver.execute_script(button, element) or element
            if element.tag_name == "form":
                self.driver.execute_script("arguments[0].requestSubmit()", element)
                return ""
        element.click()
        return ""
