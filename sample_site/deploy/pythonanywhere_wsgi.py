"""The relay on PythonAnywhere: paste it into the web app's WSGI configuration file.

Install with ``pip install --user 'tracknow-static[relay]'`` and fill ``~/relay.env`` (see
tracknow-relay.env.example). A web app there runs no thread between two requests, so this one only
receives events. Deliver them with an always-on task

    tracknow-relay --env-file ~/relay.env worker

or, without one, by a scheduled task with ``drain`` in place of ``worker``.
"""

import os
from pathlib import Path

from dotenv import load_dotenv

load_dotenv(Path.home() / "relay.env", interpolate=False)
os.environ["TRACKNOW_RELAY_DELIVER"] = "false"

from tracknow_static.relay import application  # noqa: E402, F401 - reads what was just set
