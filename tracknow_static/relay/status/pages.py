"""The pages behind the password: what each path shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracknow_static.relay.operate.conditions import conditions, observe
from tracknow_static.relay.status import render
from tracknow_static.relay.store import queries

if TYPE_CHECKING:
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.receive.response import Response
    from tracknow_static.relay.store.ingest import Ingest


def respond(ingest: Ingest, config: RelayConfig, path: str, _query: str, base: str) -> Response:
    """Return the page of a path below ``/status``."""
    if path:
        return render.message(404, "Not found", "There is no such page.", base=base)
    status = queries.status(ingest.database)
    problems = conditions(observe(ingest.database, config), config)
    return render.response(
        200, "overview.html", {"base": base, "status": status, "problems": problems}
    )
