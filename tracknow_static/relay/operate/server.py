"""``tracknow-relay serve``: the application under granian, with workers that end cleanly.

Granian answers the requests that it has begun when it is stopped. The rest is done here: each
worker then finishes its deliveries in flight, and all of it ends within a bound.
"""

from __future__ import annotations

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
from granian.log import LogLevels
from granian.server import Server

from tracknow_static.errors import RelayError, SettingsError
from tracknow_static.relay import create_application, logs
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.receive.rsgi import RsgiRelay

if TYPE_CHECKING:
    from tracknow_static.relay.app import Relay

_log = logging.getLogger(__name__)

# Seconds beyond the deliveries' own, for requests, the last commit and the exit itself.
MARGIN = 10.0

_PR_SET_PDEATHSIG = 1

# New objects between two searches for cycles.
_GARBAGE = 20_000

# The worker's own; made after the fork.
_relay: Relay | None = None


def serve(config: RelayConfig, *, workers: int, grace: float) -> None:
    """Serve until SIGTERM or SIGINT; return when everything has ended.

    The workers read ``os.environ``, which must hold the same as ``config``. Deliveries in flight
    get ``grace`` seconds to end, the whole stop ``grace + MARGIN``.

    Raises :class:`SettingsError` when the address cannot be listened on, and ``SystemExit`` when
    workers die one after the other.
    """
    host, port = listenable(config.bind)
    # What it imports is then in memory once for all workers.
    create_application(config)
    server = Server(
        "tracknow_static.relay",
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        loop=Loops.asyncio,
        http=HTTPModes.http1,
        websockets=False,
        workers=workers,
        log_dictconfig=logs.server_config(),
        log_level=LogLevels(config.log_level if config.log_level != "debug" else "info"),
        respawn_failed_workers=True,
        workers_kill_timeout=round(grace + MARGIN),
    )
    shown = f"[{host}]" if ":" in host else host
    server.on_startup(lambda: _log.info("webhook at http://%s:%d/stripe/webhook", shown, port))
    server.serve(
        spawn_target=partial(_worker, grace, os.getpid()), target_loader=_load, wrap_loader=False
    )


def listenable(bind: str) -> tuple[str, int]:
    """Return host and port if they are free; port 0 becomes a free one.

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


def _load() -> Any:
    """Make the worker's application; runs in the worker."""
    global _relay  # noqa: PLW0603 - one process, one application
    _relay = create_application()
    _relay.start()
    # What is loaded stays: none of it needs to be searched again. And a request leaves no cycles,
    # so a search after every few hundred objects is wasted.
    gc.freeze()
    gc.set_threshold(_GARBAGE, 20, 50)
    return RsgiRelay(_relay)


def _worker(grace: float, parent: int, *args: Any, **kwargs: Any) -> None:
    """Run one worker: granian's own, then the end of what granian knows nothing of."""
    _die_with(parent)
    config = RelayConfig.from_environ()
    logs.setup(config, everything=True)
    try:
        Server._spawn_rsgi_worker(*args, **kwargs)  # noqa: SLF001 - what `spawn_target` replaces
    finally:
        if _relay is not None:
            with contextlib.suppress(RelayError):
                if not _relay.stop(grace):
                    _log.warning("some deliveries did not end in time; their events are sent again")


def _die_with(parent: int) -> None:
    """Stop when the main process is killed, instead of serving without it."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
