"""The application as `serve` runs it, with another time for a body and room for two large ones."""

from __future__ import annotations

import os

from tracknow_static.relay import create_application
from tracknow_static.relay.receive import rsgi

rsgi.LARGE_AT_ONCE = 2
application = rsgi.RsgiRelay(create_application(), body_seconds=float(os.environ["BODY_SECONDS"]))
