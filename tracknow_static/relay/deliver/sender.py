"""Attempts: the stored bytes go to a destination, and the answer is read and judged.

The request is ``POST`` with the event's own bytes, ``Content-Type`` and ``Stripe-Signature``;
``Tracknow-Event-Id`` carries the id of the event, which stays the same for every attempt and every
replay, so that a destination can recognise what it has seen. An event that was fetched from
Stripe's API has no signature: ``Tracknow-Event-Source: api`` shows that. No redirect is followed,
no cookie kept.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpcore

from tracknow_static import __version__
from tracknow_static.relay import crash_points
from tracknow_static.relay.deliver import verdict
from tracknow_static.relay.deliver.breaker import THRESHOLD
from tracknow_static.relay.deliver.network import GuardedBackend, NetworkError
from tracknow_static.relay.deliver.verdict import Meaning, Response, Verdict
from tracknow_static.relay.store.model import WEBHOOK

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracknow_static.relay.deliver.network import Network
    from tracknow_static.relay.store.model import Claimed

_log = logging.getLogger(__name__)

SENDING = crash_points.declare("deliver.sending", "an attempt begins")
SENT = crash_points.declare("deliver.sent", "the destination has answered, nothing is recorded")

USER_AGENT = f"tracknow-static/{__version__} (relay)"
EVENT_ID_HEADER = "Tracknow-Event-Id"
SOURCE_HEADER = "Tracknow-Event-Source"

# Of an answer's body the first part is of use; reading all of it keeps the connection usable.
LONGEST_BODY = 64 * 1024
# The status decides. A body that trickles in holds a thread no longer than this.
BODY_SECONDS = 2.0

# Servers close idle connections after 5 seconds (Node, Apache, uvicorn) and more (nginx): leave
# before them, as a request that meets the closing costs another one.
_KEEPALIVE_SECONDS = 4.0
# An answer's head and the part of its body that is read need less. Interim answers (100, 103) have
# no limit of their own, and a flood of them takes the processor from everything else.
_LONGEST_ANSWER = 256 * 1024

# What ends the reading of a body.
_BROKEN = (NetworkError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


class Sender:
    """Sends to one destination over one connection, kept open between events; for one thread.

    A request that meets the closing of a used connection is sent again on a new one: that is still
    one attempt.
    """

    def __init__(self, destination: str, network: Network) -> None:
        self._url = httpcore.URL(destination)
        self._network = network
        self._backend = GuardedBackend(network, most=_LONGEST_ANSWER)
        self._host = _host_header(self._url)
        self._connection: httpcore.HTTPConnection | None = None
        self._aborted = False

    def send(self, claimed: Claimed) -> Response:
        """Make one attempt, which ends within the network's time-out whatever the other end does."""
        started = time.monotonic()
        self._backend.deadline = started + self._network.timeout
        request = self._request(claimed)
        is_reused = self._has_usable_connection()
        response = self._try_exchange(request)
        if (
            is_reused
            and response.error == "reset"
            and not (self._backend.received or self._aborted)
        ):
            # A server may close an idle connection in the moment when it is used again: without a
            # byte of an answer, that shows nothing about the destination or the event.
            response = self._try_exchange(request)
        return replace(response, took_ms=_milliseconds_since(started))

    def reach(self) -> Response:
        """Connect to the destination and send nothing: no event, no request.

        The name is looked up, the address checked, a connection and TLS are made as for an event.
        """
        started = time.monotonic()
        self._backend.deadline = started + self._network.timeout
        origin = self._url.origin
        host = origin.host.decode("ascii")
        error, detail = None, ""
        try:
            stream = self._backend.connect_tcp(host, origin.port)
            if origin.scheme == b"https":
                stream = stream.start_tls(self._network.tls, server_hostname=host)
            stream.close()
        except NetworkError as failure:
            error, detail = failure.code, str(failure)
        return Response(error=error, detail=detail, took_ms=_milliseconds_since(started))

    def abort(self) -> None:
        """End an attempt that another thread makes: it fails at once."""
        self._aborted = True
        self._backend.abort()

    def close(self) -> None:
        """Close the connection; the next attempt opens a new one."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None

    def _request(self, claimed: Claimed) -> httpcore.Request:
        headers = [
            ("Host", self._host),
            ("User-Agent", USER_AGENT),
            ("Accept", "*/*"),
            # What was compressed could not be read for less than what an answer is worth.
            ("Accept-Encoding", "identity"),
            ("Content-Length", str(len(claimed.payload))),
            (EVENT_ID_HEADER, quote(claimed.event_id, safe="")),
        ]
        if claimed.content_type is not None:
            headers.append(("Content-Type", claimed.content_type))
        if claimed.signature is not None:
            headers.append(("Stripe-Signature", claimed.signature))
        if claimed.source != WEBHOOK:
            headers.append((SOURCE_HEADER, claimed.source))
        raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
        return httpcore.Request("POST", self._url, headers=raw, content=claimed.payload)

    def _try_exchange(self, request: httpcore.Request) -> Response:
        self._backend.received = 0
        try:
            return self._exchange(request)
        except NetworkError as error:
            response = Response(error=error.code, detail=str(error))
        except httpcore.TimeoutException:
            response = Response(error="timeout", detail="waiting for the destination")
        except httpcore.LocalProtocolError:
            response = Response(error="unsendable", detail="a header of the event is not valid")
        except (httpcore.NetworkError, httpcore.ProtocolError) as failure:
            # The library's own texts quote what the destination sent.
            if self._backend.received and isinstance(failure, httpcore.ProtocolError):
                response = Response(error="protocol", detail="the answer is not valid HTTP")
            else:
                response = Response(error="reset", detail="the connection was closed unanswered")
        self.close()
        return response

    def _exchange(self, request: httpcore.Request) -> Response:
        response = self._connected().handle_request(request)
        headers = {name.lower(): value for name, value in response.headers}
        try:
            body = self._read_body(response)
        finally:
            response.close()
        return Response(
            status=response.status,
            body=body,
            retry_after=_text(headers.get(b"retry-after")),
            date=_text(headers.get(b"date")),
        )

    def _has_usable_connection(self) -> bool:
        """Whether the connection can be used again; one that cannot is closed."""
        connection = self._connection
        # One that the other end closed while it was idle has expired, too.
        if connection is None or connection.is_closed() or connection.has_expired():
            self.close()
            return False
        return True

    def _connected(self) -> httpcore.HTTPConnection:
        if self._connection is None:
            self._connection = httpcore.HTTPConnection(
                self._url.origin,
                ssl_context=self._network.tls,
                keepalive_expiry=_KEEPALIVE_SECONDS,
                network_backend=self._backend,
            )
        return self._connection

    def _read_body(self, response: httpcore.Response) -> bytes:
        """Return the answer's body, or what has come of it.

        One that is too long, too slow or broken costs the connection. The status counts whatever
        becomes of the body.
        """
        soon = time.monotonic() + BODY_SECONDS
        self._backend.deadline = min(self._backend.deadline, soon)
        body = bytearray()
        try:
            for chunk in response.iter_stream():
                body += chunk
                if len(body) > LONGEST_BODY:
                    break
        except _BROKEN:
            self.close()
        else:
            if len(body) > LONGEST_BODY:
                self.close()
        return bytes(body)


@dataclass(frozen=True)
class Job:
    """One delivery to attempt; after ``start_by`` (``time.monotonic``) it is not begun."""

    claimed: Claimed
    probe: bool
    start_by: float


@dataclass(frozen=True)
class Finished:
    """A job that ended; without ``verdict``, nothing was sent or no answer was waited for."""

    job: Job
    verdict: Verdict | None


class SenderPool:
    """Attempts of one destination on up to ``size`` threads, each with a connection of its own.

    ``finished`` gets every job when it has ended, and None for each call of :meth:`nudge`.
    ``clock`` returns Unix time.
    """

    def __init__(
        self, destination: str, network: Network, size: int, *, clock: Callable[[], float]
    ) -> None:
        self.finished: queue.SimpleQueue[Finished | None] = queue.SimpleQueue()
        self.stopping = threading.Event()
        # While it is set, nothing but probes is sent.
        self.on_hold = threading.Event()
        self._destination = destination
        self._network = network
        self._clock = clock
        self._executor = ThreadPoolExecutor(size, thread_name_prefix="relay-sender")
        # The executor's tasks take jobs from here, each one: a task that could not be given to a
        # thread stays in the executor all the same, and finds nothing when it runs later.
        self._jobs: deque[Job] = deque()
        self._senders: list[Sender] = []
        # Those without an attempt, the one used last at the end.
        self._free: deque[Sender] = deque()
        self._aborted = False
        self._lacks_threads = False
        self._failures = 0
        self._lock = threading.Lock()

    def submit(self, job: Job) -> None:
        """Give a job to the next free thread; one that cannot be sent is finished at once."""
        if job.claimed.problem is not None:
            self.finished.put(Finished(job, Verdict(Meaning.UNSENT, error=job.claimed.problem)))
            return
        self._jobs.append(job)
        try:
            self._executor.submit(self._work)
        except RuntimeError as error:
            if "new thread" in str(error):
                # The system has none to give now (memory, a limit): go on, one after another.
                if not self._lacks_threads:
                    _log.warning("%s: attempts are made one at a time", error)
                self._lacks_threads = True
            else:
                # The interpreter exits: what is not begun is given back.
                self.stopping.set()
            self._work()

    def nudge(self) -> None:
        """End a wait for ``finished``."""
        self.finished.put(None)

    def release(self) -> None:
        """Send again: the breaker is closed."""
        with self._lock:
            self._failures = 0
            self.on_hold.clear()

    def abort(self) -> None:
        """End attempts in flight without their answers: their deliveries are given back."""
        self._aborted = True
        for sender in list(self._senders):
            sender.abort()

    @property
    def has_connections(self) -> bool:
        """Whether :meth:`close_connections` has anything to do."""
        return bool(self._free)

    def close_connections(self) -> None:
        """Close the connections; only while no job is under way."""
        for sender in self._free:
            sender.close()
        self._free.clear()
        self._senders.clear()

    def shut_down(self) -> None:
        """Let the threads end; only when no job is under way."""
        self._executor.shutdown(wait=False)
        self.close_connections()

    def _work(self) -> None:
        try:
            job = self._jobs.popleft()
        except IndexError:
            return
        judged: Verdict | None = None
        try:
            if self._may_send(job):
                judged = self._attempt(job)
        finally:
            self.finished.put(Finished(job, judged))

    def _may_send(self, job: Job) -> bool:
        if self.stopping.is_set() or (self.on_hold.is_set() and not job.probe):
            return False
        return time.monotonic() <= job.start_by

    def _attempt(self, job: Job) -> Verdict | None:
        sender = self._take_sender()
        crash_points.reach(SENDING)
        try:
            response = sender.send(job.claimed)
        except Exception:  # noqa: BLE001 - whatever it is, the delivery needs a result
            _log.exception("attempt failed unexpectedly", extra={"event": job.claimed.event_id})
            sender.close()
            response = Response(error="internal")
        finally:
            self._free.append(sender)
        if self._aborted:
            return None
        crash_points.reach(SENT)
        judged = verdict.judge(response, now=self._clock())
        self._hold_if_failing(judged.meaning)
        return judged

    def _take_sender(self) -> Sender:
        try:
            return self._free.pop()
        except IndexError:
            sender = Sender(self._destination, self._network)
            self._senders.append(sender)
            return sender

    def _hold_if_failing(self, meaning: Meaning) -> None:
        """Hold at once when the breaker is about to open: it opens one transaction later."""
        with self._lock:
            if not meaning.is_answer:
                return
            self._failures = 0 if meaning.is_up else self._failures + 1
            if self._failures >= THRESHOLD or meaning in (Meaning.MISCONFIGURED, Meaning.BUSY):
                self.on_hold.set()


def _host_header(url: httpcore.URL) -> str:
    """Write the host as RFC 9112, 3.2 wants it: IPv6 in brackets, no port if it is the scheme's."""
    host = url.host.decode("ascii")
    host = f"[{host}]" if ":" in host else host
    usual = {b"https": 443, b"http": 80}[url.scheme]
    return host if url.port in (None, usual) else f"{host}:{url.port}"


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _milliseconds_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
