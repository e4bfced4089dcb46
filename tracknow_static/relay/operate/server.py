"""``tracknow-relay serve``: the application under granian.

One worker is this process itself; several are processes that granian forks, watches and replaces.
Granian answers what it has begun when it is stopped. Here the deliveries in flight are finished
afterwards, and all of it ends within a bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

from tracknow_static.errors import RelayError, SettingsError
from tracknow_static.relay import create_application, logs
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.receive.rsgi import RsgiRelay

if TYPE_CHECKING:
    from tracknow_static.relay.app import Relay

_log = logging.getLogger(__name__)

# Seconds beyond the deliveries' own, for requests, the last commit and the exit itself.
MARGIN = 10.0

# A request's head comes at once; an idle connection is closed after the same time.
_HEAD_MS = 10_000
_BACKLOG = 2048
_CONNECTIONS = 16_384
# Files that are no connections: the database, the log, deliveries.
_OTHER_FILES = 512

_PR_SET_PDEATHSIG = 1

# New objects between two searches for cycles.
_GARBAGE = 20_000


def serve(config: RelayConfig, *, workers: int, grace: float) -> None:
    """Serve until SIGTERM or SIGINT; return when everything has ended.

    Workers read ``os.environ``, which has to hold the same as ``config``. Deliveries in flight
    get ``grace`` seconds to end, the whole stop ``grace + MARGIN``.

    Raises :class:`SettingsError` when the address cannot be listened on, ``RelayError`` when the
    server ends by itself, and ``SystemExit`` when workers die one after the other.
    """
    host, port = listenable(config.bind)
    options: dict[str, Any] = {
        "address": host,
        "port": port,
        "interface": Interfaces.RSGI,
        "http": HTTPModes.http1,
        "websockets": False,
        # Whoever connects and sends nothing holds a place for some seconds, and there are many.
        "backlog": _BACKLOG,
        "backpressure": _room_for_connections(),
        "http1_settings": HTTP1Settings(header_read_timeout=_HEAD_MS),
        "log_dictconfig": logs.server_config(),
        "log_level": LogLevels(config.log_level if config.log_level != "debug" else "info"),
    }
    shown = f"[{host}]" if ":" in host else host
    announce = partial(_announce, config, f"http://{shown}:{port}")
    if workers == 1:
        asyncio.run(_serve_here(config, options, announce, grace))
    else:
        _serve_workers(options, announce, workers=workers, grace=grace)


def _announce(config: RelayConfig, address: str) -> None:
    _log.info("webhook at %s/stripe/webhook", address)
    if config.status_password is not None:
        _log.info("status page at %s/status", address)


async def _serve_here(
    config: RelayConfig, options: dict[str, Any], announce: partial[None], grace: float
) -> None:
    """Serve in this process."""
    from granian.server.embed import Server

    relay = _begin(config)
    server = Server(RsgiRelay(relay), **options)
    server.on_startup(announce)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # The end of a terminal, or of a log file that is rotated, does not end the server.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    by_itself = serving.done()
    stop_server: Any = server.stop
    stop_server()
    await asyncio.wait({serving}, timeout=MARGIN / 2)
    stopping.cancel()
    await asyncio.to_thread(_end, relay, grace)
    if by_itself:
        await serving
        raise RelayError("The server ended by itself.")


def _serve_workers(
    options: dict[str, Any], announce: partial[None], *, workers: int, grace: float
) -> None:
    """Serve in several processes."""
    from granian.server import Server

    server = Server(
        "tracknow_static.relay",
        loop=Loops.asyncio,
        workers=workers,
        respawn_failed_workers=True,
        workers_kill_timeout=round(grace + MARGIN),
        **options,
    )
    server.on_startup(announce)
    server.serve(target_loader=partial(_load, grace, os.getpid()), wrap_loader=False)


def _room_for_connections() -> int:
    """Return how many connections may be open at once; each needs a file descriptor."""
    try:
        import resource
    except ImportError:  # pragma: no cover - Windows
        return _CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > _CONNECTIONS + _OTHER_FILES:
        hard = _CONNECTIONS + _OTHER_FILES
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (max(soft, hard), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )
        soft = max(soft, hard)
    return max(64, min(_CONNECTIONS, soft - _OTHER_FILES))


def listenable(bind: str) -> tuple[str, int]:
    """Return host and port if nothing else listens there; port 0 becomes a free one.

    Granian shares a port with whoever else shares it, so that a second relay would quietly take
    half of the first one's requests. Raises :class:`SettingsError` when it is taken.
    """
    host, _, number = bind.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, int(number), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
            found = probe.getsockname()
    except OSError as error:
        problem = (
            f"TRACKNOW_RELAY_BIND (--bind): {bind!r} cannot be listened on: {error.strerror}. "
            "Accepted: HOST:PORT of this machine that nothing else listens on."
        )
        raise SettingsError([problem]) from None
    return str(found[0]), int(found[1])


class _Worker(RsgiRelay):
    """The application in a process that granian started."""

    def __init__(self, relay: Relay, grace: float, parent: int) -> None:
        super().__init__(relay)
        self._grace = grace
        self._parent = parent

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, once granian handles signals: one that came earlier would be lost."""
        super().__rsgi_init__(loop)
        _die_with(self._parent)

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        """End, once granian has answered what it had begun."""
        _end(self.relay, self._grace)


def _load(grace: float, parent: int) -> Any:
    """Make a worker's application; runs in the worker."""
    config = RelayConfig.from_environ()
    logs.setup(config, everything=True)
    return _Worker(_begin(config), grace, parent)


def _begin(config: RelayConfig) -> Relay:
    relay = create_application(config)
    relay.start()
    # What is loaded stays: nothing of it need be looked at again. And a request leaves no cycles
    # behind, so that looking for them after every few hundred objects is work for nothing.
    gc.freeze()
    gc.set_threshold(_GARBAGE, 20, 50)
    return relay


def _end(relay: Relay, grace: float) -> None:
    with contextlib.suppress(RelayError):
        if not relay.stop(grace):
            _log.warning("some deliveries did not end in time; their events are sent again")


def _die_with(parent: int) -> None:
    """End when the main process is killed, instead of serving on without it.

    By the same signal: granian's way to stop can hang in a worker that has just begun, and nobody
    would be left to end it. What was in flight is sent again.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
