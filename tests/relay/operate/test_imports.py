"""No command imports what it does not use: each starts cheaply."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.relay.operate.parts import environment, whole_environment

# The libraries that cost time or memory to import.
LIBRARIES = {
    "sqlalchemy",
    "httpcore",
    "prometheus_client",
    "granian",
    "stripe",
    "psycopg",
    "rich",
    "jinja2",
    "apprise",
}
SENDS = {"sqlalchemy", "httpcore"}
READS = {"sqlalchemy"}

PROGRAM = """
import contextlib, io, json, sys
from tracknow_static.relay.operate.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize(
    ("arguments", "used"),
    [
        (["--help"], set()),
        (["--version"], set()),
        (["status"], READS),
        (["list"], READS),
        (["show", "evt_1"], READS),
        (["sales"], READS),
        (["explain", "cs_1"], READS),
        (["report"], READS),
        (["migrate"], READS),
        (["replay", "--all"], READS),
        (["resume", "--all"], READS),
        (["purge"], READS),
        (["drain"], SENDS),
    ],
)
def test_a_command_imports_what_it_uses(
    sqlite_url: str, arguments: list[str], used: set[str]
) -> None:
    """The HTTP client, the server, the metrics and Stripe's library are left alone."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=whole_environment(environment(sqlite_url)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(json.loads(done.stdout)) & LIBRARIES == used
