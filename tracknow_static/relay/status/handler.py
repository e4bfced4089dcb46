"""The status page's requests: who may see it, which page is meant, and in what time.

A page reads the database on a thread of its own, a few at a time: whatever it waits for, webhooks
do not wait with it.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from tracknow_static.errors import RelayError
from tracknow_static.relay import logs
from tracknow_static.relay.status.guard import Guard, caller_of
from tracknow_static.tracknow import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.receive.response import Response
    from tracknow_static.relay.status.pages import Pages
    from tracknow_static.relay.store.database import Database

log = logging.getLogger(__name__)

# Pages that are made at the same time, and the seconds that a further one waits for its turn.
AT_ONCE = 4
_TURN_SECONDS = 2.0

_BASIC = ("WWW-Authenticate", 'Basic realm="tracknow-relay", charset="UTF-8"')


class StatusHandler:
    """Answers ``/status`` and the paths below it."""

    def __init__(self, config: RelayConfig, database: Database) -> None:
        assert config.status_password is not None  # noqa: S101 - there is no page without one
        self._config = config
        self._database = database
        self._guard = Guard(config.status_password)
        self._turns = threading.Semaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._pages: Pages | None = None

    def __call__(self, environ: Mapping[str, Any]) -> Response:
        """Answer one request."""
        refused = self._refusal(environ)
        if refused is not None:
            return refused
        base = base_of(environ)
        if not self._turns.acquire(timeout=_TURN_SECONDS):
            text = "Too many pages are being made at once. Load it again in a moment."
            return _message(503, "Busy", text, ("Retry-After", "5"), base=base)
        made: Future[Response] = Future()
        threading.Thread(
            target=self._run, args=(made, environ, base), name="relay-status", daemon=True
        ).start()
        timeout = self._config.commit_timeout
        try:
            return made.result(timeout)
        except TimeoutError:
            text = f"The database did not answer within {timeout:g} seconds."
            return _unavailable(text, base)

    def _run(self, made: Future[Response], environ: Mapping[str, Any], base: str) -> None:
        try:
            made.set_result(self._page(environ, base))
        except RelayError as error:
            made.set_result(_unavailable(logs.hide(str(error)), base))
        except BaseException as error:  # noqa: BLE001 - it belongs to the request
            made.set_exception(error)
        finally:
            self._turns.release()

    def _page(self, environ: Mapping[str, Any], base: str) -> Response:
        from tracknow_static.relay.status.pages import Pages

        with self._lock:
            if self._pages is None:
                self._pages = Pages(self._config, self._database)
        return self._pages.respond(path_of(environ), environ.get("QUERY_STRING") or "", base)

    def _refusal(self, environ: Mapping[str, Any]) -> Response | None:
        authorization = environ.get("HTTP_AUTHORIZATION") or ""
        if not authorization:
            return _message(401, "Status", "This page needs its password.", _BASIC)
        pause = self._guard.examine(authorization, caller_of(environ))
        if pause is None:
            return None
        if not pause:
            return _message(401, "Status", "This is not the password.", _BASIC)
        seconds = int(pause) + 1
        text = f"Too many wrong passwords. Try again in {counted(seconds, 'second')}."
        return _message(429, "Wait", text, ("Retry-After", str(seconds)))


def _unavailable(text: str, base: str) -> Response:
    log.warning("no status page: %s", text)
    return _message(
        503,
        "The database cannot be read",
        f"{text[:1].upper()}{text[1:]}",
        ("Retry-After", "30"),
        command="tracknow-relay check",
        base=base,
    )


def _message(*args: Any, **named: Any) -> Response:
    # Jinja2's import costs 30 ms: paid by the first who asks for the page, not by every start.
    from tracknow_static.relay.status import render

    return render.message(*args, **named)


def path_of(environ: Mapping[str, Any]) -> str:
    """Return what follows ``/status`` in the path, without slashes around it."""
    path = str(environ.get("PATH_INFO", "")).encode("latin-1", "replace").decode("utf-8", "replace")
    return path.partition("/status")[2].strip("/")


def base_of(environ: Mapping[str, Any]) -> str:
    """Return the relative URL of the folder that ``status`` is in.

    Relative, since a proxy may publish the relay under a path of its own.
    """
    return "../" * (str(environ.get("PATH_INFO", "")).count("/") - 1)
