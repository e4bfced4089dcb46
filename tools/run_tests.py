"""Runs the whole test suite: what `make test` calls after lint and types.

Tests run in parallel processes. Each process that drives browsers does so in network and mount
namespaces of its own, so host names such as buy.stripe.com lead to a local stand-in there and
nowhere else on the machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run pytest with the given number of processes; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default="2", help="processes to test with (default: 2)")
    parser.add_argument("rest", nargs="*", help="passed on to pytest")
    options = parser.parse_args()
    command = [
        sys.executable,
        # Warnings of the interpreter itself (unclosed files, encodings) are errors too.
        *("-X", "dev"),
        *("-m", "pytest", "-n", options.workers, "--dist", "loadgroup"),
        # A process that crashes ends the run, which names its test: with another in its place
        # pytest-xdist waits for ever at the end.
        "--max-worker-restart=0",
        *(options.rest or ["-q"]),
    ]
    started = time.monotonic()
    # Hundreds of processes import this project: each would compile it again, or write beside it.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(ROOT / ".work" / "pycache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    print(f"· tests took {time.monotonic() - started:.0f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
