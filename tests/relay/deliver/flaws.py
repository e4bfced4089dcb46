"""Dispatchers that are wrong in one way each: the tests must notice every one of them."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest import mock

import httpcore
from sqlalchemy import select, update

from tracknow_static.relay.deliver import breaker, network, schedule, sender, verdict
from tracknow_static.relay.deliver.breaker import Gate
from tracknow_static.relay.deliver.network import GuardedBackend
from tracknow_static.relay.deliver.sender import Job, Sender, SenderPool
from tracknow_static.relay.deliver.verdict import Response, Verdict
from tracknow_static.relay.deliver.worker import DestinationWorker
from tracknow_static.relay.store import destinations, events, leases
from tracknow_static.relay.store.model import Accepted, Claimed, DeliveryResult, NewEvent
from tracknow_static.relay.store.schema import deliveries

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator, Sequence

FLAWS: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {}

_reported: set[str] = set()
_news = threading.Condition()


def reported(event_id: str) -> None:
    """Note that an event was acknowledged, and that whoever looks for it knows."""
    with _news:
        _reported.add(event_id)
        _news.notify_all()


def _wait_until_reported(ids: Iterable[str]) -> None:
    """Let a process that dies early have acknowledged these events before."""
    wanted = set(ids)
    with _news:
        _news.wait_for(lambda: wanted <= _reported, 60)


def flaw(make: Callable[[], Iterator[Any]]) -> Callable[[], Iterator[Any]]:
    """Register a flaw under the words of its function's name."""
    FLAWS[make.__name__.replace("_", " ")] = contextlib.contextmanager(make)
    return make


@flaw
def acknowledges_before_the_commit() -> Iterator[Any]:
    """Stripe gets its 200 while the event is on its way to the disk."""
    store = events.store

    def early(database: Any, batch: Sequence[NewEvent], *more: Any) -> list[Accepted]:
        def late() -> None:
            _wait_until_reported(event.id for event in batch)
            store(database, batch, *more)

        threading.Thread(target=late).start()
        return [Accepted(event.id, new=True) for event in batch]

    with mock.patch.object(events, "store", early):
        yield


@flaw
def settles_before_it_sends() -> Iterator[Any]:
    """At most once instead of at least once."""
    start = DestinationWorker._start

    def settled(
        self: DestinationWorker, found: list[Claimed], leased_at: float, *, probe: bool
    ) -> None:
        leases.settle(
            self._database, [DeliveryResult(claimed, "delivered", 200) for claimed in found]
        )
        _wait_until_reported(claimed.event_id for claimed in found)
        start(self, found, leased_at, probe=probe)

    with mock.patch.object(DestinationWorker, "_start", settled):
        yield


@flaw
def leases_without_a_fence() -> Iterator[Any]:
    """Whoever comes last settles, whether its lease holds or not."""
    settle = leases.settle

    def unfenced(database: Any, outcomes: Sequence[DeliveryResult]) -> list[bool]:
        with database.read() as connection:
            table = deliveries.c
            tokens = {
                row.id: row.token for row in connection.execute(select(table.id, table.token))
            }
        renewed = [
            replace(one, claimed=replace(one.claimed, token=tokens[one.claimed.delivery_id]))
            for one in outcomes
        ]
        database.run(
            lambda connection: connection.execute(
                update(deliveries)
                .where(table.id.in_([one.claimed.delivery_id for one in outcomes]))
                .values(state="pending", settled_at=None)
            )
        )
        return settle(database, renewed)

    with mock.patch.object(leases, "settle", unfenced):
        yield


@flaw
def counts_retries_during_an_outage() -> Iterator[Any]:
    """Each probe brings its event nearer to the dead letters."""
    right = verdict.result

    def counted(claimed: Claimed, judged: Verdict, *, probe: bool, **rest: Any) -> DeliveryResult:
        return right(claimed, judged, probe=False, **rest)

    with mock.patch.object(verdict, "result", counted):
        yield


@flaw
def has_no_breaker() -> Iterator[Any]:
    """A destination that is down is bombarded, and every event pays for it."""
    with (
        mock.patch.object(breaker, "gate", return_value=(Gate.CLOSED, 0.0)),
        mock.patch.object(sender, "THRESHOLD", 10**9),
    ):
        yield


@flaw
def lets_every_process_probe() -> Iterator[Any]:
    """The breaker is written without comparing."""
    write = destinations.set_breaker

    def always(database: Any, seen: Any, **changes: Any) -> bool:
        write(database, seen, **changes)
        return True

    with mock.patch.object(destinations, "set_breaker", always):
        yield


@flaw
def keeps_sending_to_a_misconfigured_destination() -> Iterator[Any]:
    """A wrong configuration is an ordinary failure."""
    right = verdict.judge

    def plain(response: Response, *, now: float) -> Verdict:
        judged = right(response, now=now)
        if judged.meaning is verdict.Meaning.MISCONFIGURED:
            return replace(judged, meaning=verdict.Meaning.FAILED)
        return judged

    with mock.patch.object(verdict, "judge", plain):
        yield


@flaw
def probes_the_same_event_for_ever() -> Iterator[Any]:
    """The oldest event is always first, also when it has just failed."""
    right = verdict.result

    def first(claimed: Claimed, judged: Verdict, **rest: Any) -> DeliveryResult:
        return replace(right(claimed, judged, **rest), delay=-1e6)

    with mock.patch.object(verdict, "result", first):
        yield


@flaw
def follows_redirects() -> Iterator[Any]:
    """An event goes wherever an answer points to."""
    exchange = Sender._exchange

    def follow(self: Sender, request: httpcore.Request) -> Response:
        response = self._connected().handle_request(request)
        headers = {name.lower(): value for name, value in response.headers}
        response.read()
        response.close()
        if b"location" not in headers:
            return Response(status=response.status)
        self.close()
        self._url = httpcore.URL(headers[b"location"])
        again = httpcore.Request("POST", self._url, headers=request.headers, content=request.stream)
        return exchange(self, again)

    with mock.patch.object(Sender, "_exchange", follow):
        yield


@flaw
def judges_one_address_and_dials_another() -> Iterator[Any]:
    """The name is looked up a second time for the connection."""

    def connect(self: GuardedBackend, host: str, port: int, **_rest: Any) -> Any:
        judged = self._network.resolver.resolve(host, port, 5)
        connect = right
        if all(network.is_public(one) for one in judged):
            connect = functools.partial(_unjudged, right)
        return connect(self, host, port)

    right = GuardedBackend.connect_tcp
    with mock.patch.object(GuardedBackend, "connect_tcp", connect):
        yield


def _unjudged(right: Any, self: GuardedBackend, host: str, port: int) -> Any:
    with mock.patch.object(self, "_network", replace(self._network, private=True)):
        return right(self, host, port)


@flaw
def times_each_read_and_not_the_attempt() -> Iterator[Any]:
    """A byte now and then keeps an attempt alive."""
    with mock.patch.object(GuardedBackend, "left", return_value=60.0):
        yield


@flaw
def reads_all_of_an_answer() -> Iterator[Any]:
    """An answer of 10 MB is read."""
    with mock.patch("tracknow_static.relay.deliver.sender.LONGEST_BODY", 1 << 40):
        yield


@flaw
def writes_the_json_anew() -> Iterator[Any]:
    """The payload is parsed and serialised: the signature no longer fits."""
    request = Sender._request

    def anew(self: Sender, claimed: Claimed) -> httpcore.Request:
        with contextlib.suppress(ValueError):
            claimed = replace(claimed, payload=json.dumps(json.loads(claimed.payload)).encode())
        return request(self, claimed)

    with mock.patch.object(Sender, "_request", anew):
        yield


@flaw
def believes_every_retry_after() -> Iterator[Any]:
    """A destination may park a commission for years."""
    with mock.patch.object(schedule, "LONGEST_RETRY_AFTER", 10**12):
        yield


@flaw
def has_no_jitter() -> Iterator[Any]:
    """Events that failed together come back together."""
    with mock.patch.object(schedule, "JITTER", 0.0):
        yield


@flaw
def keeps_leases_when_it_stops() -> Iterator[Any]:
    """What was not sent stays leased after SIGTERM."""
    settle = leases.settle

    def forget(database: Any, outcomes: Sequence[DeliveryResult]) -> list[bool]:
        kept = [one for one in outcomes if one.kind != "release"]
        settle(database, kept)
        return [True] * len(outcomes)

    with mock.patch.object(leases, "settle", forget):
        yield


@flaw
def begins_an_attempt_after_its_lease() -> Iterator[Any]:
    """What waited in the process for long is sent although another process may send it, too."""
    may_send = SenderPool._may_send

    def late(self: SenderPool, job: Job) -> bool:
        return may_send(self, replace(job, start_by=time.monotonic() + 1e9))

    with mock.patch.object(SenderPool, "_may_send", late):
        yield


@flaw
def one_worker_for_all() -> Iterator[Any]:
    """All destinations share the same threads."""
    shared = threading.BoundedSemaphore(4)
    send = Sender.send

    def queue(self: Sender, claimed: Claimed) -> Response:
        with shared:
            return send(self, claimed)

    with mock.patch.object(Sender, "send", queue):
        yield


@flaw
def trusts_every_certificate() -> Iterator[Any]:
    """TLS without looking who answers."""
    import ssl

    wrap = ssl.SSLContext.wrap_socket

    def blind(self: ssl.SSLContext, sock: socket.socket, **rest: Any) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return wrap(context, sock, **rest)

    with mock.patch.object(ssl.SSLContext, "wrap_socket", blind):
        yield
