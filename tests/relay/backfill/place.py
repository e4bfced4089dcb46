"""A relay's environment beside a stand-in account, for its commands."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from tests.events import encode
from tests.relay.backfill.parts import DAY, HOOK, SIGNED, listed, sale
from tests.relay.operate.parts import accept, environment
from tracknow_static.relay.store import facts, queries
from tracknow_static.relay.store.database import Database

if TYPE_CHECKING:
    from tests.account.stand_in import Stripe


class Place:
    """An account, and the environment of a relay whose database was made ten days ago."""

    def __init__(self, stripe: Stripe, url: str) -> None:
        self.stripe = stripe
        self.now = int(time.time())
        self.environ = {
            **environment(url, HOOK, SIGNED, signed_destinations=SIGNED),
            "STRIPE_API_KEY": "rk_live_good",
            "STRIPE_API_KEY_FILE": "",
            "TRACKNOW_STRIPE_API_BASE": stripe.base,
        }
        self.database = Database(url)
        made = repr(float(self.now - 10 * DAY))
        self.database.run(lambda connection: facts.note_fact(connection, facts.CREATED_AT, made))

    def sell(self, name: str, ago: int) -> None:
        """Let Stripe have both events of a purchase."""
        for body in sale(name, self.now - ago):
            self.stripe.events.add(listed(body))

    def stored(self) -> int:
        """Number of events in the database."""
        return queries.status(self.database).tallies.get(("accepted", ""), 0)

    def receive(self, name: str) -> None:
        """Let Stripe push both events of a purchase."""
        accept(self.environ, *map(encode, sale(name, self.now)))

    def page(self, items: list[dict[str, Any]]) -> bytes:
        """Return an answer that lists items."""
        body = {"object": "list", "data": items, "has_more": False, "url": "/v1/x"}
        return json.dumps(body).encode()
