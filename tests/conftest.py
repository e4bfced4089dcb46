"""Settings for every test."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A script that runs `make test &` makes its children ignore SIGINT, and a program that was started
# ignoring it correctly keeps ignoring it. Tests press Ctrl-C: the programs that they start must not inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST_NAME = 80


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Return a short name for a long value: a test's name goes into its environment and reports."""
    if isinstance(val, str | bytes) and len(val) > LONGEST_NAME:
        return f"{argname} of {len(val)}"
    return None


# Machines are shared and sometimes slow: a test fails for what is wrong, never for being late, and
# every run tries the same examples. For other ones: pytest --hypothesis-profile=explore
settings.register_profile(
    "project",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
    print_blob=True,
)
settings.register_profile(
    "explore", settings.get_profile("project"), derandomize=False, max_examples=2000
)
settings.load_profile("project")
