"""A shop whose events are at a stand-in Stripe account, and a relay that fetches them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from tests.events import SECRET, encode
from tests.relay.sales.shapes import charge
from tests.relay.sales.shapes import session as checkout
from tracknow_static.account.key import ApiKey
from tracknow_static.relay.backfill.backfill import Backfill
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.receive.event import event_of
from tracknow_static.relay.signing_secrets import Secrets
from tracknow_static.relay.store import backfill_state, facts
from tracknow_static.relay.store.events import store
from tracknow_static.relay.store.ingest import Ingest
from tracknow_static.relay.store.schema import deliveries, events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.account.stand_in import Stripe
    from tests.relay.store.parts import Clock
    from tracknow_static.relay.backfill.backfill import Polled
    from tracknow_static.relay.store.backfill_state import State
    from tracknow_static.relay.store.database import Database

HOOK, SIGNED = "https://a.example/hook", "https://signed.example/hook"
DAY = 86_400


def sale(name: int | str, created: int, **session: Any) -> list[dict[str, Any]]:
    """Return both events of a purchase, of the same second."""
    at = {"created": created}
    return [
        charge(str(name), created=created, event={"id": f"evt_{name}_charge", **at}),
        checkout(str(name), created=created - 60, event={"id": f"evt_{name}", **at}, **session),
    ]


def listed(body: dict[str, Any]) -> dict[str, Any]:
    """Return an event with the fields that a list shows, too."""
    request = {"id": None, "idempotency_key": None}
    return {"api_version": "2025-03-31.basil", "pending_webhooks": 0, "request": request, **body}


@dataclass
class Shop:
    """The account, the relay's database, and its configuration."""

    stripe: Stripe
    database: Database
    clock: Clock
    config: RelayConfig

    @property
    def now(self) -> int:
        """The database's time."""
        return int(self.clock.time)

    def sell(
        self, name: int | str, created: int | None = None, *, ago: int = 0, **more: Any
    ) -> None:
        """Let Stripe have both events of a purchase."""
        for body in sale(name, self.now - ago if created is None else created, **more):
            self.stripe.events.add(listed(body))

    def push(self, id_: str) -> bool:
        """Let Stripe push one of its events; return whether it was new."""
        body = next(one for one in self.stripe.events if one["id"] == id_)
        payload = encode(body)
        new = event_of(payload.decode(), payload, self.config, content_type=None, signature="t=1")
        return store(self.database, [new])[0].new

    @contextlib.contextmanager
    def backfill(self, *, running_since: float | None = None) -> Iterator[Backfill]:
        """The task, as one process does it."""
        ingest = Ingest.from_config(self.config, self.database)
        yield Backfill(self.config, ingest, running_since=running_since)
        ingest.close()

    def poll(self, *, running_since: float | None = None) -> Polled | None:
        """Poll once."""
        with self.backfill(running_since=running_since) as task:
            return task.poll()

    def rows(self) -> dict[str, str]:
        """Ids of the stored events, with how they came."""
        with self.database.read() as connection:
            found = connection.execute(select(events.c.id, events.c.source))
            return {row.id: row.source for row in found}

    def deliveries(self) -> list[tuple[str, str]]:
        """Event and destination of every delivery, in order."""
        statement = select(deliveries.c.event_id, deliveries.c.destination)
        with self.database.read() as connection:
            return sorted((row.event_id, row.destination) for row in connection.execute(statement))

    def payload(self, id_: str) -> bytes:
        """The stored bytes of an event."""
        statement = select(events.c.payload).where(events.c.id == id_)
        with self.database.read() as connection:
            return bytes(connection.execute(statement).scalar_one())

    @property
    def state(self) -> State:
        """What backfill knows."""
        with self.database.read() as connection:
            found = backfill_state.load(connection)
        assert found is not None
        return found

    def made(self, at: float) -> None:
        """Let the database have been made at some time."""
        self.database.run(
            lambda connection: facts.note_fact(connection, facts.CREATED_AT, repr(at))
        )

    def with_key(self, text: str) -> Shop:
        """The same shop, with another API key."""
        return replace(self, config=replace(self.config, api_key=ApiKey.parse(text)))

    def with_events(self, types: tuple[str, ...]) -> Shop:
        """The same shop, whose relay forwards these types."""
        return replace(self, config=replace(self.config, events=types))

    def on(self, database: Database) -> Shop:
        """The same shop, in another process."""
        return replace(self, database=database)


def config_of(database: Database, **more: Any) -> RelayConfig:
    """Return the configuration of a relay with a key for Stripe's API."""
    return RelayConfig(
        secrets=Secrets((SECRET,)),
        database=database.url.render_as_string(hide_password=False),
        destinations=database.destinations,
        api_key=ApiKey.parse("rk_live_good"),
        min_free_mb=0,
        commit_timeout=60.0,
        **more,
    )
