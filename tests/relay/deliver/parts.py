"""What the delivery tests share: a claimed event, a network, and a shop whose clock the test sets."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.relay.store.parts import accept
from tracknow_static.relay.deliver.dispatcher import Dispatcher, Drained
from tracknow_static.relay.deliver.network import Network, Resolver
from tracknow_static.relay.deliver.sender import Sender
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import Claimed, Delivery, NewEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tracknow_static.relay.deliver.verdict import Response

BODY = b'{"id": "evt_1",\r\n "object": "event", "name": "\xc3\xa9\\u00e9"}\n'
NOON = 1_800_000_000.0
_TLS = ssl.create_default_context()


def claimed(payload: bytes = BODY, **changes: object) -> Claimed:
    """Return a leased delivery of an ordinary event."""
    values: dict[str, Any] = {
        "delivery_id": 1,
        "token": 1,
        "event_id": "evt_1",
        "destination": "",
        "payload": payload,
        "content_type": "application/json; charset=utf-8",
        "signature": "t=1700000000,v1=ab,v0=cd",
        "attempts": 0,
        "tries": 0,
        "type": "charge.succeeded",
        "accepted_at": NOON,
    }
    return Claimed(**{**values, **changes})


def network(
    *,
    private: bool = True,
    timeout: float = 60.0,
    connect_timeout: float = 60.0,
    lookup: Callable[..., list[Any]] = socket.getaddrinfo,
    tls: ssl.SSLContext | None = None,
) -> Network:
    """Return a network that reaches this machine."""
    return Network(
        private=private,
        timeout=timeout,
        connect_timeout=connect_timeout,
        resolver=Resolver(lookup),
        tls=tls or _TLS,
    )


def to(*found: str) -> Callable[..., list[Any]]:
    """Return a name server that knows one answer."""
    return lambda _host, port, **_rest: [(0, 0, 0, "", (one, port)) for one in found]


@dataclass
class Shop:
    """A database with purchases in it, and dispatchers that work by a clock which the test sets."""

    url: str
    destinations: Sequence[str]
    now: float = NOON
    network: Network = field(default_factory=network)
    concurrency: int = 4
    lease_seconds: float = 90.0
    database: Database = field(init=False)
    _number: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.database = self.another_database()

    def another_database(self) -> Database:
        """Open the same database as another process would."""
        return Database(self.url, self.destinations, clock=lambda: self.now)

    def sell(self, count: int = 1, **changes: Any) -> list[str]:
        """Store this number of events; return their ids."""
        ids = [f"evt_{next(self._number)}" for _ in range(count)]
        for one in ids:
            values: dict[str, Any] = {
                "id": one,
                "type": "charge.succeeded",
                "payload": BODY,
                "content_type": "application/json; charset=utf-8",
                "signature": "t=1700000000,v1=ab",
            }
            accept(self.database, NewEvent(**{**values, **changes}))
        return ids

    def dispatcher(self, database: Database | None = None) -> Dispatcher:
        """Make a dispatcher; it delivers for all destinations."""
        return Dispatcher(
            database or self.database,
            self.destinations,
            lambda: self.network,
            timeout=self.network.timeout,
            concurrency=self.concurrency,
            lease_seconds=self.lease_seconds,
            clock=lambda: self.now,
        )

    def drain(self, seconds: float = 100.0) -> Drained:
        """Deliver what is due at this moment of the shop's clock."""
        return self.dispatcher().drain(seconds)

    def live(self, seconds: float, *, step: float) -> None:
        """Let time pass, and deliver after every step."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + step, until)
            self.drain()

    def delivery(self, event_id: str, destination: str | None = None) -> Delivery:
        """Return one event's delivery to a destination (the first)."""
        stored = queries.event(self.database, event_id)
        assert stored is not None
        wanted = destination or self.destinations[0]
        return next(one for one in stored.deliveries if one.destination == wanted)

    def states(self) -> dict[str, int]:
        """Count deliveries by state, over all destinations."""
        found = queries.status(self.database).destinations
        return {
            "pending": sum(one.pending for one in found),
            "in_flight": sum(one.in_flight for one in found),
            "delivered": sum(one.delivered for one in found),
            "dead": sum(one.dead for one in found),
        }

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def attempt(url: str, net: Network | None = None) -> Response:
    """Make one attempt."""
    sender = Sender(url, net or network())
    try:
        return sender.send(claimed())
    finally:
        sender.close()


@contextlib.contextmanager
def one_peer(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Let ``talk`` speak to the first who connects; provide the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer, contextlib.suppress(OSError):
                talk(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(100)
