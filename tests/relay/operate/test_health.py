"""The pages for those who watch: alive, ready, and the numbers."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import tracknow_static.relay as relay
from tests.events import encode, purchase, sign
from tests.relay.operate.parts import WEBHOOK, database_of, environment, request
from tests.relay.store.parts import dead, delivered, retry
from tracknow_static.relay import background, create_application, health
from tracknow_static.relay.app import Parts, Relay
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.operate.metrics import labels
from tracknow_static.relay.store import destinations, leases, purge, queries
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.ingest import Ingest

if TYPE_CHECKING:
    from collections.abc import Iterator


URL = "http://127.0.0.1:9/hook"


@pytest.fixture
def application(sqlite_url: str) -> Iterator[Relay]:
    """Provide an application with a database of its own."""
    made = create_application(RelayConfig.from_environ(environment(sqlite_url)))
    yield made
    made.stop(100)


def take(application: Relay, body: bytes) -> int:
    """Send a signed event; return the status."""
    return request(application, WEBHOOK, body, HTTP_STRIPE_SIGNATURE=sign(body))[0]


def ready(application: Relay) -> tuple[int, dict[str, str]]:
    """Ask whether events would be stored."""
    status, _, body = request(application, "/readyz")
    found = json.loads(body)
    assert found["ready"] is (status == 200)
    return status, found["checks"]


def scrape(application: Relay) -> dict[tuple[str, str], float]:
    """Read the metrics: (name, value of the only label or "") to value."""
    status, headers, body = request(application, "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    return samples(body)


def samples(body: bytes) -> dict[tuple[str, str], float]:
    """Parse an exposition with the official parser."""
    return {
        (sample.name.removeprefix("tracknow_relay_"), next(iter(sample.labels.values()), "")): (
            sample.value
        )
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_alive_needs_no_database() -> None:
    """A process that answers is alive, whatever becomes of its disk."""
    environ = environment("sqlite:////proc/nowhere/relay.sqlite3")
    made = create_application(RelayConfig.from_environ(environ))
    assert request(made, "/healthz")[0] == 200
    assert request(made, "/readyz")[0] == 503
    made.stop(100)


def test_ready_when_the_database_can_be_written(application: Relay) -> None:
    """All three checks are ok."""
    assert ready(application) == (200, {"database": "ok", "schema": "ok", "disk": "ok"})


def test_not_ready_when_the_disk_is_low(sqlite_url: str) -> None:
    """Under the floor no event is stored, and the page shows it before one is refused."""
    environ = environment(sqlite_url, min_free_mb="900000")
    made = create_application(RelayConfig.from_environ(environ))
    assert ready(made) == (503, {"database": "ok", "schema": "ok", "disk": "disk_low"})
    assert take(made, encode(purchase(1))) == 503
    made.stop(100)


def test_not_ready_when_the_file_is_gone(application: Relay, sqlite_url: str) -> None:
    """A database that was deleted under the relay is found by the next look."""
    assert ready(application)[0] == 200
    Path(sqlite_url.removeprefix("sqlite:///")).unlink()
    found = health.examine(application.ingest)
    assert found.checks["database"] == "database_gone"


def test_not_ready_with_a_newer_schema(sqlite_url: str) -> None:
    """A database of a later version is not written."""
    database = database_of(environment(sqlite_url))
    database.open()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE schema_version SET version = 999")
    database.close()
    made = create_application(RelayConfig.from_environ(environment(sqlite_url)))
    status, checks = ready(made)
    assert (status, checks["schema"]) == (503, "schema")
    made.stop(100)


class HangingDatabase(Database):
    """A database whose disk hangs until it is let go."""

    let_go: threading.Event
    opened: int

    def open(self) -> None:
        """Wait."""
        self.opened += 1
        self.let_go.wait(200)


def test_pages_of_a_hung_disk_answer_in_time_and_ask_once(sqlite_url: str) -> None:
    """While the database hangs, pages are answered after the time-out and begin nothing further."""
    config = RelayConfig.from_environ(environment(sqlite_url))
    database = HangingDatabase(config.database, config.destinations)
    database.let_go, database.opened = threading.Event(), 0
    made = Relay(replace(config, commit_timeout=0.05), lambda given: parts(given, database))
    try:
        for _ in range(3):
            assert ready(made) == (503, health.TIMEOUT.checks)
            status, _, body = request(made, "/metrics")
            assert (status, json.loads(body)["code"]) == (503, "timeout")
            assert request(made, "/healthz")[0] == 200
    finally:
        database.let_go.set()
    assert database.opened == 2, "one thread for each page"


def parts(config: RelayConfig, database: Database) -> Parts:
    """What serves with a database of the test's."""
    ingest = Ingest(database)
    return Parts(ingest, pages=relay._pages(config, ingest))


def test_many_looks_are_one_write(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks all the time does not keep the disk busy."""
    # One write a second: none of these calls comes later.
    monkeypatch.setattr(health, "_FRESH_SECONDS", 3600.0)
    made = create_application(RelayConfig.from_environ(environment(sqlite_url)))
    for _ in range(20):
        ready(made)
    assert queries.status(made.database).tallies["ready", ""] == 1
    made.stop(100)


def test_metrics_count_events(application: Relay) -> None:
    """Accepted once, duplicates, kept by reason, refused by reason."""
    for body in (
        encode(purchase(1)),
        encode(purchase(1)),
        encode(purchase(2, type="invoice.paid")),
        encode(purchase(3, livemode=False)),
    ):
        assert take(application, body) == 200
    assert (
        request(application, WEBHOOK, encode(purchase(4)), HTTP_STRIPE_SIGNATURE="t=1,v1=00")[0]
        == 400
    )
    assert request(application, "/elsewhere")[0] == 404
    found = scrape(application)
    assert found["events_accepted_total", ""] == 3
    assert found["events_duplicate_total", ""] == 1
    assert found["events_kept_total", "type"] == 1
    assert found["events_kept_total", "mode"] == 1
    assert found["events_kept_total", "thin"] == 0
    refused = {k[1]: v for k, v in found.items() if k[0] == "requests_refused_total"}
    assert refused["not_found"] == 1
    assert sum(refused.values()) == 2


def test_metrics_count_deliveries(application: Relay) -> None:
    """Delivered, retried, dead, backlog and the oldest age, for each destination."""
    for number in range(4):
        take(application, encode(purchase(number)))
    database = application.database
    first, second, third, fourth = leases.claim(database, limit=10, lease_seconds=60)
    delivered(database, first, status=200)
    retry(database, second, delay=60, status=500, error="http_500")
    dead(database, third, status=400, error="http_400")
    found = scrape(application)
    assert found["deliveries_delivered_total", URL] == 1
    assert found["deliveries_retried_total", URL] == 1
    assert found["deliveries_dead_total", URL] == 1
    assert found["backlog", URL] == 2
    assert found["backlog_retrying", URL] == 1
    assert found["in_flight", URL] == 1
    assert found["dead_letters", URL] == 1
    assert found["oldest_pending_age_seconds", URL] > 0
    assert fourth.destination == URL


def test_metrics_show_a_paused_destination(application: Relay) -> None:
    """An alert can be made of it."""
    application.database.open()
    assert scrape(application)["destination_paused", URL] == 0
    destinations.pause(application.database, URL, "it answered 401", open_for=60)
    found = scrape(application)
    assert found["destination_paused", URL] == 1
    assert found["destination_down", URL] == 1


def test_metrics_of_a_database_out_of_reach() -> None:
    """The scrape works and shows what is wrong."""
    environ = environment("sqlite:////proc/nowhere/relay.sqlite3")
    made = create_application(RelayConfig.from_environ(environ))
    found = scrape(made)
    assert found["database_up", ""] == 0
    assert not any(name.startswith("events") for name, _ in found)
    made.stop(100)


def test_openmetrics_on_request(application: Relay) -> None:
    """Prometheus asks for the newer format, and gets it."""
    accept = "application/openmetrics-text; version=1.0.0"
    _, headers, body = request(application, "/metrics", HTTP_ACCEPT=accept)
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_metrics_can_be_switched_off(sqlite_url: str) -> None:
    """Then the path is unknown."""
    environ = environment(sqlite_url, metrics="off")
    made = create_application(RelayConfig.from_environ(environ))
    assert request(made, "/metrics")[0] == 404
    assert request(made, "/healthz")[0] == 200
    made.stop(100)


def test_a_page_is_only_read(application: Relay) -> None:
    """POST changes nothing there."""
    status, headers, _ = request(application, "/metrics", b"")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_labels_hide_queries_and_stay_apart() -> None:
    """Destinations that differ in their query alone are two, and no query is shown."""
    urls = ["https://a.example/x?token=one", "https://a.example/x?token=two", "https://b.example/"]
    found = labels(urls)
    assert len(set(found.values())) == 3
    assert found[urls[2]] == "https://b.example/"
    assert not any("token" in name for name in found.values())


def test_numbers_survive_a_purge_and_a_restart(application: Relay, sqlite_url: str) -> None:
    """Counters belong to the database: they never fall."""
    take(application, encode(purchase(1)))
    application.stop(100)
    made = create_application(RelayConfig.from_environ(environment(sqlite_url)))
    purge.purge(made.database, delivered_days=0, dead_days=0)
    take(made, encode(purchase(2)))
    assert scrape(made)["events_accepted_total", ""] == 2
    made.stop(100)


def test_the_housekeeper_purges_by_itself(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that runs needs no command to forget payloads."""
    environ = environment(sqlite_url, retention_delivered_days="0")
    config = RelayConfig.from_environ(environ)
    made = create_application(config)
    take(made, encode(purchase(1)))
    (claimed,) = leases.claim(made.database, limit=1, lease_seconds=60)
    delivered(made.database, claimed, status=200)
    monkeypatch.setattr(background, "_FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(background, "_FIRST_PURGE_SECONDS", 0.0)
    monkeypatch.setattr(background, "_PURGE_SECONDS", 0.05)
    keeper = background.Housekeeper(config, made.database)
    keeper.start()
    # The ledger of sales reads an event first; until then its payload stays.
    deadline = time.monotonic() + 100
    stored: Any = queries.event(made.database, "evt_1")
    while stored.payload is not None and time.monotonic() < deadline:
        time.sleep(0.05)
        stored = queries.event(made.database, "evt_1")
    assert keeper.stop()
    assert stored.payload is None
    made.stop(100)
