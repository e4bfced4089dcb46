"""The ledger of sales: the same from any order, from any process, after any death."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from tests.events import CREATED
from tests.relay.sales.cases import CASES, MIXED
from tests.relay.sales.shapes import (
    MONTH,
    charge,
    new,
    paid,
    refund,
    session,
    subscribed,
)
from tests.relay.store.parts import START, accept
from tracknow_static.relay import crash_points
from tracknow_static.relay.sales import ledger as ledgers
from tracknow_static.relay.sales.ledger import LEASE_SECONDS, Ledger, forget
from tracknow_static.relay.store import purge
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store
from tracknow_static.relay.store.schema import events, metadata, sale_objects, sales

if TYPE_CHECKING:
    from tests.relay.store.parts import Clock


def contents(database: Database) -> tuple[list[Any], list[Any]]:
    """All rows of the ledger."""
    with database.read() as connection:
        return (
            [tuple(row) for row in connection.execute(select(sale_objects).order_by("id"))],
            [tuple(row) for row in connection.execute(select(sales).order_by("id"))],
        )


def summary(database: Database) -> dict[str, tuple[str, int, str | None]]:
    """Verdict, refunded amount and renewed session of each sale."""
    with database.read() as connection:
        rows = connection.execute(select(sales)).all()
    return {row.id: (row.verdict, row.refunded, row.renews) for row in rows}


def build(database: Database, *, limit: int = 500) -> int:
    """Read everything there is; return the number of events."""
    ledger, number = Ledger(database), 0
    while done := ledger.advance(limit=limit):
        number += done
    ledger.release()
    return number


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


def test_reading_on_reads_only_what_is_new(database: Database, clock: Clock) -> None:
    """A ledger that goes on reads each event once, also within the overlap."""
    ledger = Ledger(database)
    accept(database, new(paid("a")[0]))
    assert [ledger.advance(), ledger.advance()] == [1, 0]
    clock.time += 1
    accept(database, new(paid("a")[1]))
    assert [ledger.advance(), ledger.advance()] == [1, 0]
    assert summary(database) == {"cs_a": ("attributed", 0, None)}


def test_an_event_that_is_stored_late_is_read(database: Database, clock: Clock) -> None:
    """A clock that was set back a little hides no event from the ledger."""
    ledger = Ledger(database)
    accept(database, new(session("a")))
    assert ledger.advance() == 1
    clock.time -= 3
    accept(database, new(session("b")))
    assert ledger.advance() == 1
    assert set(summary(database)) == {"cs_a", "cs_b"}


def test_a_clock_that_was_set_back_an_hour(database: Database, clock: Clock) -> None:
    """What is stored after it has been set right is read, although it seems to be old."""
    ledger = Ledger(database)
    clock.time += 3600
    accept(database, new(session("a")))
    assert ledger.advance() == 1
    clock.time -= 3600
    accept(database, new(session("b")))
    while ledger.advance():
        pass
    assert set(summary(database)) == {"cs_a", "cs_b"}


@pytest.mark.parametrize("wrong", [-3600.0, -60.0, 60.0, 100 * 86_400.0])
def test_a_clock_that_is_wrong_for_a_moment(database: Database, clock: Clock, wrong: float) -> None:
    """What is stored under it, and after it, is read, whenever the ledger looks."""
    ledger = Ledger(database)
    accept(database, new(session("before")))
    ledger.catch_up(100)
    clock.time += wrong
    accept(database, new(session("meanwhile")))
    if wrong > 0:
        ledger.catch_up(100)
    clock.time -= wrong - 1
    accept(database, new(session("after")))
    clock.time += 200
    ledger.catch_up(100)
    assert set(summary(database)) == {"cs_before", "cs_meanwhile", "cs_after"}


def test_a_clock_that_is_set_back_during_a_batch(
    database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stored behind the position that the batch is about to write is read by the next one."""
    database, other = (Database(database_url, clock=clock) for _ in range(2))
    ledger = Ledger(database)
    accept(database, new(session("before")))
    assert ledger.advance() == 1
    clock.time += 100
    accept(database, new(session("batch")))
    stored: list[Any] = []

    def meanwhile(point: str) -> None:
        if point == ledgers.READ and not stored:
            clock.time -= 60
            stored.append(accept(other, new(session("meanwhile"))))
            clock.time += 60

    with monkeypatch.context() as patched:
        patched.setattr(crash_points, "reach", meanwhile)
        assert ledger.advance() == 1
    assert stored[0].new
    assert [ledger.advance(), ledger.advance()] == [1, 0]
    assert set(summary(database)) == {"cs_before", "cs_batch", "cs_meanwhile"}
    database.close()
    other.close()


def test_one_process_at_a_time_and_another_goes_on(database_url: str, clock: Clock) -> None:
    """While one reads the other waits; when it is dead for its lease, the other takes over."""
    first, second = (Database(database_url, clock=clock) for _ in range(2))
    one, other = Ledger(first), Ledger(second)
    store(first, [new(session(str(number))) for number in range(5)])
    assert one.advance(limit=3) == 3
    assert other.advance(limit=3) == 0
    clock.time += LEASE_SECONDS + 1
    # The overlap is read again, since nobody knows what the dead one saw of it.
    accept(first, new(session("new")))
    while other.advance(limit=3):
        pass
    assert len(summary(first)) == 6
    # The one that was taken for dead finds that the state is another's.
    accept(first, new(session("newer")))
    assert one.advance() == 0
    assert other.advance() == 1
    first.close()
    second.close()


def test_two_that_work_at_once_write_once(
    database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was computed from a state that another has replaced is not written."""
    first, second = (Database(database_url, clock=clock) for _ in range(2))
    accept(first, new(session("a")))
    one, other = Ledger(first), Ledger(second)
    results: list[int] = []

    def meanwhile(point: str) -> None:
        if point == ledgers.READ and not results:
            results.append(-1)
            results.append(other.advance())

    monkeypatch.setattr(crash_points, "reach", meanwhile)
    assert one.advance() == 0
    assert results == [-1, 1]
    assert summary(first) == {"cs_a": ("attributed", 0, None)}
    first.close()
    second.close()


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


def test_events_being_stored_are_not_passed(postgres_url: str) -> None:
    """PostgreSQL: an event that is committed late, behind others, is read all the same."""
    database = Database(postgres_url)
    ledger = Ledger(database)
    values = {"received_at": database.now(), **new(session("late"))._asdict()}
    with database.write() as connection:
        connection.execute(events.insert().values(values))
        other = Database(postgres_url)
        for number in range(3):
            accept(other, new(session(f"early{number}")))
        assert ledger.advance() == 0
        other.close()
    assert ledger.advance() == 4
    database.close()
