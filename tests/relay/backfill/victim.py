"""A relay that fetches, delivers and keeps its ledger, in a process that is made to be killed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace

from tests.relay.deliver.victim import config
from tracknow_static.account.key import ApiKey
from tracknow_static.relay import crash_points
from tracknow_static.relay.backfill import listing
from tracknow_static.relay.backfill.backfill import Backfill
from tracknow_static.relay.deliver.dispatcher import Dispatcher
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.ingest import Ingest


@dataclass(frozen=True)
class Spec:
    """Where the database, the destination and Stripe are; ``point`` is where the process dies.

    ``hours`` is how far its clock is ahead: leases of the dead are over.
    """

    database: str
    destination: str
    stripe: str
    point: str
    hours: int


def live(spec: Spec) -> None:
    """Fetch, deliver and count everything, unless killed before."""
    crash_points._name, crash_points._left = crash_points._armed(spec.point)
    work(spec)
    os._exit(0)


def work(spec: Spec) -> None:
    """Do what a relay does, once."""
    os.environ["TRACKNOW_STRIPE_API_BASE"] = spec.stripe
    # The stand-in has no limit.
    listing.REQUESTS_A_SECOND = 10_000
    relay = replace(
        config(spec.database, (spec.destination,)), api_key=ApiKey.parse("rk_live_good")
    )
    database = Database.from_config(relay, clock=lambda: time.time() + spec.hours * 3600)
    ingest = Ingest.from_config(relay, database)
    polled = Backfill(relay, ingest).poll()
    assert polled is not None, "another process had the lease"
    Dispatcher.from_config(relay, database).drain(6000)
    ledger = Ledger(database)
    while ledger.advance():
        pass
    ledger.release()
    ingest.close()
    database.close()
