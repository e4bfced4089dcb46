"""What `status --strict`, `check` and the metrics make of a relay that does not deliver."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from tests.events import CREATED, encode, purchase, sign
from tests.relay.operate.parts import (
    WEBHOOK,
    accept,
    database_of,
    environment,
    request,
    run,
    run_json,
)
from tests.relay.operate.test_health import samples
from tests.relay.sales.shapes import MONTH, UNPAID, new, paid, session, subscribed
from tests.relay.store.parts import START, A, B, dead, delivered, retry
from tests.relay.store.parts import accept as add
from tests.relay.store.parts import new as plain
from tracknow_static.relay import create_application
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.operate.conditions import CODES, conditions, observe
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.store import backfill_state, destinations, leases, watch
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import add_tallies
from tracknow_static.relay.store.model import BREAKER_THRESHOLD, DeliveryResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.relay.store.parts import Clock
    from tracknow_static.relay.operate.conditions import Condition

ONE, TWO = "https://one.example/hook", "https://two.example/hook"
DAY = 86_400.0


def filled(database_url: str) -> dict[str, str]:
    """Store five events; TWO has accepted them, they wait for ONE."""
    environ = environment(database_url, ONE, TWO)
    accept(environ, *(encode(purchase(number)) for number in range(5)))
    database = database_of(environ)
    for claimed in leases.claim(database, limit=10, lease_seconds=60, destinations=[TWO]):
        delivered(database, claimed, status=200)
    database.close()
    return environ


def texts(environ: Mapping[str, str], *, later: float = 0.0, max_age: float = 3600.0) -> list[str]:
    """Return what needs attention, some seconds from now."""
    config = RelayConfig.from_environ(environ)
    database = Database.from_config(config, clock=lambda: time.time() + later)
    found = [entry.text for entry in conditions(observe(database, config), config, max_age=max_age)]
    database.close()
    return found


def test_what_has_just_arrived_needs_no_attention(either: dict[str, str]) -> None:
    """A delivery may wait for an hour."""
    run(either, "status", "--strict")
    assert texts(either, later=3500) == []


def test_a_delivery_that_waits_for_long_needs_attention(either: dict[str, str]) -> None:
    """No worker, or one event that nobody accepts: both show in the age."""
    assert texts(either, later=20 * DAY) == [f"5 deliveries wait for {ONE}, the oldest for 20 d"]
    assert texts(either, later=3700, max_age=2 * 3600) == []
    time.sleep(1.1)
    result = run(either, "status", "--strict", "--max-age", "1s", code=1)
    assert f"5 deliveries wait for {ONE}" in result.stdout
    assert run_json(either, "status", "--max-age", "1s")["attention"]
    run(either, "status", "--strict", "--max-age", "soon", code=2)


def test_a_destination_that_is_down_needs_attention(environ: dict[str, str]) -> None:
    """Also while its breaker waits for a probe."""
    database = database_of(environ)
    seen = destinations.breaker(database, ONE)
    assert destinations.set_breaker(database, seen, failures=BREAKER_THRESHOLD)
    database.close()
    found = run_json(environ, "status", "--strict", code=1)
    assert found["attention"] == [f"{ONE} is down: `tracknow-relay check`"]
    assert run_json(environ, "status")["destinations"][0]["down"] is True
    found = run_json(environ, "check", code=1)["checks"]
    # The command that helps is this one: it is not named again.
    text = f"{ONE} is down"
    assert {"what": "delivery", "result": "failed", "text": text} in found
    # What has waited for long waits for the same reason: the same command helps.
    needs = run_json(environ, "status", "--max-age", "0s")["conditions"]
    assert {need["command"] for need in needs if need["about"] == ONE} == {"tracknow-relay check"}
    assert len(needs) > 1


def test_what_waits_for_a_former_destination_needs_attention(environ: dict[str, str]) -> None:
    """It is not delivered any more; the command that helps is named, and metrics show it."""
    environ["TRACKNOW_RELAY_DESTINATIONS"] = TWO
    result = run(environ, "status", "--strict", code=1)
    helps = f"`tracknow-relay retire {ONE} --to {TWO}`"
    assert f"5 deliveries wait for {ONE}, which is not configured: {helps}" in result.stdout
    application = create_application(RelayConfig.from_environ(environ))
    found = samples(request(application, "/metrics")[2])
    application.stop(100)
    assert found["destination_configured", ONE] == 0
    assert found["destination_configured", TWO] == 1
    assert found["backlog", ONE] == 5


@pytest.mark.parametrize(
    ("secret", "needs_attention"), [("whsec_of_another_endpoint", True), ("", False)]
)
def test_calls_that_are_all_refused_need_attention(
    sqlite_url: str, secret: str, needs_attention: bool
) -> None:
    """A wrong secret loses every sale; a stranger without a signature is no reason to wake anyone."""
    environ = environment(sqlite_url, ONE, TWO)
    run(environ, "migrate")
    application = create_application(RelayConfig.from_environ(environ))
    body = encode(purchase(9))
    headers = {"HTTP_STRIPE_SIGNATURE": sign(body, secret)} if secret else {}
    assert request(application, WEBHOOK, body, **headers)[0] == 400
    assert application.stop(100)
    result = run(environ, "status", "--strict", code=int(needs_attention))
    assert ("signature_mismatch" in result.stdout) is needs_attention
    accept(environ, body)
    run(environ, "status", "--strict")


CONFIG = RelayConfig(destinations=(A, B), min_free_mb=0, sales_without_click_id=3)


def found(database: Database, config: RelayConfig = CONFIG) -> dict[str, Condition]:
    """Return the conditions by code."""
    return {one.code: one for one in conditions(observe(database, config), config)}


def kill(database: Database, number: int) -> None:
    """Make dead letters of A."""
    for claimed in leases.claim(database, limit=number, lease_seconds=9, destinations=[A]):
        dead(database, claimed, status=400, error=None)


def test_a_dead_letter_has_the_times_of_the_first_and_the_last(
    database: Database, clock: Clock
) -> None:
    """Since when there are some, and when the latest came: a further one is news."""
    for number in range(3):
        add(database, plain(number))
    kill(database, 1)
    assert found(database)["dead-letter"].text == f"{A} has 1 dead letter"
    clock.time += 60
    kill(database, 2)
    one = found(database)["dead-letter"]
    assert (one.since, one.newest) == (START, START + 60)
    assert one.text == f"{A} has 3 dead letters"
    assert not one.stalls


def test_a_rejected_delivery_needs_attention(database: Database, clock: Clock) -> None:
    """A destination that answers 2xx and success: false has lost a commission, if nobody looks."""
    add(database, plain())
    (claimed,) = leases.claim(database, limit=1, lease_seconds=9, destinations=[A])
    leases.settle(database, [DeliveryResult(claimed, "rejected", 200)])
    clock.time += 60
    one = found(database)["rejected-sale"]
    assert (one.text, one.since) == (f"{A} rejected 1 event", START)
    assert one.command == "tracknow-relay list --state rejected"


def test_a_dead_letter_that_cannot_be_replayed_any_more_is_over(
    database: Database, clock: Clock
) -> None:
    """Its payload is purged after the retention: nobody can do anything about it."""
    add(database, plain())
    kill(database, 1)
    clock.time += CONFIG.retention_dead_days * DAY - 1
    assert "dead-letter" in found(database)
    clock.time += 2
    assert "dead-letter" not in found(database)


def test_a_paused_destination_has_its_reason_and_its_command(
    database: Database, clock: Clock
) -> None:
    """Not its query, which can hold a token."""
    url = f"{A}?token=planted"
    config = replace(CONFIG, destinations=(url,))
    destinations.pause(database, url, "it answers 404")
    clock.time += 60
    one = found(database, config)["destination-paused"]
    assert one.text == f"{A} is paused: it answers 404"
    assert one.command == f"tracknow-relay resume {A}"
    assert one.since == START
    assert "planted" not in str(one)


def test_a_destination_is_down_since_its_first_failure(database: Database, clock: Clock) -> None:
    """Later failures change nothing about it; an answer ends it."""

    def fail(failures: int) -> None:
        seen = destinations.breaker(database, A)
        assert destinations.set_breaker(database, seen, failures=failures)
        clock.time += 60

    fail(1)
    fail(BREAKER_THRESHOLD)
    assert found(database)["destination-down"].since == START
    fail(0)
    assert found(database) == {}
    fail(BREAKER_THRESHOLD)
    assert found(database)["destination-down"].since == START + 180


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"endpoint": "disabled"}, "endpoint-disabled"),
        ({"endpoint": "absent"}, "endpoint-absent"),
        ({"in_a_row": 2, "unpushed": 7}, "never-pushed"),
        ({"failing_since": START - DAY, "error": "no permission"}, "backfill-fails"),
    ],
)
def test_what_backfill_finds_needs_attention(
    database: Database, state: dict[str, Any], code: str
) -> None:
    """Stripe's endpoint, or what is in front of the relay, loses events."""
    new_state = backfill_state.State(**state)
    assert database.run(lambda connection: backfill_state.store(connection, None, new_state))
    (one,) = found(database).values()
    assert one.code == code
    assert one.command.startswith(("tracknow-static stripe", "tracknow-relay backfill"))


def test_many_deliveries_are_counted_up_to_a_bound(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is found among those that are due first and those that are due last."""
    monkeypatch.setattr(watch, "MOST", 3)
    add(database, plain("old"))
    claimed = leases.claim(database, limit=9, lease_seconds=9)
    for delivery in claimed:
        retry(database, delivery, delay=50_000, status=500, error=None)
    clock.time += 7200
    assert (
        found(database)["backlog-old"].text == f"1 delivery waits for {B}, the oldest for 2 h 0 min"
    )
    for number in range(9):
        add(database, plain(number))
    one = found(database)["backlog-old"]
    assert one.text == f"more than 3 deliveries wait for {B}, the oldest for 2 h 0 min"
    assert one.since == START


def test_charges_that_nobody_decides_about_need_attention(database: Database, clock: Clock) -> None:
    """They wait for their sessions as configured; much longer means that no ledger is kept."""
    add(database, plain(1, skipped_because="waiting"))
    clock.time += CONFIG.forward_wait + 3500
    assert "held-old" not in found(database)
    clock.time += 200
    one = found(database)["held-old"]
    assert (one.since, one.stalls) == (START, True)
    assert one.text == "charges have waited for their sessions for 1 h 16 min"


def test_a_full_disk_needs_attention(sqlite_url: str) -> None:
    """The floor of `status` and `check` is the one that events are refused at."""
    environ = environment(sqlite_url, ONE, min_free_mb="900000")
    run(environ, "migrate")
    (one,) = run_json(environ, "status", "--strict", code=1)["conditions"]
    assert (one["code"], one["command"], one["stalls"]) == (
        "disk-low",
        "tracknow-relay purge",
        True,
    )
    assert "900,000 are needed" in one["text"]


def test_a_disk_without_room_needs_attention_at_any_floor(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A floor of 0 stores events for longer; nothing is stored without room."""
    environ = environment(sqlite_url, ONE)
    run(environ, "migrate")
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=4096))
    (one,) = run_json(environ, "status", "--strict", code=1)["conditions"]
    assert one["code"] == "disk-low"
    assert one["text"].startswith("0.0 MB are free, 0.1 are needed")
    assert "failed  disk: 0.0 MB are free" in run(environ, "check", code=1).stdout


def sell(database: Database, *bodies: dict[str, Any]) -> None:
    """Store events and build the ledger."""
    for body in bodies:
        add(database, new(body))
    Ledger(database).catch_up(100)


def test_sales_without_a_click_id_need_attention_when_earlier_ones_had_one(
    database: Database,
) -> None:
    """A shop without affiliates is well; a renewal, a failure or a test says nothing of the site."""
    for number in range(4):
        sell(database, *paid(f"n{number}", client_reference_id=None, created=CREATED + number))
    assert "no-click-ids" not in found(database)
    without = {"client_reference_id": None, "created": CREATED + 50}
    sell(database, *subscribed("b", 3, basil=True, **without))
    sell(database, *subscribed("a", 3, basil=True, created=CREATED + 100))
    assert "no-click-ids" not in found(database)
    for number in range(2):
        at = CREATED + 200 + number
        sell(database, *paid(f"m{number}", client_reference_id="undefined", created=at))
    sell(database, session("x", "expired", created=CREATED + 300, status="expired", **UNPAID))
    sell(database, session("t", event={"livemode": False}, created=CREATED + 300))
    assert "no-click-ids" not in found(database)
    sell(database, *paid("m3", client_reference_id=None, created=CREATED + 300 + 6 * MONTH))
    one = found(database)["no-click-ids"]
    assert one.text == "none of the last 3 sales carries a click id, and earlier ones did"
    assert one.since == CREATED + 200
    assert "no-click-ids" not in found(database, replace(CONFIG, sales_without_click_id=4))
    assert "no-click-ids" not in found(database, replace(CONFIG, sales_without_click_id=0))
    sell(database, *paid("z", created=CREATED + 400 + 6 * MONTH))
    assert "no-click-ids" not in found(database)


def test_refused_calls_need_attention_while_all_are_refused(
    database: Database, clock: Clock
) -> None:
    """One call of a stranger does not; Stripe repeats its calls for days. A duplicate is accepted."""
    add(database, plain(1))

    def refuse(later: float) -> Condition | None:
        clock.time += later
        add_tallies(database, {("refused:signature_mismatch", ""): 1})
        return found(database).get("calls-refused")

    assert refuse(5) is None
    needed = refuse(61)
    assert needed is not None
    assert (needed.about, needed.since) == ("signature_mismatch", START + 5)
    clock.time += DAY + 1
    assert "calls-refused" not in found(database)
    assert refuse(0) is not None
    clock.time += 1
    add(database, plain(1))
    assert "calls-refused" not in found(database)
    assert refuse(61) is None


def test_the_metrics_count_conditions(environ: dict[str, str]) -> None:
    """Every code is there, so that a rule can be written before its first case."""
    environ["TRACKNOW_RELAY_DESTINATIONS"] = TWO
    application = create_application(RelayConfig.from_environ(environ))
    seen = samples(request(application, "/metrics")[2])
    application.stop(100)
    assert seen["conditions", "former-destination"] == 1
    assert {code for name, code in seen if name == "conditions"} == set(CODES)
    assert sum(seen["conditions", code] for code in CODES) == 1


def test_no_query_reads_a_whole_table(database: Database) -> None:
    """All of them use an index, however many events there are."""
    statements: list[tuple[str, Any]] = []
    event.listen(
        database.engine,
        "before_cursor_execute",
        lambda _c, _k, text, parameters, _x, _m: statements.append((text, parameters)),
    )
    add(database, plain())
    kill(database, 1)
    statements.clear()
    observe(database, CONFIG)
    asked = [one for one in statements if one[0].startswith("SELECT")]
    if database.backend != "sqlite":
        assert len(asked) < 30
        return
    with database.read() as connection:
        for text, parameters in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters).all()
            for row in plan:
                scanned = re.fullmatch(
                    r"SCAN (events|deliveries|attempts|sale_objects|sales)", row[3]
                )
                assert not scanned, (text, row[3])
