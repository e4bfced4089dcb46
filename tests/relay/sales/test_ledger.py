"""What the ledger of sales holds: the same however often it is made, and no person."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from tests.events import CREATED
from tests.relay.sales.cases import CASES, MIXED
from tests.relay.sales.parts import build, contents, summary
from tests.relay.sales.shapes import MONTH, charge, new, paid, refund, session, subscribed
from tests.relay.store.parts import START, accept
from tracknow_static.relay import crash_points
from tracknow_static.relay.sales import ledger as ledgers
from tracknow_static.relay.sales.ledger import LEASE_SECONDS, Ledger, forget
from tracknow_static.relay.store import purge
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store
from tracknow_static.relay.store.schema import events, metadata, sales

if TYPE_CHECKING:
    import pytest

    from tests.relay.store.parts import Clock


def test_a_sale_holds_what_a_report_needs_and_no_person(database: Database) -> None:
    """Amounts, link, code, customer and times are there; names and addresses are nowhere."""
    store(database, [new(body) for body in [*paid("a", customer="cus_1"), refund("a", 500, 900)]])
    build(database)
    with database.read() as connection:
        row = connection.execute(select(sales)).one()._asdict()
    assert row == {
        "id": "cs_a",
        "created": CREATED,
        "month": 202609,
        "verdict": "partly-refunded",
        "amount": 2000,
        "currency": "eur",
        "mode": "payment",
        "payment_status": "paid",
        "payment_link": "plink_1",
        "reference": "click_a",
        "customer": "cus_1",
        "promotion_code": "promo_1",
        "charge": "ch_a",
        "renews": None,
        "refunded": 500,
        "refunded_at": CREATED + 900,
        "dispute": None,
        "livemode": True,
        "account": None,
        "source": "webhook",
    }
    assert "omeone" not in repr(contents(database))


def test_rebuilding_repairs_the_sales(database: Database) -> None:
    """Whatever became of the sales, reading everything again makes them as they were."""
    store(database, [new(body) for body in MIXED])
    build(database)
    before = contents(database)
    with database.write() as connection:
        connection.execute(update(sales).values(verdict="test", amount=1))
        connection.execute(sales.delete().where(sales.c.id == "cs_a"))
    ledger = Ledger(database)
    ledger.restart()
    while ledger.advance(limit=7):
        pass
    assert contents(database) == before


def test_another_pattern_makes_every_sale_anew(database: Database) -> None:
    """Who begins with another pattern reads everything again; who goes on keeps to it."""
    store(database, [new(body) for body in [*paid("a"), *paid("b")]])
    build(database)
    ledger = Ledger(database, click_id=re.compile("click_b"))
    ledger.begin()
    while ledger.advance(limit=1):
        pass
    ledger.release()
    expected = {"cs_a": ("not-a-click-id", 0, None), "cs_b": ("attributed", 0, None)}
    assert summary(database) == expected

    other = Ledger(database)
    store(database, [new(refund("a", 500, 900)), new(refund("b", 500, 900))])
    assert other.advance()
    assert summary(database)["cs_a"] == ("not-a-click-id", 500, None)
    other.begin()
    assert other.advance() == 6
    assert summary(database)["cs_a"] == ("partly-refunded", 500, None)


def test_purged_payloads_leave_what_is_known(database: Database, clock: Clock) -> None:
    """Rebuilding after a purge keeps what the payloads shown; a purge waits for the ledger."""
    ledger = Ledger(database)
    ledger.advance()
    store(database, [new(body) for body in paid("a", event={"account": "acct_other"})])
    clock.time += 200 * 86_400

    def purged() -> int:
        done = purge.purge(database, delivered_days=1, dead_days=1, check_clock=False)
        return done.events

    assert purged() == 0
    clock.time += LEASE_SECONDS
    assert ledger.advance() == 2
    before = contents(database)
    accept(database, new(session("later")))
    clock.time += LEASE_SECONDS
    assert ledger.advance() == 1
    assert purged() == 1
    ledger.restart()
    while ledger.advance():
        pass
    assert before[1][0] in contents(database)[1]


def test_without_a_payload_the_columns_count(database: Database) -> None:
    """A database from before the ledger, whose payloads are gone, has sales without amounts."""
    store(database, [new(body) for body in paid("a")])
    with database.write() as connection:
        connection.execute(update(events).values(payload=None, purged_at=START))
    build(database)
    with database.read() as connection:
        row = connection.execute(select(sales)).one()
    assert (row.id, row.verdict, row.amount, row.charge) == ("cs_a", "attributed", None, "ch_a")


def test_a_dispute_without_a_payload_is_open(database: Database) -> None:
    """Nobody knows whether it was an inquiry: the commission is held rather than paid."""
    bodies = [*paid("a"), *CASES["disputed"][0][2:]]
    store(database, [new(body) for body in bodies])
    with database.write() as connection:
        connection.execute(update(events).values(payload=None, purged_at=START))
    build(database)
    assert [verdict for verdict, _, _ in summary(database).values()] == ["disputed"]


def test_a_strange_payload_holds_nothing_up(database: Database) -> None:
    """Fields of other types than Stripe's are left out, and the next event is read."""
    strange: dict[str, Any] = {
        "created": "now",
        "amount_total": [1],
        "currency": {"a": 1},
        "mode": 7,
        "payment_status": ["paid"],
        "discounts": "none",
        "payment_link": 3.5,
    }
    body = session("a")
    body["data"]["object"].update(strange)
    invoice = session("b")
    invoice.update(id="evt_in", type="invoice.paid")
    invoice["data"]["object"].update(id="in_b", payments={"data": ["x"]}, parent=[])
    store(database, [new(body), new(invoice), new(session("c"))])
    assert build(database) == 3
    assert set(summary(database)) == {"cs_a", "cs_c"}


def test_old_sales_are_forgotten_with_their_customer(database: Database, clock: Clock) -> None:
    """A sale goes when nothing of its customer is newer; one that is still renewed stays whole."""
    bodies = [*paid("old"), *subscribed("on", 12, basil=True)]
    store(database, [new(body) for body in bodies])
    build(database)
    clock.time = START + 11 * MONTH

    assert forget(database, days=150, dry_run=True) == 1
    assert "cs_old" in summary(database)
    assert forget(database, days=150, dry_run=False) == 1
    assert set(summary(database)) == {"cs_on", *(f"ch_on_{number}" for number in range(1, 13))}
    assert forget(database, days=150, dry_run=False) == 0


def test_an_erased_customer_leaves_the_sales(database: Database) -> None:
    """The id is nowhere; verdicts, amounts and joins stay, also when the ledger is made anew."""
    name = "cus_erased"
    bodies = [*subscribed("a", 2, basil=True, customer=name), *paid("b", customer=name)]
    store(database, [new(body) for body in [*bodies, *paid("c", customer="cus_c")]])
    build(database)
    before = summary(database)
    purge.erase(database, customers=[name])

    with database.read() as connection:
        rows = [
            tuple(row)
            for table in metadata.sorted_tables
            for row in connection.execute(select(table))
        ]
    assert name not in repr(rows)
    assert "cus_c" in repr(rows)
    assert summary(database) == before
    ledger = Ledger(database)
    ledger.restart()
    assert ledger.advance()
    assert summary(database) == before
    # Stripe still names the customer in what it sends later about the same charge.
    later = charge("a_1", "refunded", at=MONTH, customer=name, amount_refunded=2000)
    store(database, [new(later)])
    build(database)
    assert summary(database) == {**before, "ch_a_1": ("refunded", 2000, "cs_a")}


def test_a_batch_that_knows_an_erased_customer_is_not_written(
    database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the ledger has computed before the erasure is computed again."""
    database, other = (Database(database_url, clock=clock) for _ in range(2))
    store(database, [new(body) for body in paid("a", customer="cus_1")])

    def meanwhile(point: str) -> None:
        if point == ledgers.READ and not erased:
            erased.append(purge.erase(other, customers=["cus_1"]))

    ledger = Ledger(database)
    assert ledger.advance(limit=1) == 1
    erased: list[Any] = []
    monkeypatch.setattr(crash_points, "reach", meanwhile)
    assert ledger.advance() == 0
    build(database)
    assert "cus_1" not in repr(contents(database))
    database.close()
    other.close()


def test_a_group_that_grows_together(database: Database) -> None:
    """A charge that was a sale of its own becomes part of its session's sale."""
    accept(database, new(charge("a")))
    build(database)
    assert set(summary(database)) == {"ch_a"}
    accept(database, new(session("a")))
    build(database)
    assert set(summary(database)) == {"cs_a"}
