"""What Prometheus reads: counters and gauges that are correct for all processes together.

Every process adds to counters in the database, in the transaction that it makes anyway, and every
scrape reads their sums there. So it does not matter which process answers, how many there are or
which of them were killed. Only rejected calls make no transaction: they are stored once a second,
and the last second of them is lost with a process that is killed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from tracknow_static import __version__
from tracknow_static.errors import RelayError
from tracknow_static.relay.health import Shared, open_files
from tracknow_static.relay.operate.conditions import CODES, conditions, observe
from tracknow_static.relay.receive.response import Response
from tracknow_static.relay.store import queries
from tracknow_static.relay.store.model import KEPT_REASONS, PAUSED, WAITING, without_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from tracknow_static.relay.app import Page
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.operate.conditions import Condition
    from tracknow_static.relay.store.ingest import Ingest
    from tracknow_static.relay.store.model import Status

_P = "tracknow_relay_"

# Name of the counter, what it counts, and its name among the tallies.
_EVENTS = (
    ("events_accepted", "Events stored, each once.", "accepted"),
    ("events_fetched", "Events of them that were fetched from Stripe's API.", "fetched"),
    ("events_duplicate", "Events that were stored already and answered with 200.", "duplicate"),
)
_REASONS = tuple(reason for reason in KEPT_REASONS if reason != WAITING)
_EVENTS_BY_REASON = (
    ("events_kept", "Events stored and not forwarded.", "kept:", _REASONS),
    ("requests_refused", "Calls of the webhook that were not answered with 200.", "refused:", ()),
)
_DELIVERIES = (
    ("deliveries_delivered", "Deliveries that the destination accepted.", "delivered"),
    ("deliveries_rejected", "Deliveries that were answered with success: false.", "rejected"),
    ("deliveries_retried", "Attempts after which a delivery was scheduled again.", "retried"),
    ("deliveries_dead", "Deliveries that became dead letters.", "dead"),
)


def page(config: RelayConfig, ingest: Ingest) -> Page:
    """Return ``/metrics``; while the database hangs it answers 503 after the commit's time-out."""
    timeout = config.commit_timeout
    numbers = Shared(lambda: list(collect(config, ingest)), timeout=timeout)

    def metrics(environ: Mapping[str, Any]) -> Response:
        found = numbers.get()
        if found is None:
            text = f"The database did not answer within {timeout:g} seconds."
            return Response.json(503, {"code": "timeout", "message": text})
        content_type, body = exposition(found, str(environ.get("HTTP_ACCEPT", "")))
        return Response.make(200, content_type, body)

    return metrics


def exposition(metrics: Sequence[Metric], accept: str = "") -> tuple[str, bytes]:
    """Return content type and body for a scrape that accepts ``accept``."""
    registry = CollectorRegistry()
    registry.register(_Collected(metrics))
    encoder, content_type = choose_encoder(accept)
    return content_type, encoder(registry)


def labels(urls: Iterable[str]) -> dict[str, str]:
    """Return each destination's name in metrics: without its query, which can be secret.

    Destinations that differ only in the query get a few digits of its hash.
    """
    urls = list(dict.fromkeys(urls))
    short = [without_query(url) for url in urls]
    return {
        url: name
        if short.count(name) == 1
        else f"{name}#{hashlib.sha256(url.encode()).hexdigest()[:8]}"
        for url, name in zip(urls, short, strict=True)
    }


class _Collected(Collector):
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the names are registered without a query of the database."""
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def collect(config: RelayConfig, ingest: Ingest) -> Iterator[Metric]:
    """Yield every metric.

    A database out of reach is reported as ``tracknow_relay_database_up 0``, and nothing else.
    """
    yield _gauge("build_info", "Version of the relay.", [({"version": __version__}, 1)])
    status: Status | None = None
    needs: list[Condition] = []
    free: int | None = None
    # A full disk can still be read; what could not be stored stays counted.
    with contextlib.suppress(RelayError):
        ingest.flush()
    with contextlib.suppress(RelayError):
        needs = conditions(observe(ingest.database, config), config)
        free = ingest.database.free_bytes()
        status = queries.status(ingest.database)
    files = open_files()
    if files is not None:
        doc = "Files and connections that the process has open which answers this scrape."
        yield _gauge("open_files", doc, [({}, files)])
    up = 0 if status is None else 1
    yield _gauge("database_up", "Whether the database can be read.", [({}, up)])
    if status is None:
        return
    yield from _counters(status)
    yield from _gauges(status, ingest.database.destinations)
    counts = Counter(condition.code for condition in needs)
    doc = "What needs attention now, by the codes that `status --json` lists."
    yield _gauge("conditions", doc, [({"code": code}, counts[code]) for code in CODES])
    if free is not None:
        yield _gauge("disk_free_bytes", "Free space where the database grows.", [({}, free)])


def _counters(status: Status) -> Iterator[Metric]:
    tallies = status.tallies
    for name, doc, tally in _EVENTS:
        yield _counter(name, doc, [({}, tallies.get((tally, ""), 0))])
    for name, doc, prefix, known in _EVENTS_BY_REASON:
        counts = dict.fromkeys(known, 0)
        for (tally, _), value in tallies.items():
            if tally.startswith(prefix):
                counts[tally.removeprefix(prefix)] = value
        yield _counter(
            name, doc, [({"reason": reason}, counts[reason]) for reason in sorted(counts)]
        )
    urls = {entry.destination for entry in status.destinations}
    urls |= {destination for _, destination in tallies if destination}
    named = labels(sorted(urls))
    for name, doc, tally in _DELIVERIES:
        values = [({"destination": named[url]}, tallies.get((tally, url), 0)) for url in named]
        yield _counter(name, doc, values)


def _gauges(status: Status, configured: Sequence[str]) -> Iterator[Metric]:
    named = labels(entry.destination for entry in status.destinations)

    def for_each(name: str, doc: str, value: dict[str, float]) -> Metric:
        return _gauge(name, doc, [({"destination": named[url]}, value[url]) for url in value])

    every = {entry.destination: entry for entry in status.destinations}
    for name, doc, attribute in (
        ("backlog", "Deliveries not settled.", "pending"),
        ("backlog_retrying", "Deliveries not settled that were tried before.", "retrying"),
        ("in_flight", "Deliveries leased to a worker.", "in_flight"),
        ("dead_letters", "Deliveries that are dead letters now.", "dead"),
        ("rejected", "Deliveries whose last answer was success: false.", "rejected"),
    ):
        yield for_each(name, doc, {url: getattr(entry, attribute) for url, entry in every.items()})
    yield for_each(
        "oldest_pending_age_seconds",
        "Age of the oldest delivery not settled; 0 when there is none.",
        {url: entry.oldest_pending_age or 0.0 for url, entry in every.items()},
    )
    yield for_each(
        "destination_paused",
        "1 while a destination is paused by a configuration error.",
        {url: float(entry.breaker.state == PAUSED) for url, entry in every.items()},
    )
    yield for_each(
        "destination_down",
        "1 while a destination's circuit breaker is open.",
        {url: float(entry.breaker.is_down) for url, entry in every.items()},
    )
    yield for_each(
        "destination_configured",
        "0 for a former destination: nothing is delivered to it.",
        {url: float(url in configured) for url in every},
    )
    yield _gauge("held", "Events that wait for their Checkout Sessions.", [({}, status.held)])
    if status.newest_event_at is not None:
        age = max(0.0, status.now - status.newest_event_at)
        yield _gauge("newest_event_age_seconds", "Time since an event was stored.", [({}, age)])
    if status.backfill is not None and status.backfill.polled_at:
        age = max(0.0, status.now - status.backfill.polled_at)
        doc = "Time since missed events were looked for at Stripe."
        yield _gauge("backfill_age_seconds", doc, [({}, age)])
    yield _gauge("schema_version", "Version of the schema.", [({}, status.schema_version)])


def _counter(
    name: str,
    doc: str,
    values: Sequence[tuple[dict[str, str], float]],
    kind: type[CounterMetricFamily | GaugeMetricFamily] = CounterMetricFamily,
) -> Metric:
    family = kind(_P + name, doc, labels=list(values[0][0]) if values else [])
    for named, value in values:
        family.add_metric(list(named.values()), value)
    return family


_gauge = partial(_counter, kind=GaugeMetricFamily)
