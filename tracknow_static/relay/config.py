"""What the relay reads from its environment, declared once.

Every variable's name, default, meaning and accepted values are in :class:`RelayConfig`; the
documents' table and ``tracknow-relay check`` read this declaration. How a variable is read is in
``options``.
"""

from __future__ import annotations

import os
import re  # noqa: TC003 - the fields' types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknow_static import rules
from tracknow_static.errors import SettingsError
from tracknow_static.options import declared, option, read_environ
from tracknow_static.relay import rules as relay_rules
from tracknow_static.relay.signing_secrets import Secrets
from tracknow_static.tracknow import EVENT_TYPES, is_click_id, postback_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracknow_static.account.key import ApiKey

_PREFIX = "TRACKNOW_RELAY_"
# Read by crash_points: the point that a test arms.
_FOR_TESTS = "TRACKNOW_RELAY_POINT"


@dataclass(frozen=True, kw_only=True)
class RelayConfig:
    """The relay's configuration, checked.

    Create it with :meth:`from_environ`; the constructor takes values that are right already.
    """

    namespace: str | None = option(
        None,
        rules.namespace(),
        "Your Tracknow namespace: events go to "
        "https://NAMESPACE-tracking.tracknow.info/stripe/postback.",
        name="TRACKNOW_NAMESPACE",
    )
    secrets: Secrets = option(  # noqa: RUF009 - the default is empty and never changes
        Secrets(),
        relay_rules.signing_secrets(),
        "Signing secrets of the webhook endpoint (whsec_…), one or several. "
        "STRIPE_WEBHOOK_SECRET_FILE names a file that holds them instead; "
        "the relay reads it again when it changes.",
        secret=True,
        name="STRIPE_WEBHOOK_SECRET",
    )
    database: str = option(
        "",
        relay_rules.database(),
        "Database that stores the events, as an SQLAlchemy URL. "
        "TRACKNOW_RELAY_DATABASE_FILE names a file that holds the URL instead.",
        shown="an SQLite file in the user's state directory",
        secret=True,
    )
    destinations: tuple[str, ...] = option(
        (),
        relay_rules.destinations(),
        "URLs that get every event instead of Tracknow's postback URL.",
        shown="the namespace's postback URL",
    )
    signed_destinations: tuple[str, ...] = option(
        (),
        relay_rules.destinations(),
        "Those of TRACKNOW_RELAY_DESTINATIONS that verify Stripe-Signature: they get no event that "
        "was fetched from Stripe's API, which has no signature.",
    )
    api_key: ApiKey | None = option(  # noqa: RUF009 - the default is None
        None,
        relay_rules.api_key(),
        "Stripe API key with which the relay fetches events that it has missed: a restricted key "
        "(rk_…) with Events: Read, and Webhook Endpoints: Read to see whether Stripe has disabled "
        "the endpoint. STRIPE_API_KEY_FILE names a file that holds it instead.",
        secret=True,
        name="STRIPE_API_KEY",
    )
    backfill: bool = option(
        True,
        rules.flag(),
        "With STRIPE_API_KEY: fetch missed events at start and every hour.",
    )
    livemode: str = option(
        "live",
        rules.choice("live", "test", "both"),
        "Which events to forward: real purchases, those of Stripe's test mode, or both.",
    )
    events: tuple[str, ...] = option(
        EVENT_TYPES,
        relay_rules.event_types(),
        "Types of events to forward.",
    )
    click_id_pattern: re.Pattern[str] | None = option(  # noqa: RUF009 - None never changes
        None,
        relay_rules.click_id_pattern(),
        "What a click id of yours looks like. A sale whose reference is anything else "
        "has the verdict not-a-click-id.",
        shown="every reference but placeholders such as undefined",
    )
    site: str | None = option(
        None,
        relay_rules.site(),
        "Your site, or its tracknow.json. With it `sales`, `explain` and `report` find out why a "
        "sale has no click id; STRIPE_API_KEY needs Payment Links: Read for that.",
        name="TRACKNOW_RELAY_SITE",
    )
    forward: str = option(
        "all",
        rules.choice("all", "attributed"),
        "Which sales to forward: all of them, or only those that carry a click id.",
    )
    forward_wait: float = option(
        900.0,
        relay_rules.seconds(0, 604_800),
        "Seconds that a charge waits for its Checkout Session, which has the click id. Until then "
        "its sale has the verdict waiting, and TRACKNOW_RELAY_FORWARD=attributed does not forward "
        "it.",
    )
    accounts: tuple[str, ...] = option(
        (),
        relay_rules.accounts(),
        "Connected Stripe accounts (acct_…) whose events to forward like your own.",
    )
    allow_insecure_destinations: bool = option(
        False,
        rules.flag(),
        "Allow destinations with http or with a private address.",
    )
    bind: str = option(
        "127.0.0.1:8787",
        relay_rules.address(),
        "Address that `tracknow-relay serve` listens on.",
    )
    deliver: bool = option(
        True,
        rules.flag(),
        "Deliver from threads of the web process.",
    )
    concurrency: int = option(
        8,
        rules.whole_number(1, 256),
        "Maximum number of attempts at the same time, for each destination and each process that "
        "delivers. When a process is killed, up to 8 times that many events are sent again.",
    )
    connect_timeout: float = option(
        5.0,
        relay_rules.seconds(0.1, 60),
        "Seconds to wait for a connection to a destination, including TLS.",
    )
    timeout: float = option(
        30.0,
        relay_rules.seconds(0.1, 300),
        "Maximum duration of one attempt, in seconds.",
    )
    max_body: int = option(
        1024 * 1024,
        rules.whole_number(1024, 64 * 1024 * 1024),
        "Maximum size of a request body in bytes.",
    )
    min_free_mb: int = option(
        64,
        rules.whole_number(0, 1_000_000),
        "Free disk space in MB below which the relay refuses events, so that Stripe keeps them.",
    )
    commit_timeout: float = option(
        8.0,
        relay_rules.seconds(0.1, 60),
        "Seconds after which the relay answers 503 when a commit hangs.",
    )
    retention_delivered_days: int = option(
        30,
        rules.whole_number(0, 3650),
        "Days after which the payload of a delivered event is purged.",
    )
    retention_dead_days: int = option(
        90,
        rules.whole_number(0, 3650),
        "Days after which the payload of a dead letter, of a rejected event, or of an event "
        "that is not forwarded, is purged.",
    )
    retention_references_days: int = option(
        1095,
        rules.whole_number(0, 36500),
        "Days for which a customer's click id is kept after the customer's last event.",
    )
    retention_sales_days: int = option(
        1095,
        rules.whole_number(0, 36500),
        "Days for which a sale is kept in the ledger after its customer's last event.",
    )
    alerts: tuple[str, ...] = option(
        (),
        relay_rules.alert_urls(),
        "Apprise URLs that get a message when something needs your attention, and one when it is "
        "over. TRACKNOW_RELAY_ALERTS_FILE names a file that holds them instead, one a line.",
        shown="no alerts",
        secret=True,
    )
    sales_without_click_id: int = option(
        20,
        rules.whole_number(0, 1000),
        "Number of sales in a row without a click id that need your attention if earlier ones "
        "carried one; 0 turns this off.",
        name="TRACKNOW_RELAY_SALES_WITHOUT_CLICK_ID",
    )
    metrics: bool = option(
        True,
        rules.flag(),
        "Whether to serve /metrics.",
    )
    status_password: str | None = option(
        None,
        relay_rules.password(),
        "Password of the status page, which is served at /status if one is set. Any user name "
        "goes with it. TRACKNOW_RELAY_STATUS_PASSWORD_FILE names a file that holds it instead.",
        shown="no status page",
        secret=True,
    )
    log_format: str = option(
        "text",
        rules.choice("text", "json"),
        "Format of the log lines.",
    )
    log_level: str = option(
        "info",
        rules.choice("debug", "info", "warning", "error"),
        "Lowest level that is logged.",
    )

    @classmethod
    def from_environ(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        needs_secrets: bool = True,
        needs_key: bool = True,
        needs_alerts: bool = True,
    ) -> RelayConfig:
        """Read and check the environment (``os.environ`` when not given).

        ``destinations`` and ``database`` get values from the namespace and the user's state
        directory when they are not set. Without ``needs_secrets`` the signing secrets and the
        status page's password are not read, without ``needs_key`` the API key is not, without
        ``needs_alerts`` the URLs for alerts are not: a user who may not read their files can run
        the commands that do not use them.

        Raises :class:`SettingsError` with one sentence for each wrong variable.
        """
        environ = os.environ if environ is None else environ
        needed = {
            "secrets": needs_secrets,
            "status_password": needs_secrets,
            "api_key": needs_key,
            "alerts": needs_alerts,
        }
        unread = {name for name, one in VARIABLES.items() if not needed.get(one.field, True)}
        found, problems = read_environ(
            {name: variable for name, variable in VARIABLES.items() if name not in unread},
            environ,
            prefix=_PREFIX,
            ignored={_FOR_TESTS, *unread, *(f"{name}_FILE" for name in unread)},
        )
        if not problems:
            problems = _contradictions(found, needs_secrets=needs_secrets)
        if problems:
            raise SettingsError(problems)
        if "secrets" in found:
            file = environ.get("STRIPE_WEBHOOK_SECRET_FILE", "").strip()
            found["secrets"] = Secrets(found["secrets"], file=Path(file) if file else None)
        if "destinations" not in found:
            found["destinations"] = (postback_url(found["namespace"]),)
        if "database" not in found:
            found["database"] = default_database()
        return cls(**found)

    def is_click_id(self, reference: str | None) -> bool:
        """Whether the reference of a sale is a click id."""
        return is_click_id(reference, self.click_id_pattern)

    @property
    def min_free_bytes(self) -> int:
        """Free disk space in bytes below which events are refused."""
        return self.min_free_mb * 1_000_000

    @property
    def backfills(self) -> bool:
        """Whether missed events are fetched without being asked for."""
        return self.backfill and self.api_key is not None

    @property
    def lease_seconds(self) -> float:
        """Length of a lease: more than one attempt can take, or two workers would send one event."""
        return self.timeout + 30.0


VARIABLES = declared(RelayConfig, prefix=_PREFIX)


def _contradictions(found: Mapping[str, Any], *, needs_secrets: bool) -> list[str]:
    problems = []
    if needs_secrets and "secrets" not in found:
        problems.append(
            "STRIPE_WEBHOOK_SECRET: nothing is set. Accepted: the signing secret (whsec_…) that "
            "Stripe shows for the webhook endpoint, or STRIPE_WEBHOOK_SECRET_FILE with its file."
        )
    if "namespace" not in found and "destinations" not in found:
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
    problems.extend(
        f"TRACKNOW_RELAY_SIGNED_DESTINATIONS: {url!r} is not accepted. Accepted: URLs that "
        "TRACKNOW_RELAY_DESTINATIONS lists, too."
        for url in found.get("signed_destinations", ())
        if url not in found.get("destinations", ())
    )
    return problems


def default_database() -> str:
    """Return the URL of the SQLite file in the user's state directory.

    Raises :class:`SettingsError` for a user without a home.
    """
    import platformdirs

    try:
        folder = platformdirs.user_state_path("tracknow-relay")
    except RuntimeError:  # raised by newer versions; older ones return "~" as it is
        folder = Path("~")
    if not folder.is_absolute():
        accepts = VARIABLES["TRACKNOW_RELAY_DATABASE"].accepts
        problem = f"nothing is set, and this user has no home folder. Accepted: {accepts}."
        raise SettingsError([f"TRACKNOW_RELAY_DATABASE: {problem}"])
    return f"sqlite:///{folder / 'relay.sqlite3'}"
