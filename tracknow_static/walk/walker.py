"""Walks the payment routes of a site in a browser: first without a click id, then with one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from selenium.common.exceptions import WebDriverException

from tracknow_static.page.contents import ELEMENTS
from tracknow_static.walk.compare import compare, compare_without
from tracknow_static.walk.visitor import CLICK_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tracknow_static.walk.compare import Result
    from tracknow_static.walk.visitor import Visitor
    from tracknow_static.walk.web import Asked

_ACTIONS = {
    "link": ("click", "middle click", "keyboard"),
    "form": ("submit",),
    "handler": ("click",),
    "button": ("click",),
    "buy-button": ("appear",),
    "pricing-table": ("appear",),
}
_SETTLE = 2.0  # seconds in which a page's script may redirect or add a route
_PATIENCE = 15.0  # seconds for a request of a link, a form or an element of Stripe's
_IDLE = 5.0  # seconds for a request of a handler, which may do something else
_REFERENCE = "return arguments[0].getAttribute('client-reference-id')"


MISSING_PAGE = "walk/no-such-page/"
"""An address without a page: a host answers it with 404.html."""


class Target(NamedTuple):
    """A page to walk, by its path in the site.

    ``scripted``: a script of it mentions a payment page; ``leaves``: it may redirect by itself;
    ``landing``: it is landed on, and its own routes are not taken; ``carries``: it has our script.
    """

    path: str
    scripted: bool = False
    leaves: bool = False
    landing: bool = False
    carries: bool = False


class Route(NamedTuple):
    """One way from a page to Stripe. ``frame`` is the number of the frame it is in, or None.

    ``closed``: it is in a closed shadow root.
    """

    page: str
    kind: str
    url: str
    action: str
    number: int
    frame: int | None = None
    closed: bool = False


class RouteResult(NamedTuple):
    """What became of a route; ``reason`` is set where it was never reached."""

    route: Route
    scene: str
    result: Result | None
    asked: str = ""
    expected: str = ""
    reason: str = ""


@dataclass
class Walker:
    """Sends a visitor along the routes; results are passed on to ``add``."""

    visitor: Visitor
    add: Callable[[RouteResult], None]
    every_route: bool = False
    screenshots: Path | None = None
    _targets: dict[str, Target] = field(default_factory=dict)
    _leaving: set[str] = field(default_factory=set)
    _closed: set[str] = field(default_factory=set)  # pages with routes in closed shadow roots
    _numbers: dict[tuple[str, int | None], int] = field(default_factory=dict)  # of routes by frame
    _failures: int = 0

    @cached_property
    def _overwrite(self) -> bool:
        return self.visitor.settings.existing_reference == "overwrite"

    def walk(self, targets: Iterable[Target]) -> None:
        """Walk all targets in each scene."""
        listed = list(targets)
        self._targets = {target.path: target for target in listed if not target.landing}
        self._leaving = {target.path for target in listed if target.leaves}
        routes = self._chosen(self._targets.values())
        before = {route: self._take(route) for route in routes}
        if self.visitor.settings.consent is None:
            self._land()
            self._compare_all("with an id", before, with_id=True)
            self._come_back(before)
        else:
            self._land()
            self._compare_all("before consent", before, with_id=False)
            self.visitor.consent = True
            self._land()
            self._compare_all("after consent", before, with_id=True)
            self.visitor.consent = False
            self._compare_all("after a refusal", before, with_id=False)
            self.visitor.consent = True
        for target in listed:
            if target.landing:
                self._land_on(target)

    # --- routes ----------------------------------------------------------------------------------

    def _chosen(self, targets: Iterable[Target]) -> list[Route]:
        """Find the routes of all pages; of one kind and template only the first, unless all."""
        chosen: dict[tuple[object, ...], Route] = {}
        for target in targets:
            for route in self._routes(target):
                shape = (target.path.partition("/")[0], target.path.count("/"))
                where = (route.frame is None, route.closed)
                key: tuple[object, ...] = (shape, route.kind, route.action, where)
                if self.every_route or route.kind in ("handler", "button", "load"):
                    key = (*key, route)
                chosen.setdefault(key, route)
        return list(chosen.values())

    def _routes(self, target: Target) -> Iterator[Route]:
        asked = len(self.visitor.web.asked)
        if not self.visitor.open(target.path):
            yield Route(target.path, "load", "", "open the page", 0)
            return
        if target.scripted:
            self.visitor.pause(_SETTLE)
        if self._asked_by_itself(asked, _SETTLE if target.path in self._leaving else 0):
            yield Route(target.path, "load", "", "open the page", 0)
            return
        self.visitor.show_closed_roots()
        frames = [None, *range(self.visitor.run("return window.frames.length") or 0)]
        for frame in frames:
            with self.visitor.in_frame(frame) as entered:
                found = self.visitor.find(scripted=target.scripted) if entered else []
            self._numbers[target.path, frame] = len(found)
            for number, entry in enumerate(found):
                kind, url, closed = entry["kind"], entry["url"], entry["closed"]
                if closed:
                    self._closed.add(target.path)
                for action in _ACTIONS[kind]:
                    yield Route(target.path, kind, url, action, number, frame, closed)

    def _asked_by_itself(self, number: int, seconds: float = 0) -> list[Asked]:
        """Return requests for payment pages that the page made without an action."""
        return self.visitor.web.wait_for(_is_payment, number, seconds)

    # --- taking one ------------------------------------------------------------------------------

    def _take(self, route: Route) -> Asked | str:
        """Take a route; returns what was asked for, or the reason why nothing was."""
        number = len(self.visitor.web.asked)
        if not self.visitor.open(route.page):
            return "the page does not load"
        if route.kind == "load":
            asked = self._asked_by_itself(number, _PATIENCE)
            return asked[0] if asked else "the page stays"
        if self._asked_by_itself(number):
            return "the page leaves by itself"
        with self.visitor.in_frame(route.frame) as entered:
            found = self._find_again(route) if entered else []
            if route.number >= len(found) or found[route.number]["kind"] != route.kind:
                return "it is not there any more"
            element = found[route.number]["element"]
            if route.kind in ELEMENTS:
                shown = self.visitor.run(_REFERENCE, element)
                return self._of_element(route.url, str(shown or ""), number)
            number = len(self.visitor.web.asked)
            reason = self.visitor.act(route.action, element, closed=route.closed)
        if reason:
            return reason
        seconds = _PATIENCE if route.url else _IDLE
        asked = self.visitor.web.wait_for(_is_payment, number, seconds)
        self.visitor.close_tabs()
        return asked[0] if asked else "nothing is asked for"

    def _find_again(self, route: Route) -> list[dict[str, Any]]:
        """Find a frame's routes once they are as many as before: a script may add some late."""
        for _ in range(20):
            if route.page in self._closed:
                self.visitor.show_closed_roots()
            found = self.visitor.find(scripted=self._targets[route.page].scripted)
            if len(found) >= self._numbers[route.page, route.frame]:
                break
            self.visitor.pause(_SETTLE / 20)
        return found

    def _of_element(self, product: str, reference: str, number: int) -> Asked | str:
        """Return what an element of Stripe's has asked for with the reference that it shows."""
        wanted = urlencode({"product": product, "client_reference_id": reference})
        seen = self.visitor.web.wait_for(
            lambda asked: asked.target.partition("?")[2] == wanted, number, _PATIENCE
        )
        return seen[-1] if seen else "the element does not start: js.stripe.com is not loaded"

    # --- scenes ----------------------------------------------------------------------------------

    def _compare_all(self, scene: str, before: dict[Route, Asked | str], *, with_id: bool) -> None:
        for route, first in before.items():
            if isinstance(first, str):
                if scene in ("with an id", "before consent"):
                    self._add(RouteResult(route, scene, None, reason=first))
                continue
            after = self._take(route)
            if isinstance(after, str):
                self._add(RouteResult(route, scene, "changed", expected=first.url, reason=after))
                continue
            if with_id:
                compared = compare(first, after, CLICK_ID, overwrite=self._overwrite)
            else:
                compared = compare_without(first, after)
            self._add(RouteResult(route, scene, compared.result, after.url, compared.expected))

    def _come_back(self, before: dict[Route, Asked | str]) -> None:
        """Close the tab that has landed, open another one, and take the first route again."""
        for route, first in before.items():
            if not isinstance(first, str) and route.action == "click":
                self.visitor.begin_again()
                self._compare_all("coming back in a new tab", {route: first}, with_id=True)
                return

    def _land_on(self, target: Target) -> None:
        """Land on a page that sends its visitor on: the id has to be kept wherever that is."""
        self.visitor.forget()
        route = Route(target.path, "landing", "", "land on the page", 0)
        number = len(self.visitor.web.asked)
        if not self.visitor.open(target.path, landing=True):
            self._add(RouteResult(route, "landing", None, reason="the page does not load"))
            return
        asked = self._asked_by_itself(number, _SETTLE if target.leaves else 0)
        if asked:
            carried = f"client_reference_id={CLICK_ID}" in asked[0].target
            own = compare(asked[0], asked[0], CLICK_ID, overwrite=self._overwrite).result
            result: Result = "exact" if carried else own
            self._add(RouteResult(route, "landing", result, asked[0].url))
            return
        self.visitor.settle()  # on the page that the visitor ends on
        kept = self.visitor.run("return self.tracknow && tracknow.clickId && tracknow.clickId()")
        where = str(self.visitor.run("return location.href"))
        self._add(RouteResult(route, "landing", "exact" if kept == CLICK_ID else "missing", where))

    def _add(self, result: RouteResult) -> None:
        self.add(result)
        if result.result in ("missing", "changed", "unexpected") and self.screenshots is not None:
            self._failures += 1
            name = f"{self._failures:04}-{result.route.page}-{result.route.action}"
            safe = "".join(sign if sign.isalnum() or sign in "-." else "_" for sign in name)
            with contextlib.suppress(WebDriverException):
                picture = self.screenshots / f"{safe[:150]}.png"
                self.visitor.driver.save_screenshot(str(picture))

    def _land(self) -> None:
        """Store the id: land on a page that can, and that does not leave by itself if there is one."""
        best = min(self._targets.values(), key=lambda target: (not target.carries, target.leaves))
        self.visitor.forget()
        self.visitor.open(best.path, landing=True)


def _is_payment(asked: Asked) -> bool:
    return asked.host != "js.stripe.com"
