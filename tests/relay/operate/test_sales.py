"""`tracknow-relay sales`: the ledger for people and for scripts."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from pathlib import Path
from typing import Any

import pytest

from tests.events import CREATED
from tests.relay.operate.parts import database_of, environment, run, run_json
from tests.relay.sales.shapes import (
    LINK,
    MONTH,
    charge,
    dispute,
    new,
    paid,
    refund,
    session,
    subscribed,
)
from tests.relay.status.parts import application, get
from tests.relay.store.parts import retry
from tracknow_static.relay.sales import verdicts as verdict_list
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.sales.verdicts import CODES, Wanted
from tracknow_static.relay.store import destinations, leases
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store
from tracknow_static.relay.store.model import DeliveryResult

DESTINATION = "http://127.0.0.1:9/hook"
HOUR = 3600
ROOT = Path(__file__).parents[3]


def filled(url: str) -> dict[str, str]:
    """Sell five times, an hour apart: accepted, refused, waiting, without an id, refunded."""
    bodies = [
        *paid("good"),
        *paid("bad", created=CREATED + HOUR),
        *paid("wait", created=CREATED + 2 * HOUR),
        *paid("none", client_reference_id=None, created=CREATED + 3 * HOUR, payment_link="plink_2"),
        *paid("back", created=CREATED + 4 * HOUR, currency="jpy"),
        refund("back", 500, 5 * HOUR),
    ]
    database = Database(url, [DESTINATION])
    store(database, [new(body) for body in bodies])
    kinds = {"evt_bad_completed": "dead", "evt_wait_completed": "release"}
    claimed = leases.claim(database, limit=99, lease_seconds=60)
    leases.settle(
        database,
        [DeliveryResult(one, kinds.get(one.event_id, "delivered"), 200) for one in claimed],
    )
    ledger = Ledger(database)
    while ledger.advance():
        pass
    ledger.release()
    database.close()
    return environment(url)


def verdicts(environ: dict[str, str], *args: str) -> list[tuple[str, str]]:
    """List sales: ids and verdicts."""
    return [(sale["id"], sale["verdict"]) for sale in run_json(environ, "sales", *args)["sales"]]


ALL = [
    ("cs_back", "partly-refunded"),
    ("cs_none", "no-click-id"),
    ("cs_wait", "waiting"),
    ("cs_bad", "rejected"),
    ("cs_good", "attributed"),
]


def test_deliveries_decide_the_verdict(either: dict[str, str]) -> None:
    """The newest first; what is pending waits, what is dead was rejected."""
    assert verdicts(either) == ALL
    assert run_json(either, "sales")["complete"] is True


@pytest.mark.parametrize(
    ("args", "number"),
    [
        (["--verdict", "waiting", "--verdict", "rejected"], [2, 3]),
        (["--verdict", "attributed"], [4]),
        (["--payment-link", "plink_2"], [1]),
        (["--payment-link", LINK, "--reference", "click_bad"], [3]),
        (["--since", "2026-09-21T17:00Z", "--until", "2026-09-21T18:00Z"], [1]),
    ],
)
def test_filters_count_together(
    environ: dict[str, str], args: list[str], number: list[int]
) -> None:
    """Each filter leaves out the others, also by a verdict that only deliveries give."""
    assert verdicts(environ, *args) == [ALL[one] for one in number]


def test_pages_hold_every_sale_once(environ: dict[str, str]) -> None:
    """A list goes on where it ended; a cursor of something else is refused."""
    found: list[Any] = []
    args: list[str] = []
    while True:
        page = run_json(environ, "sales", "--limit", "2", *args)
        found += [(sale["id"], sale["verdict"]) for sale in page["sales"]]
        if page["next"] is None:
            break
        args = ["--after", page["next"]]
    assert found == ALL
    assert "--after: cursor: 'x' is not one" in run(environ, "sales", "--after", "x", code=2).output


@pytest.mark.parametrize("args", [["sales"], ["report"], ["report", "--refunds"], ["list"]])
def test_a_period_ends_after_it_begins(environ: dict[str, str], args: list[str]) -> None:
    """A period the other way round is an error that names both ends, not an empty list."""
    found = run(environ, *args, "--since", "2026-03-31", "--until", "2026-01-01", code=2).output
    assert "--until: 2026-01-01T00:00:00.000Z is before --since, 2026-03-31T00:00:00" in found


def test_for_people_and_for_tables(environ: dict[str, str]) -> None:
    """Amounts are written as their currency is; CSV has Stripe's numbers."""
    text = run(environ, "sales").output
    assert "20.00 EUR" in text
    assert "2000 JPY (refunded 500 JPY)" in text
    rows = list(csv.DictReader(io.StringIO(run(environ, "sales", "--format", "csv").stdout)))
    assert (rows[0]["id"], rows[0]["amount"], rows[0]["refunded"]) == ("cs_back", "2000", "500")
    assert rows[0]["created"].endswith("Z")
    assert rows[0]["livemode"] == "true"
    assert run(environ, "sales", "--since", "2030-01-01").output == "No sale matches.\n"


def test_codes_name_every_verdict(environ: dict[str, str]) -> None:
    """The list of codes holds those that sales have."""
    codes = {entry["code"] for entry in run_json(environ, "sales", "--codes")}
    assert {verdict for _, verdict in ALL} < codes
    assert "rejected" in run(environ, "sales", "--codes").output
    assert (
        "'nonsense' is not one of" in run(environ, "sales", "--verdict", "nonsense", code=2).output
    )


def test_rebuild_reads_everything_again(environ: dict[str, str]) -> None:
    """It reports how many events it has read, and changes nothing that was right."""
    assert run_json(environ, "sales", "--rebuild") == {"events": 11}
    assert verdicts(environ) == ALL


def test_what_is_not_read_yet_is_reported(sqlite_url: str) -> None:
    """A list from a ledger that lags behind is not taken for a whole one."""
    environ = filled(sqlite_url)
    with_more = Database(sqlite_url, [DESTINATION])
    store(with_more, [new(session("later"))])
    with_more.close()
    assert run_json(environ, "sales")["complete"] is False
    assert "has not read the newest events" in run(environ, "sales").output


def test_another_pattern_is_reported_and_rebuilt(environ: dict[str, str]) -> None:
    """Commands name the ledger's other pattern, until it is made anew."""
    changed = {**environ, "TRACKNOW_RELAY_CLICK_ID_PATTERN": "click_g.*"}
    for args in (["sales"], ["explain", "cs_good"], ["report"], ["report", "--refunds"]):
        assert "another TRACKNOW_RELAY_CLICK_ID_PATTERN" in run(changed, *args).stderr
        assert run_json(changed, *args)["complete"] is False
    assert run_json(changed, "sales", "--rebuild") == {"events": 11}
    assert [sale for sale, _ in verdicts(changed, "--verdict", "not-a-click-id")] == [
        "cs_back",
        "cs_wait",
        "cs_bad",
    ]
    assert run_json(changed, "report")["complete"] is True


@pytest.mark.parametrize(
    "wanted",
    ["cs_bad", "ch_bad", "pi_bad", "evt_bad_completed", "evt_ch_bad_succeeded", "click_bad"],
)
def test_every_id_of_a_sale_leads_to_its_story(either: dict[str, str], wanted: str) -> None:
    """The story names each event and answer in order, and gives one verdict."""
    found = run_json(either, "explain", wanted)
    assert (found["verdict"], found["sale"]["id"]) == ("rejected", "cs_bad")
    assert {step["what"] for step in found["evidence"]} == {
        "created",
        "received",
        "attempt",
        "dead",
    }
    assert found["evidence"] == sorted(found["evidence"], key=lambda step: step["at"])
    assert {step["id"] for step in found["evidence"]} == {
        "cs_bad",
        "evt_bad_completed",
        "evt_ch_bad_succeeded",
    }


@pytest.mark.parametrize(
    ("wanted", "verdict", "reason"),
    [
        ("cs_good", "attributed", "attributed"),
        ("cs_wait", "waiting", "pending"),
        ("cs_none", "no-click-id", "no-click-id"),
        ("cs_back", "partly-refunded", "partly-refunded"),
        ("ch_own", "no-click-id", "own-code"),
        ("cs_other", "waiting", "not-forwarded"),
        ("in_sub_1", "renewal", "renewal"),
        ("cus_sub", "renewal", "renewal"),
    ],
)
def test_the_reason_is_finer(
    environ: dict[str, str], wanted: str, verdict: str, reason: str
) -> None:
    """What is known beyond the verdict is its reason."""
    more = [
        charge("own"),
        session("other", event={"account": "acct_other"}),
        *subscribed("sub", 1, basil=True),
    ]
    database = Database(environ["TRACKNOW_RELAY_DATABASE"], [DESTINATION])
    store(database, [new(body) for body in more])
    for delivery in leases.claim(database, limit=99, lease_seconds=60):
        if delivery.event_id != "evt_wait_completed":
            leases.settle(database, [DeliveryResult(delivery, "delivered", 200)])
        else:
            leases.settle(database, [DeliveryResult(delivery, "release")])
    Ledger(database).catch_up(60)
    database.close()
    environ["TRACKNOW_RELAY_FORWARD_WAIT"] = "0"
    found = run_json(environ, "explain", wanted)
    assert (found["verdict"], found["reason"]) == (verdict, reason)
    if wanted == "cus_sub":
        assert found["others"] == ["cs_sub"]


def test_the_documents_name_each_field(environ: dict[str, str]) -> None:
    """The table of fields has those of JSON and of CSV, and no others."""
    page = (ROOT / "docs" / "how-to" / "sales.md").read_text(encoding="utf-8")
    table = page.partition("## Use it from scripts")[2].partition("What is not known")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(run_json(environ, "sales")["sales"][0])
    assert named == set(run(environ, "sales", "--format", "csv").stdout.split("\n")[0].split(","))


def test_the_story_for_people(environ: dict[str, str]) -> None:
    """Times, answers, the refund and the verdict are in the text; an unknown id is reported."""
    text = run(environ, "explain", "cs_back").output
    assert "500 JPY of 2000 JPY" in text
    assert f"{DESTINATION}: 200" in text
    assert "partly-refunded: It carries a click id" in text
    steps = [line[21:34] for line in text.splitlines() if "evt_ch_back_refunded" in line]
    assert steps == ["received     ", "not forwarded"]
    database = Database(environ["TRACKNOW_RELAY_DATABASE"], [DESTINATION])
    lost = dispute("good", "closed", "lost", MONTH, created=CREATED + HOUR)
    store(database, [new(dispute("good", "created", "needs_response", HOUR)), new(lost)])
    Ledger(database).catch_up(60)
    for delivery in leases.claim(database, limit=9, lease_seconds=60):
        retry(database, delivery, delay=60, status=None, error="connect")
    database.close()
    text = run(environ, "explain", "cs_good").output
    disputed = [line[21:].split() for line in text.splitlines() if "du_good" in line]
    assert ["disputed", "du_good"] in disputed
    assert ["the", "dispute", "now", "du_good", "lost"] in disputed
    assert "it cannot be connected to (connect)" in run(environ, "explain", "cs_wait").output
    assert (
        "it cannot be connected to (connect)" in run(environ, "show", "evt_wait_completed").output
    )
    assert (
        "the ledger has no sale for 'cs_none_such'"
        in run(environ, "explain", "cs_none_such", code=1).output
    )


def test_a_charge_is_not_judged_before_its_session_can_have_come(database_url: str) -> None:
    """It counts neither as with a click id nor as without one; after the wait it does."""
    database = Database(database_url)
    store(database, [new(charge("new", at=5)), new(session("old", client_reference_id=None))])
    Ledger(database).catch_up(60)
    database.close()
    environ = environment(database_url)
    assert verdicts(environ) == [("ch_new", "waiting"), ("cs_old", "no-click-id")]
    assert verdicts(environ, "--verdict", "waiting") == [("ch_new", "waiting")]
    assert verdicts(environ, "--verdict", "no-click-id") == [("cs_old", "no-click-id")]
    story = run_json(environ, "explain", "pi_new")
    assert (story["verdict"], story["reason"]) == ("waiting", "session-awaited")
    assert "TRACKNOW_RELAY_FORWARD_WAIT" in run(environ, "explain", "pi_new").output
    report = run(environ, "report").output
    assert "1 new charge waits for its Checkout Session." in report
    assert "1 of 1 sale through plink_1 had no click id" in report
    assert "0 of 1 (0%), 1 not known yet" in report
    assert run_json(environ, "report")["total"]["awaited"] == 1
    assert ", 1 not known yet" in run(environ, "report", "--format", "html").output
    relay = application(environ)
    assert "session-awaited" in get(relay, "/status/sales/ch_new")[2]
    relay.stop(100)
    environ["TRACKNOW_RELAY_FORWARD_WAIT"] = "0"
    assert verdicts(environ) == [("ch_new", "no-click-id"), ("cs_old", "no-click-id")]
    total = run_json(environ, "report")["total"]
    assert (total["sales"], total["with_click_id"], total["share"]) == (2, 0, 0)


@pytest.mark.parametrize(
    "wanted", [{"verdicts": (code,)} for code in CODES] + [{"payment_link": LINK}]
)
def test_a_filter_is_served_by_an_index(sqlite_url: str, wanted: dict[str, Any]) -> None:
    """However many sales there are, those of a filter are found in order, not looked for in all."""
    database = Database(sqlite_url)
    statement = verdict_list._newest(database, Wanted(**wanted), None, 51)
    with database.read() as connection:
        compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
        plan = [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]
    database.close()
    assert not [line for line in plan if re.match(r"SCAN sales\b", line)]
    assert any("sales_verdict" in line or "sales_link" in line for line in plan)


def test_nothing_is_due_for_a_paused_destination(either: dict[str, str]) -> None:
    """Story and event date the pause, not the next look, and name the command that helps."""
    database = database_of(either)
    (waiting,) = leases.claim(database, limit=9, lease_seconds=60)
    retry(database, waiting, delay=7200, status=404, error=None)
    destinations.pause(database, DESTINATION, "its answer was 404")
    database.close()
    found = run_json(either, "explain", "cs_wait")
    assert (found["verdict"], found["reason"]) == ("waiting", "paused")
    steps = {step["what"]: step["at"] for step in found["evidence"]}
    assert "due" not in steps
    now = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=10)
    assert steps["received"] <= steps["paused"] < now.isoformat()
    text = run(either, "explain", "cs_wait").output
    assert "waiting (paused)" in text
    assert f"{DESTINATION} is paused: `tracknow-relay resume {DESTINATION}`" in text
    relay = application(either)
    assert f"tracknow-relay resume {DESTINATION}" in get(relay, "/status/sales/cs_wait")[2]
    relay.stop(100)
    assert f"`tracknow-relay resume {DESTINATION}`" in run(either, "show", waiting.event_id).output
    assert run_json(either, "show", waiting.event_id)["deliveries"][0]["due_at"] is None
    assert (
        run_json(either, "list", "--state", "pending")["events"][0]["deliveries"][0]["due_at"]
        is None
    )
    run(either, "resume", "--all")
    assert run_json(either, "explain", "cs_wait")["reason"] == "retrying"
