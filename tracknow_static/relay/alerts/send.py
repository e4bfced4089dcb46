"""Sending messages in a process of its own, within a bounded time."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence

    from tracknow_static.relay.config import RelayConfig

# How long a notification service may take, with Python's start and Apprise's import.
SECONDS = 45.0
_LOOK_SECONDS = 0.2
_MISSING = "Apprise is not installed: pip install 'tracknow-static[alerts]'"
STOPPED = "the relay was stopped"
_DIED = "the process that sends ended without a result"
_MODULE = "tracknow_static.relay.alerts.notify"

# Apprise's types of messages: something begins to need attention, is over, or is only a test.
BEGIN, END, TEST = "warning", "success", "info"


class Message(NamedTuple):
    """One message; ``kind`` is ``BEGIN``, ``END`` or ``TEST``."""

    kind: str
    title: str
    body: str


class Order(NamedTuple):
    """What one receiver shall get; without messages its URL is looked at only."""

    url: str
    messages: Sequence[Message] = ()


def is_installed() -> bool:
    """Whether Apprise is there; does not import it."""
    return importlib.util.find_spec("apprise") is not None


def named(number: int, url: str) -> str:
    """Return how a receiver is named for people: by its place in the list and its scheme.

    Nothing else of an Apprise URL is surely no secret: a host can be a token.
    """
    return f"URL {number} ({url.partition(':')[0]}://…)"


def name_of(config: RelayConfig) -> str:
    """Return how messages name the relay."""
    return "Tracknow relay" + (f" ({config.namespace})" if config.namespace else "")


def send(
    orders: Sequence[Order],
    *,
    seconds: float = SECONDS,
    stopping: threading.Event | None = None,
) -> list[list[str]]:
    """Send all messages; return for each order its errors, one a message, empty for what went.

    An order without messages has one error, that of its URL. Takes at most ``seconds``, and ends
    at once when ``stopping`` is set.
    """
    printed = b""
    if not is_installed():
        missing = _MISSING
    else:
        try:
            printed, missing = _run(_request(orders, seconds), seconds, stopping)
        except OSError as error:
            missing = f"the process that sends cannot be started: {error.strerror}"
    errors = [[missing] * max(1, len(order.messages)) for order in orders]
    for result in _results(printed):
        with contextlib.suppress(LookupError, TypeError):
            errors[result["receiver"]][result["message"] or 0] = str(result["error"])
    return errors


def _request(orders: Sequence[Order], seconds: float) -> bytes:
    receivers = [
        {
            "url": order.url,
            "messages": [
                {"title": message.title, "body": message.body, "type": message.kind}
                for message in order.messages
            ],
        }
        for order in orders
    ]
    return json.dumps({"seconds": seconds, "receivers": receivers}).encode()


def _run(request: bytes, seconds: float, stopping: threading.Event | None) -> tuple[bytes, str]:
    """Run the process until it ends, or has to.

    Return what it has printed, and why what is missing there is missing.
    """
    process = subprocess.Popen(  # noqa: S603 - our own module
        [_python(), "-P", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        start_new_session=True,
    )
    until = time.monotonic() + seconds
    rest: bytes | None = request
    while True:
        try:
            printed, _ = process.communicate(rest, timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            rest = None
            if stopping is not None and stopping.is_set():
                missing = STOPPED
            elif time.monotonic() > until:
                missing = f"no answer within {seconds:g} seconds"
            else:
                continue
            _kill(process)
            return process.communicate()[0], missing
        # It ends itself after the same time.
        slow = time.monotonic() > until - 1.0
        return printed, f"no answer within {seconds:g} seconds" if slow else _DIED


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:  # pragma: no cover - Windows
        process.kill()


def _environment() -> dict[str, str]:
    """Return this process's environment without the relay's secrets, and its import path."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("STRIPE_", "TRACKNOW_"))
    }
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _python() -> str:
    """Return the interpreter; under some WSGI servers ``sys.executable`` is the server."""
    names = ("python", "python3", "python.exe")
    own = Path(sys.executable or "")
    if own.name.startswith(("python", "pypy")):
        return str(own)
    folder = Path(sys.prefix, "Scripts" if os.name == "nt" else "bin")
    return next((str(folder / name) for name in names if (folder / name).exists()), "python3")


def _results(printed: bytes) -> Iterator[Mapping[str, Any]]:
    for line in printed.splitlines():
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                yield found
