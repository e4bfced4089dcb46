"""`tracknow-relay report`: sums, advice and refunds, in every format."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import lxml.html
import pytest

from tests.events import CREATED
from tests.relay.operate.parts import database_of, run, run_json
from tests.relay.operate.test_sales import filled as filled  # noqa: PLC0414 - the fixtures ask for it
from tests.relay.sales.shapes import LINK, MONTH, dispute, new, paid, refund, session
from tracknow_static.relay.sales import refunds
from tracknow_static.relay.sales import report as reports
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store


def test_sums_of_a_period(either: dict[str, str]) -> None:
    """Sales, money by currency, share and verdicts are right, also those that deliveries give."""
    found = run_json(either, "report")
    assert found["total"] == {
        "key": None,
        "sales": 5,
        "with_click_id": 4,
        "awaited": 0,
        "share": 0.8,
        "money": {"eur": 8000, "jpy": 2000},
        "refunded": {"jpy": 500},
        "verdicts": {
            "attributed": 1,
            "no-click-id": 1,
            "partly-refunded": 1,
            "rejected": 1,
            "waiting": 1,
        },
    }
    assert [(line["key"], line["sales"]) for line in found["month"]] == [("2026-09", 5)]
    none = run_json(either, "report", "--since", "2030-01-01")
    assert (none["total"], none["month"], none["advice"]) == (None, [], [])


@pytest.mark.parametrize(
    ("by", "lines"),
    [
        ("payment-link", [(LINK, 4, 4), ("plink_2", 1, 0)]),
        (
            "reference",
            [(f"click_{name}", 1, 1) for name in ("back", "bad", "good", "wait")],
        ),
    ],
)
def test_lines_sum_up_what_was_asked(either: dict[str, str], by: str, lines: list[Any]) -> None:
    """By payment link, and by reference."""
    found = run_json(either, "report", "--by", by)[by]
    assert [(one["key"], one["sales"], one["with_click_id"]) for one in found] == lines


def test_advice_names_the_link_that_loses(environ: dict[str, str]) -> None:
    """Each thing to do is named with the number of its sales."""
    advice = [step["text"] for step in run_json(environ, "report")["advice"]]
    assert "1 of 1 sale through plink_2 had no click id." in advice
    assert any(text.startswith("1 sale was rejected") for text in advice)
    assert any("--refunds" in text for text in advice)


def test_refunds_to_reverse(either: dict[str, str]) -> None:
    """Click id, charge, amount, what was refunded and when."""
    (found,) = run_json(either, "report", "--refunds")["refunds"]
    assert found == {
        "at": "2026-09-21T19:13:20.000Z",
        "reference": "click_back",
        "charge": "ch_back",
        "verdict": "partly-refunded",
        "currency": "jpy",
        "amount": 2000,
        "refunded": 500,
        "sale": "cs_back",
        "reversed": 0,
    }
    assert run_json(either, "report", "--refunds", "--since", "2026-10-01")["refunds"] == []


def test_for_people_and_for_tables(environ: dict[str, str]) -> None:
    """The text has amounts as their currencies are written; CSV has one line for a currency."""
    text = run(environ, "report").output
    assert "80.00 EUR, 2000 JPY" in text
    assert "4 (80%)" in text
    rows = list(csv.DictReader(io.StringIO(run(environ, "report", "--format", "csv").stdout)))
    found = [(row["currency"], row["sales"], row["with_click_id"], row["money"]) for row in rows]
    assert found == [("eur", "4", "3", "8000"), ("jpy", "1", "1", "2000")]
    text = run(environ, "report", "--refunds", "--format", "csv").stdout
    assert "click_back,ch_back,partly-refunded,jpy,2000,500" in text
    for option in ("--by=month", "--site=https://shop.example"):
        assert (
            "leave out --by and --site"
            in run(environ, "report", "--refunds", option, code=2).output
        )


@pytest.mark.parametrize("args", [[], ["--refunds"], ["--since", "2030-01-01"]])
def test_html_is_one_file_without_scripts(environ: dict[str, str], args: list[str]) -> None:
    """It needs nothing else, and shows the same amounts."""
    page = lxml.html.document_fromstring(
        run(environ, "report", "--format", "html", *args).stdout.encode()
    )
    assert page.xpath("//script | //link | //img | //@src | //@href") == []
    cells = [cell.text or "" for cell in page.iter("span")]
    assert ("2,000 JPY" in " ".join(cells)) is ("--since" not in args)


def test_html_escapes_what_it_shows(environ: dict[str, str]) -> None:
    """A reference is text, whatever it holds."""
    database = Database(environ["TRACKNOW_RELAY_DATABASE"], [])
    store(database, [new(session("x", client_reference_id="<script>1</script>"))])
    Ledger(database).catch_up(60)
    database.close()
    page = run(environ, "report", "--format", "html", "--by", "reference").stdout
    assert "<script" not in page
    assert "&lt;script&gt;1" in page


def test_a_dispute_is_listed_when_it_begins(either: dict[str, str]) -> None:
    """A dispute of an old sale is in the list of its own days, also after a refund of a part."""
    database = database_of(either)
    bodies = [
        *paid("late"),
        dispute("late", "created", "needs_response", 2 * MONTH),
        *paid("both"),
        refund("both", 700, 90),
        dispute("both", "created", "needs_response", 3 * MONTH),
    ]
    store(database, [new(body) for body in bodies])
    Ledger(database).catch_up(60)
    since = CREATED + MONTH
    found = [(one.sale, one.at) for one in refunds.find(database, since=since)]
    assert found == [("cs_late", CREATED + 2 * MONTH), ("cs_both", CREATED + 3 * MONTH)]
    newest = [(one.sale, one.at) for one in refunds.newest(database, 2)]
    assert newest == found[::-1]
    database.close()


def test_newest_refunds_are_the_same_in_pages(either: dict[str, str]) -> None:
    """What the status page lists is what the report lists, the newest first, each once."""
    database = database_of(either)
    bodies = [
        *paid("lost"),
        dispute("lost", "created", "needs_response", 50),
        *paid("part"),
        refund("part", 700, 90),
        dispute("part", "created", "needs_response", 95),
        *paid("twice", created=CREATED + 60),
        refund("twice", 700, 90),
        *paid("same", created=CREATED + 60),
        refund("same", 2000, 90),
        *paid("stranger", client_reference_id=None),
        refund("stranger", 2000, 70),
    ]
    store(database, [new(body) for body in bodies])
    Ledger(database).catch_up(60)
    wanted = refunds.find(database)[::-1]
    assert len(wanted) == 5
    found: list[refunds.Refund] = []
    while page := refunds.newest(
        database, 1, before=(found[-1].at, found[-1].sale) if found else None
    ):
        found += page
    assert found == wanted
    database.close()


def test_months_count_what_the_report_counts(either: dict[str, str]) -> None:
    """The chart's numbers are those of the sums, also those that deliveries change."""
    database = database_of(either)
    september = dt.date(2026, 9, 1)
    found = reports.months(database, [september, dt.date(2026, 10, 1)])
    sums = {(202609, one.verdict): one.number for one in reports.sums(database)}
    assert {key: number for key, number in found.items() if number} == sums
    database.close()
