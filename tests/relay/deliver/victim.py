"""A whole relay in a process that is made to be killed.

It runs the real application and the real dispatcher; only the web server is left out. What Stripe
would have been answered goes through a pipe, event by event, so that the survivor knows which events
were acknowledged.
"""

from __future__ import annotations

import io
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.events import SECRET, charge, encode, purchase, sign
from tests.relay.deliver import flaws
from tracknow_static.relay import background, crash_points, create_application
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.signing_secrets import Secrets
from tracknow_static.relay.store import ledger_state

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from tracknow_static.relay.app import Relay

CONCURRENCY = 2


@dataclass(frozen=True)
class Spec:
    """What a victim does: it receives ``events`` from this number of ``threads``.

    ``point`` is where it dies, ``flaw`` names the mistake it is built with.
    """

    database: str
    destinations: tuple[str, ...]
    point: str = ""
    flaw: str = ""
    events: int = 24
    threads: int = 4
    first: int = 0
    seconds: float = 100.0
    forward: str = "all"


def config(database: str, destinations: tuple[str, ...], forward: str = "all") -> RelayConfig:
    """Return the configuration of a relay that may deliver to this machine."""
    return RelayConfig(
        secrets=Secrets((SECRET,)),
        database=database,
        destinations=destinations,
        allow_insecure_destinations=True,
        concurrency=CONCURRENCY,
        timeout=60.0,
        connect_timeout=60.0,
        commit_timeout=60.0,
        min_free_mb=0,
        forward=forward,
        forward_wait=0.2,
    )


def payload(number: int, forward: str = "all") -> bytes:
    """Return the bytes of an event as Stripe writes them.

    Where attributed sales alone are forwarded, it is a session with a click id, its charge, or a
    charge without a session, in turn.
    """
    if forward == "all" or number % 3 == 0:
        return encode(purchase(number))
    return encode(charge(number - 1 if number % 3 == 1 else number, id=f"evt_{number}"))


def post(relay: Relay, number: int) -> str:
    """Let Stripe send one event; return the status."""
    body = payload(number, relay.config.forward)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/stripe/webhook",
        "CONTENT_TYPE": "application/json; charset=utf-8",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_STRIPE_SIGNATURE": sign(body),
        "wsgi.input": io.BytesIO(body),
    }
    answered = []
    list(relay(environ, lambda status, _headers: answered.append(status)))
    return str(answered[0])


def live(spec: Spec, report: Connection) -> None:
    """Be a relay until killed; reports each acknowledged event's number."""
    # This process is a fork: nothing has read the environment for it.
    crash_points._name, crash_points._left = crash_points._armed(spec.point)
    # The ledger follows soon, so that a point of it is reached soon.
    background._POLL_SECONDS = 0.05
    with flaws.FLAWS[spec.flaw]() if spec.flaw else threading.Lock():
        relay = create_application(config(spec.database, spec.destinations, spec.forward))
        relay.start()
        if spec.point.startswith("ledger.") and spec.point.endswith(":2"):
            _wait_for_the_ledger(relay)
        reporting = threading.Lock()

        def sell(numbers: range) -> None:
            for number in numbers:
                if post(relay, number).startswith("200"):
                    with reporting:
                        report.send(number)
                    flaws.reported(f"evt_{number}")

        threads = [
            threading.Thread(
                target=sell,
                args=(range(spec.first + index, spec.first + spec.events, spec.threads),),
                daemon=True,
            )
            for index in range(spec.threads)
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + spec.seconds
        while time.monotonic() < until:
            time.sleep(0.05)
    # Its point was never reached.
    os._exit(3)


def _wait_for_the_ledger(relay: Relay) -> None:
    """Let the ledger begin with an empty batch, so that the events make a second one."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with relay.database.read() as connection:
            if ledger_state.load(connection) is not None:
                return
        time.sleep(0.01)


def fork_first(spec: Spec, report: Connection) -> None:
    """Load the relay once and fork two children that work, as a pre-forking server does."""
    relay = create_application(config(spec.database, spec.destinations))
    children = []
    for number in range(2):
        child = os.fork()
        if child == 0:
            first = number * spec.events
            statuses = {post(relay, one)[:3] for one in range(first, first + spec.events)}
            os._exit(0 if relay.stop(100) and statuses == {"200"} else 4)
        children.append(child)
    report.send([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
