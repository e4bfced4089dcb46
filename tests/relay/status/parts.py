"""A configuration with a status page, and calls to it as a WSGI server makes them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from tests.relay.operate.parts import request
from tracknow_static.relay import create_application
from tracknow_static.relay.config import RelayConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracknow_static.relay.app import Relay

PASSWORD = "correct horse battery: ä"


def authorization(password: str = PASSWORD, user: str = "me") -> str:
    """Return the header of HTTP Basic."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def application(environ: Mapping[str, str]) -> Relay:
    """Return a relay with a status page."""
    with_page = {**environ, "TRACKNOW_RELAY_STATUS_PASSWORD": PASSWORD}
    return create_application(RelayConfig.from_environ(with_page))


def get(relay: Relay, target: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Ask for a page with the password; return status, headers and text."""
    path, _, query = target.partition("?")
    given = {"HTTP_AUTHORIZATION": authorization(), "QUERY_STRING": query, **headers}
    status, found, body = request(relay, path.encode().decode("latin-1"), None, **given)
    return status, found, body.decode()
