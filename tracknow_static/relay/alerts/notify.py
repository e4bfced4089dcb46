"""The process that sends messages with Apprise: it reads an order as JSON, and prints results.

Apprise and the services behind it run here and nowhere else: they may hang, print, raise or take
memory, and the relay only notices that a result is missing. The process ends by itself after the
order's time, also if the relay has died.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tracknow_static.relay import logs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

_LONGEST = 200
# What begins to be recognisable in a URL that is a secret as a whole.
_SHORTEST = 4


def main() -> None:
    """Do what the order on standard input asks for: ``{"seconds", "receivers"}``.

    Each receiver has a ``url`` and ``messages`` (``title``, ``body``, ``type``), which may be none.
    A line of JSON is printed for each message, and for each receiver without one: ``receiver``,
    ``message`` (their numbers from 0, or null) and ``error``, empty if all went well.
    """
    # Whatever else prints does not print into the results.
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    order = json.load(sys.stdin)
    if hasattr(signal, "alarm"):
        signal.alarm(max(1, round(order["seconds"])))
    logger = logging.getLogger("apprise")
    logger.handlers[:] = [_Warnings(logging.WARNING)]
    logger.propagate = False
    threads = [
        threading.Thread(target=_serve, args=(number, receiver, results), daemon=True)
        for number, receiver in enumerate(order["receivers"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # No thread of a library keeps the process alive.
    os._exit(0)


class _Warnings(logging.Handler):
    """Keeps the last warning about each receiver: Apprise returns only that something failed."""

    def emit(self, record: logging.LogRecord) -> None:
        _warning.get([]).append(record.getMessage())


# Apprise may send from threads of its own, which get a copy of the context.
_warning: ContextVar[list[str]] = ContextVar("warning")


def _serve(number: int, receiver: dict[str, Any], results: TextIO) -> None:
    """Send one receiver's messages, one after the other; after a failure, the others wait."""
    messages: list[Any] = receiver["messages"] or [None]
    error = ""
    for place, message in enumerate(messages):
        if not error:
            try:
                error = _send(receiver["url"], message)
            except Exception as raised:  # noqa: BLE001 - each plugin has errors of its own
                error = f"{type(raised).__name__}: {raised}"
        shown = without_parts(error, receiver["url"])
        of = None if message is None else place
        line = json.dumps({"receiver": number, "message": of, "error": shown})
        results.write(f"{line}\n")
        results.flush()


def _send(url: str, message: dict[str, str] | None) -> str:
    """Send a message, or look at the URL only; return what went wrong."""
    from apprise import Apprise, AppriseAsset, NotifyFormat

    asset = AppriseAsset(
        app_id="tracknow-relay",
        app_desc="tracknow-relay",
        app_url="",
        # Its own pictures would be loaded from elsewhere by whoever reads the message.
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
    )
    warnings: list[str] = []
    _warning.set(warnings)
    sender = Apprise(asset=asset)
    if not sender.add(url):
        return "Apprise does not know such a URL, or a part of it is missing"
    if message is None:
        return ""
    sent = sender.notify(
        title=message["title"],
        body=message["body"],
        notify_type=message["type"],
        body_format=NotifyFormat.TEXT,
    )
    return "" if sent else (warnings[-1] if warnings else "it was not accepted")


def without_parts(text: str, url: str) -> str:
    """Return one short line of the text, without anything that it repeats of the URL.

    >>> without_parts("no token xoxb-1 for json://example.org/", "json://example.org/xoxb-1")
    'no token … for json://…/'
    """
    for part in _parts(url):
        text = text.replace(part, "…")
    line = logs.hide(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _parts(url: str) -> Sequence[str]:
    """Return what a URL consists of beyond its scheme, the longest first."""
    rest = url.partition("://")[2]
    found = set(re.split(r"[/:@?&=,;#+]", rest))
    found |= {unquote(part) for part in found}
    return sorted((part for part in found if len(part) >= _SHORTEST), key=len, reverse=True)


if __name__ == "__main__":
    main()
