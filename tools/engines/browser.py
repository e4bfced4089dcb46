"""One interface to three engines: what a visitor does, and what can be seen of it.

Selectors are CSS; ``host >>> inner`` steps into the open shadow root of ``host``. Input is real
input of the engine (W3C WebDriver actions), not events made by script.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.engines.sandbox import Sandbox

SECONDS = 60  # what a browser on a busy machine may take for anything

LEFT, MIDDLE, RIGHT = 0, 1, 2
# Keys of the WebDriver standard (section "Keyboard actions").
TAB, ENTER, SHIFT, CONTROL = "\ue004", "\ue007", "\ue008", "\ue009"

_FIND = """
const find = selector => selector.split(' >>> ').reduce((root, part) => {
  const found = (root.shadowRoot || root).querySelector(part);
  if (!found) throw new Error('nothing matches ' + part);
  return found;
}, document);
"""
FIND = _FIND + "return find(arguments[0])"
_MIDDLE_OF = (
    _FIND
    + """
const element = find(arguments[0]);
element.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
const box = element.getBoundingClientRect();
return [Math.floor(box.left + box.width / 2), Math.floor(box.top + box.height / 2)];
"""
)
_CORNER_OF = (
    _FIND
    + """
const box = find(arguments[0]).getBoundingClientRect();
return [Math.floor(box.left), Math.floor(box.top)];
"""
)
# WebKit shows an empty document of its own between two processes.
_LOADED = (
    "return !window.__left && document.readyState === 'complete' && location.href !== 'about:blank'"
)


class BrowserError(RuntimeError):
    """A browser that is missing, does not start, or died."""


class Browser(ABC):
    """A browser running in a sandbox. All methods may be called from any thread."""

    name: str
    # What must be installed: command and path.
    programs: ClassVar[dict[str, str]]
    # Whether input can be given to a frame of another site; if not, the page passes it on.
    clicks_in_frames: ClassVar[bool] = False

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        sandbox.call(self._start)
        self._first = self.tabs()[0]

    # What each engine does in its own way; all run in the sandbox.

    @abstractmethod
    def _start(self) -> None:
        """Start the browser with one tab, accepting the fake web's certificate."""

    @abstractmethod
    def _go(self, url: str) -> None:
        """Start a navigation without waiting for its end."""

    @abstractmethod
    def _run(self, script: str, arguments: tuple[object, ...], patience: float = SECONDS) -> Any:
        """Run the body of a function in the page; return its result.

        An engine whose answer can get lost raises after ``patience`` seconds.
        """

    @abstractmethod
    def _perform(self, sources: list[dict[str, object]]) -> None:
        """Perform W3C input actions and release everything held down.

        A page that leaves because of them, and takes the driver's answer with it, is no error.
        """

    @abstractmethod
    def _command(self, name: str, *arguments: object) -> Any:
        """Run one of: url, tabs, switch, close, back, forward, reload, cookies, frame, top."""

    @abstractmethod
    def _screenshot(self) -> bytes:
        """Return the visible part of the page as PNG."""

    @abstractmethod
    def _quit(self) -> None:
        """End the browser."""

    # What tests and demo use.

    def open(self, url: str, *, wait: bool = True) -> None:
        """Open a URL as if typed, and wait until its host's page has loaded if ``wait`` is true."""
        self._mark()
        self.sandbox.call(self._go, url)
        host = urlsplit(url).hostname
        if not wait or self.until(f"{_LOADED} && location.hostname") == host:
            return
        # The page that a click leads to elsewhere came first; Firefox may have lost ours over it.
        came = f"{_LOADED} && location.hostname === arguments[0]"
        with contextlib.suppress(AssertionError):
            self._repeated(url, lambda: self._run(came, (host,), 5), 5)
            return
        self.sandbox.call(self._go, url)
        self.until(came, host)

    def loaded(self) -> None:
        """Wait until another page than the marked one has loaded."""
        self.until(_LOADED)

    def run(self, script: str, *arguments: object) -> Any:
        """Run the body of a function in the page and return its result."""
        return self.sandbox.call(self._run, script, arguments)

    def until(self, script: str, *arguments: object) -> Any:
        """Run a script again and again until it returns something true; return that.

        Errors while a page is being replaced count as "not yet". Raises ``AssertionError``.
        """
        # Lost answers are met while a page is being replaced, which is here.
        return self._repeated(f"{script!r}", lambda: self._run(script, arguments, 5))

    def _ask(self, name: str, *arguments: object) -> Any:
        """Run a command that changes nothing of the page, again while the page is being replaced.

        Raises ``AssertionError``.
        """
        (answer,) = self._repeated(name, lambda: [self._command(name, *arguments)])
        return answer

    def _mark(self) -> None:
        """Mark the page, so that :meth:`loaded` waits for another one."""
        self.until("return window.__left = true")

    def _repeated(self, what: str, function: Callable[[], Any], seconds: float = SECONDS) -> Any:
        """Call a function in the sandbox until it returns something true; return that.

        Raises ``AssertionError`` when that takes longer than ``seconds``.
        """
        end = time.monotonic() + seconds
        pause = 0.01
        last: object = None
        while time.monotonic() < end:
            try:
                if last := self.sandbox.call(function):
                    return last
            except Exception as error:  # noqa: BLE001 - each engine has exceptions of its own
                last = error
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)
        raise AssertionError(f"not within {seconds} s: {what} gives {last!r}")

    def click(self, selector: str, button: int = LEFT, *, keys: tuple[str, ...] = ()) -> None:
        """Move the mouse onto an element, once it is there, and click."""
        # WebKit may show an empty document for a moment under the new address.
        x, y = self.until(_MIDDLE_OF, selector)
        self._click_at(x, y, button, keys)

    def click_in_frame(self, frame: str, selector: str) -> None:
        """Click an element of a frame of the page."""
        self.enter_frame(frame)
        if self.clicks_in_frames:
            self.click(selector)
            self.leave_frame()
            return
        x, y = self.until(_MIDDLE_OF, selector)
        self.leave_frame()
        left, top = self.until(_CORNER_OF, frame)
        self._click_at(left + x, top + y, LEFT, ())

    def _click_at(self, x: int, y: int, button: int, keys: tuple[str, ...]) -> None:
        down: list[dict[str, object]] = [{"type": "keyDown", "value": key} for key in keys]
        up: list[dict[str, object]] = [{"type": "keyUp", "value": key} for key in reversed(keys)]
        rest: list[dict[str, object]] = [{"type": "pause"}] * 4
        pointer: list[dict[str, object]] = [
            *rest[: len(down)],
            {
                "type": "pointerMove",
                "x": x,
                "y": y,
                "origin": "viewport",
                "duration": 0,
            },
            {"type": "pointerDown", "button": button},
            {"type": "pointerUp", "button": button},
        ]
        sources: list[dict[str, object]] = [_mouse(pointer)]
        if keys:
            sources.append({"type": "key", "id": "keyboard", "actions": [*down, *rest[:3], *up]})
        self.sandbox.call(self._perform, sources)

    def drag(self, selector: str, by: tuple[int, int]) -> None:
        """Press the mouse on an element, move it by that many pixels in steps, and release it."""
        x, y = self.until(_MIDDLE_OF, selector)
        move = {"type": "pointerMove", "origin": "viewport", "duration": 20}
        steps: list[dict[str, object]] = [
            {**move, "x": x + by[0] * n // 4, "y": y + by[1] * n // 4} for n in range(1, 5)
        ]
        press: list[dict[str, object]] = [
            {**move, "x": x, "y": y},
            {"type": "pointerDown", "button": LEFT},
        ]
        self.sandbox.call(
            self._perform, [_mouse([*press, *steps, {"type": "pointerUp", "button": LEFT}])]
        )

    def press(self, *keys: str) -> None:
        """Press and release keys one after the other, into whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.sandbox.call(self._perform, [{"type": "key", "id": "keyboard", "actions": actions}])

    def focus(self, selector: str) -> None:
        """Focus an element, once it is there."""
        self.until(_FIND + "find(arguments[0]).focus(); return true", selector)

    def attribute(self, selector: str, name: str) -> str | None:
        """Return an attribute as the page's markup has it now; wait for its element only."""
        got: list[str | None] = self.until(
            _FIND + "return [find(arguments[0]).getAttribute(arguments[1])]", selector, name
        )
        return got[0]

    @property
    def url(self) -> str:
        """The URL in the address bar."""
        return str(self._ask("url"))

    def tabs(self) -> list[str]:
        """Return the handles of all tabs and windows."""
        return list(self._ask("tabs"))

    def back(self) -> None:
        """Go back in the history."""
        self._mark()
        self.sandbox.call(self._command, "back")

    def forward(self) -> None:
        """Go forward in the history."""
        self._mark()
        self.sandbox.call(self._command, "forward")

    def reload(self) -> None:
        """Load the page again and wait for it."""
        self._mark()
        self.sandbox.call(self._command, "reload")
        self.loaded()

    def cookies(self) -> list[dict[str, Any]]:
        """Return the page's cookies with their attributes, as the WebDriver standard names them."""
        return list(self._ask("cookies"))

    def enter_frame(self, selector: str) -> None:
        """Run scripts and input in a frame of the page from now on."""
        # What a script scrolls inside a frame of another site need not move the page around it.
        self.until(_MIDDLE_OF, selector)
        self._ask("frame", selector)

    def leave_frame(self) -> None:
        """Run scripts and input in the page itself again."""
        self._ask("top")

    def switch_back(self) -> None:
        """Run scripts and input in the first tab again, whatever tabs were opened."""
        self._ask("switch", self._first)

    def screenshot(self) -> bytes:
        """Return the visible part of the page as PNG."""
        return self.sandbox.call(self._screenshot)

    def reset(self) -> None:
        """Close all tabs but one and empty that one. Raises if the browser does not answer."""
        for tab in self.sandbox.call(self._command, "tabs"):
            if tab != self._first:
                self.sandbox.call(self._command, "switch", tab)
                self.sandbox.call(self._command, "close")
        self.sandbox.call(self._command, "switch", self._first)
        empty = "return location.href === 'about:blank'"
        # Firefox may lose the first one when the page before it is replaced at that moment.
        for seconds in (5, SECONDS):
            self.sandbox.call(self._go, "about:blank")
            with contextlib.suppress(AssertionError):
                self._repeated(empty, lambda: self._run(empty, (), 5), seconds)
                return
        raise BrowserError("the tab stays as it was")

    def quit(self) -> None:
        """End the browser."""
        self.sandbox.call(self._quit)


def _mouse(actions: list[dict[str, object]]) -> dict[str, object]:
    return {
        "type": "pointer",
        "id": "mouse",
        "parameters": {"pointerType": "mouse"},
        "actions": actions,
    }
