"""What the relay reads from its environment, declared once.

Every variable's name, default, meaning and accepted values stand in :class:`RelayConfig`; the
documents' table and ``tracknow-relay check`` read this declaration. How one variable is read and
refused is in ``variable``.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from tracknow_static import rules
from tracknow_static.errors import SettingsError
from tracknow_static.relay import values
from tracknow_static.relay.signing_secrets import Secrets
from tracknow_static.relay.variable import Variable, declare

if TYPE_CHECKING:
    from collections.abc import Mapping

POSTBACK = "https://{namespace}-tracking.tracknow.info/stripe/postback"
WANTED_TYPES = ("charge.succeeded", "checkout.session.completed")

_PREFIX = "TRACKNOW_RELAY_"


@dataclass(frozen=True, kw_only=True)
class RelayConfig:
    """The relay's configuration, checked.

    Make it with :meth:`from_environ`; the constructor takes values that are right already.
    """

    namespace: str | None = declare(
        "TRACKNOW_NAMESPACE",
        None,
        values.namespace(),
        "Your Tracknow namespace: events go to "
        "https://NAMESPACE-tracking.tracknow.info/stripe/postback.",
    )
    secrets: Secrets = declare(  # noqa: RUF009 - the default is empty and never changes
        "STRIPE_WEBHOOK_SECRET",
        Secrets(),
        values.secrets(),
        "Signing secrets of the webhook endpoint (whsec_…), one or several. "
        "STRIPE_WEBHOOK_SECRET_FILE names a file that holds them instead; "
        "it is read again when it changes.",
        secret=True,
    )
    database: str = declare(
        "TRACKNOW_RELAY_DATABASE",
        "",
        values.database(),
        "Where events are kept, as an SQLAlchemy URL. "
        "TRACKNOW_RELAY_DATABASE_FILE names a file that holds it instead.",
        shown="an SQLite file in the user's state directory",
        secret=True,
    )
    destinations: tuple[str, ...] = declare(
        "TRACKNOW_RELAY_DESTINATIONS",
        (),
        values.destinations(),
        "URLs that get every event instead of the Tracknow namespace's own.",
        shown="the namespace's postback URL",
    )
    livemode: str = declare(
        "TRACKNOW_RELAY_LIVEMODE",
        "live",
        rules.choice("live", "test", "both"),
        "Which events are forwarded: real purchases, those of Stripe's test mode, or both.",
    )
    events: tuple[str, ...] = declare(
        "TRACKNOW_RELAY_EVENTS",
        WANTED_TYPES,
        values.event_types(),
        "Types of events that are forwarded.",
    )
    accounts: tuple[str, ...] = declare(
        "TRACKNOW_RELAY_ACCOUNTS",
        (),
        values.accounts(),
        "Connected Stripe accounts (acct_…) whose events are forwarded like your own.",
    )
    allow_insecure_destinations: bool = declare(
        "TRACKNOW_RELAY_ALLOW_INSECURE_DESTINATIONS",
        False,
        rules.flag(),
        "Permit destinations with http and with private addresses.",
    )
    bind: str = declare(
        "TRACKNOW_RELAY_BIND",
        "127.0.0.1:8787",
        values.address(),
        "Address that `tracknow-relay serve` listens on.",
    )
    deliver: bool = declare(
        "TRACKNOW_RELAY_DELIVER",
        True,
        rules.flag(),
        "Deliver from a thread inside the web process.",
    )
    concurrency: int = declare(
        "TRACKNOW_RELAY_CONCURRENCY",
        8,
        rules.whole_number(1, 256),
        "Attempts under way at the same time, for each destination and each process that "
        "delivers. Up to 8 times as many events are repeated when a process is killed.",
    )
    connect_timeout: float = declare(
        "TRACKNOW_RELAY_CONNECT_TIMEOUT",
        5.0,
        values.seconds(0.1, 60),
        "Seconds to wait for a connection to a destination, TLS included.",
    )
    timeout: float = declare(
        "TRACKNOW_RELAY_TIMEOUT",
        30.0,
        values.seconds(0.1, 300),
        "Seconds that one attempt may take in all.",
    )
    max_body: int = declare(
        "TRACKNOW_RELAY_MAX_BODY",
        1024 * 1024,
        rules.whole_number(1024, 64 * 1024 * 1024),
        "Largest request body in bytes.",
    )
    min_free_mb: int = declare(
        "TRACKNOW_RELAY_MIN_FREE_MB",
        64,
        rules.whole_number(0, 1_000_000),
        "Free space in MB under which no event is taken in, so that Stripe keeps it.",
    )
    commit_timeout: float = declare(
        "TRACKNOW_RELAY_COMMIT_TIMEOUT",
        8.0,
        values.seconds(0.1, 60),
        "Seconds after which a commit that hangs is answered with 503.",
    )
    retention_delivered_days: int = declare(
        "TRACKNOW_RELAY_RETENTION_DELIVERED_DAYS",
        30,
        rules.whole_number(0, 3650),
        "Days after which a delivered event's payload is purged.",
    )
    retention_dead_days: int = declare(
        "TRACKNOW_RELAY_RETENTION_DEAD_DAYS",
        90,
        rules.whole_number(0, 3650),
        "Days after which the payload of a dead letter or of an event "
        "that is kept and not forwarded is purged.",
    )
    retention_references_days: int = declare(
        "TRACKNOW_RELAY_RETENTION_REFERENCES_DAYS",
        1095,
        rules.whole_number(0, 36500),
        "Days after its last event for which a customer's click id is remembered.",
    )
    metrics: bool = declare(
        "TRACKNOW_RELAY_METRICS",
        True,
        rules.flag(),
        "Serve /metrics.",
    )
    log_format: str = declare(
        "TRACKNOW_RELAY_LOG_FORMAT",
        "text",
        rules.choice("text", "json"),
        "Shape of the log's lines.",
    )
    log_level: str = declare(
        "TRACKNOW_RELAY_LOG_LEVEL",
        "info",
        rules.choice("debug", "info", "warning", "error"),
        "Least level that is logged.",
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> RelayConfig:
        """Read the environment (``os.environ`` when not given), check it, and fill in what follows.

        ``destinations`` and ``database`` are filled from the namespace and the user's state
        directory when they are not set. An empty variable counts as not set.

        Raises :class:`SettingsError` with one sentence for each variable at fault.
        """
        environ = os.environ if environ is None else environ
        found: dict[str, Any] = {}
        problems = _unknown(environ)
        for one in VARIABLES:
            problems += one.read(environ, found)
        if not problems:
            problems = _contradictions(found)
        if problems:
            raise SettingsError(problems)
        if not found.get("destinations"):
            found["destinations"] = (POSTBACK.format(namespace=found["namespace"]),)
        if not found.get("database"):
            found["database"] = default_database()
        return cls(**found)

    @property
    def lease_seconds(self) -> float:
        """Length of a lease: more than one attempt can take, or two workers would send one event."""
        return self.timeout + 30.0


VARIABLES: tuple[Variable, ...] = tuple(Variable.of(one) for one in fields(RelayConfig))

# Read by other modules: the armed point of a test.
_OTHERS = frozenset({"TRACKNOW_RELAY_POINT"})


def _unknown(environ: Mapping[str, str]) -> list[str]:
    """Name misspelt variables: one that is silently ignored would lose its effect unseen."""
    known = {one.name for one in VARIABLES}
    known |= {f"{one.name}_FILE" for one in VARIABLES if one.secret} | _OTHERS
    problems = []
    for name in environ:
        if name.startswith(_PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f" Did you mean {close[0]}?" if close else ""
            problems.append(
                f"{name}: unknown variable.{meant} Known: {', '.join(sorted(known - _OTHERS))}."
            )
    return problems


def _contradictions(found: Mapping[str, Any]) -> list[str]:
    problems = []
    if not found.get("secrets"):
        problems.append(
            "STRIPE_WEBHOOK_SECRET: nothing is set. Accepted: the signing secret (whsec_…) that "
            "Stripe shows for the webhook endpoint, or STRIPE_WEBHOOK_SECRET_FILE with its file."
        )
    if not found.get("namespace") and not found.get("destinations"):
        problems.append(
            "TRACKNOW_NAMESPACE: nothing is set. Accepted: your Tracknow namespace, the NAME in "
            "NAME-tracking.tracknow.info (or TRACKNOW_RELAY_DESTINATIONS with URLs)."
        )
    if not found.get("allow_insecure_destinations"):
        problems.extend(
            f"TRACKNOW_RELAY_DESTINATIONS: {url!r} is not accepted. Accepted: URLs with https, or "
            "TRACKNOW_RELAY_ALLOW_INSECURE_DESTINATIONS=true for tests and private networks."
            for url in found.get("destinations", ())
            if not url.startswith("https:")
        )
    return problems


def default_database() -> str:
    """URL of the SQLite file in the user's state directory."""
    import platformdirs

    return f"sqlite:///{platformdirs.user_state_path('tracknow-relay') / 'relay.sqlite3'}"
