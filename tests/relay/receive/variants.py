"""The relay, and relays with one flaw each that the checks of ``conformance`` must find."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import event as hooks

from tests.events import purchase
from tests.relay.calls import code, config, post, with_ingest
from tracknow_static.errors import RelayError
from tracknow_static.relay import crash_points
from tracknow_static.relay.app import Relay
from tracknow_static.relay.receive.response import Rejected
from tracknow_static.relay.store import events, queries
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.ingest import Ingest
from tracknow_static.relay.store.model import Accepted, NewEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from tracknow_static.relay.config import RelayConfig


def right(config: RelayConfig) -> Relay:
    """The relay as it is."""
    return with_ingest(config, _ingest(Ingest, config))


module: Any = importlib.import_module("tracknow_static.relay.app")


# The threads of those who answer too early, and what they wait for: their answer is on its way.
early: list[threading.Thread] = []
answered = threading.Event()


class _EarlyIngest(Ingest):
    def accept(self, event: NewEvent) -> Accepted:
        def late() -> None:
            answered.wait(60)
            super(_EarlyIngest, self).accept(event)

        early.append(threading.Thread(target=late, daemon=True))
        early[-1].start()
        return Accepted(event.id, new=True)


def acknowledges_before_commit(config: RelayConfig) -> Relay:
    """Answers while the commit is still under way."""
    return with_ingest(config, _ingest(_EarlyIngest, config))


class _CheckingIngest(Ingest):
    meeting = threading.Barrier(2)

    def accept(self, event: NewEvent) -> Accepted:
        seen = queries.event(self.database, event.id)
        if seen is not None:
            return Accepted(event.id, new=False)
        with contextlib.suppress(threading.BrokenBarrierError):
            # With another one that has seen nothing.
            self.meeting.wait(10)
        return super().accept(event._replace(id=_unique(event.id)))


_numbers = iter(range(10**9))


def _unique(event_id: str) -> str:
    return f"{event_id}__{next(_numbers)}"


def checks_then_inserts(config: RelayConfig) -> Relay:
    """Looks whether the event is there, then inserts, with nothing unique in the table."""
    return with_ingest(config, _ingest(_CheckingIngest, config))


def accepts_stale_signatures(config: RelayConfig) -> Relay:
    """Takes a signature of any age, as the library does without a tolerance."""
    lenient = module.verify

    def verify(body: bytes, header: str | None, secrets: Any, **_: Any) -> str:
        return str(lenient(body, header, secrets, tolerance=float("inf")))

    module.verify = verify
    return right(config)


def accepts_future_signatures(config: RelayConfig) -> Relay:
    """Takes a time stamp of the future, as the library does with a tolerance."""
    lenient = module.verify

    def verify(body: bytes, header: str | None, secrets: Any, **_: Any) -> str:
        stamp = int((header or "t=0,").split(",", 1)[0].removeprefix("t="))
        return str(lenient(body, header, secrets, clock=lambda: max(stamp, time.time())))

    module.verify = verify
    return right(config)


def does_not_sync(config: RelayConfig) -> Relay:
    """Lets the operating system decide when to write."""
    made = right(config)

    @hooks.listens_for(made.database.engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    return made


def parses_before_verifying(config: RelayConfig) -> Relay:
    """Stores first and verifies afterwards."""
    made = right(config)

    class Early(Relay):
        def _verify(self, environ: Any, body: bytes) -> str:
            signature = environ["HTTP_STRIPE_SIGNATURE"]
            self._store(
                module.event_of(body.decode(), body, config, content_type=None, signature=signature)
            )
            return super()._verify(environ, body)

    return with_ingest(config, made.ingest, kind=Early)


def stores_events_without_deliveries(config: RelayConfig) -> Relay:
    """Adds the deliveries in a second transaction."""
    original = events._add_deliveries
    late: list[tuple[Any, Any, float]] = []

    def postponed(connection: Any, fresh: Sequence[NewEvent], database: Any, now: float) -> None:
        late.append((fresh, database, now))

    events._add_deliveries = postponed
    reach = crash_points.reach

    def reached(name: str) -> None:
        reach(name)
        if name == events.COMMITTED and late:
            rest = late.pop()
            made.database.run(lambda connection: original(connection, *rest))

    crash_points.reach = reached
    made = right(config)
    return made


def answers_200_when_storage_fails(config: RelayConfig) -> Relay:
    """Hides a failure from Stripe, which then forgets the event."""

    class Polite(Relay):
        def _store(self, event: NewEvent) -> None:
            try:
                super()._store(event)
            except RelayError:
                return

    return with_ingest(config, _ingest(Ingest, config), kind=Polite)


def tells_which_part_failed(config: RelayConfig) -> Relay:
    """Says more about a refused signature than that it is refused."""

    class Talkative(Relay):
        def _verify(self, environ: Any, body: bytes) -> str:
            try:
                return super()._verify(environ, body)
            except Rejected as rejected:
                raise Rejected(400, rejected.reason, "Not accepted.") from None

    return with_ingest(config, _ingest(Ingest, config), kind=Talkative)


def _ingest(kind: type[Ingest], config: RelayConfig) -> Ingest:
    return kind.from_config(config, Database.from_config(config))


def post_once(variant: str, url: str, point: str, report: Connection) -> None:
    """Post one event to a variant and report its answer; die at a point. Runs in a fork."""
    # Nothing has read the environment for it.
    crash_points._name, crash_points._left = crash_points._armed(point)
    report.send(code(post(VARIANTS[variant](config(url)), purchase()))[0])
    answered.set()
    for thread in early:
        thread.join(60)
    os._exit(0)


VARIANTS: dict[str, Callable[[RelayConfig], Relay]] = {
    one.__name__: one
    for one in (
        right,
        acknowledges_before_commit,
        checks_then_inserts,
        accepts_stale_signatures,
        accepts_future_signatures,
        does_not_sync,
        parses_before_verifying,
        stores_events_without_deliveries,
        answers_200_when_storage_fails,
        tells_which_part_failed,
    )
}
