"""The application as `serve` runs it, with half a second for a body and room for two large ones."""

from __future__ import annotations

from tracknow_static.relay import create_application
from tracknow_static.relay.receive import rsgi

rsgi.LARGE_AT_ONCE = 2
application = rsgi.RsgiRelay(create_application(), body_seconds=0.5)
