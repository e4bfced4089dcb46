"""From Stripe's webhook to Tracknow: verify, store, answer; then deliver until it is accepted.

``tracknow_static.relay:application`` is a WSGI application configured by environment variables
(see :mod:`tracknow_static.relay.config`); :func:`create_application` makes one from a
configuration. Both need the extra ``tracknow-static[relay]``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracknow_static.relay.app import Background, Environ, Page, Parts, Relay
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.receive.response import Response
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.ingest import Ingest

    application: Relay

__all__ = ["application", "create_application"]


def create_application(config: RelayConfig | None = None) -> Relay:
    """Make the WSGI application; without a configuration it is read from the environment.

    It opens no file, no connection and no thread before its first request, so that a server may
    fork after loading it. Raises ``SettingsError`` for a configuration that is not accepted.
    """
    from tracknow_static.relay.app import Relay
    from tracknow_static.relay.config import RelayConfig

    return Relay(RelayConfig.from_environ() if config is None else config, _build)


def _build(config: RelayConfig) -> Parts:
    from tracknow_static.relay.app import Parts
    from tracknow_static.relay.background import Bookkeeper, Housekeeper
    from tracknow_static.relay.deliver.dispatcher import Dispatcher
    from tracknow_static.relay.store.database import Database
    from tracknow_static.relay.store.ingest import Ingest

    database = Database.from_config(config)
    dispatcher = Dispatcher.from_config(config, database)
    ingest = Ingest.from_config(config, database, on_commit=dispatcher.wakeup.wake)
    housekeeper = Housekeeper(config, database, flush=ingest.flush)
    return Parts(
        ingest,
        pages=_pages(config, ingest),
        background=(
            *((dispatcher,) if config.deliver else ()),
            Bookkeeper(config, database),
            housekeeper,
            *_backfill(config, ingest),
            *_alerts(config, database),
        ),
    )


def _backfill(config: RelayConfig, ingest: Ingest) -> tuple[Background, ...]:
    if not config.backfills:
        return ()
    from tracknow_static.relay.backfill.thread import Backfiller

    return (Backfiller(config, ingest),)


def _alerts(config: RelayConfig, database: Database) -> tuple[Background, ...]:
    if not config.alerts:
        return ()
    from tracknow_static.relay.alerts.thread import AlertThread

    return (AlertThread(config, database),)


def _pages(config: RelayConfig, ingest: Ingest) -> dict[str, Page]:
    from tracknow_static.relay import health

    @cache
    def loaded() -> Page:
        # Its import costs 20 ms: paid by the first scrape, not by every start.
        from tracknow_static.relay.operate.metrics import page

        return page(config, ingest)

    def metrics(environ: Environ) -> Response:
        return loaded()(environ)

    pages = health.pages(config, ingest)
    if config.metrics:
        pages["/metrics"] = metrics
    if config.status_password is not None:
        from tracknow_static.relay.status.handler import StatusHandler

        status = StatusHandler(config, ingest.database)
        pages.update({"/status": status, "/status/": status})
    return pages


def __getattr__(name: str) -> Relay:
    """Make ``application`` when a server first asks for it, and keep it."""
    if name != "application":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tracknow_static.relay import logs
    from tracknow_static.relay.config import RelayConfig

    config = RelayConfig.from_environ()
    logs.setup(config)
    made = create_application(config)
    globals()["application"] = made
    return made
