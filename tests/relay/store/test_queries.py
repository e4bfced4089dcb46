"""What can be read: the summary, counters, lists, and what belongs together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tests.relay.store.parts import START, A, B, accept, dead, new
from tracknow_static.relay.store import leases, purge, queries
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.ingest import Ingest
from tracknow_static.relay.store.model import DeliveryResult, Filter

if TYPE_CHECKING:
    from tests.relay.store.parts import Clock


def test_status_counts(database: Database, clock: Clock) -> None:
    """The summary tells each destination's deliveries by what has become of them."""
    for number in range(5):
        accept(database, new(number))
    one, two, three, *_ = leases.claim(database, limit=4, lease_seconds=60, destinations=[A])
    leases.settle(
        database,
        [
            DeliveryResult(one, "delivered", 200),
            DeliveryResult(two, "retry", 500, "status", 5),
            DeliveryResult(three, "dead", 400, "status"),
        ],
    )
    clock.time += 7
    a, b = queries.status(database).destinations
    assert (a.pending, a.retrying, a.in_flight, a.dead, a.delivered) == (3, 1, 1, 1, 1)
    assert a.oldest_pending_age == pytest.approx(7)
    assert (b.pending, b.retrying, b.in_flight, b.dead, b.delivered) == (5, 0, 0, 0, 0)
    tallies = queries.status(database).tallies
    assert tallies["accepted", ""] == 5
    assert tallies["retried", A] == 1


def test_counters_add_up_over_processes(database: Database) -> None:
    """Counters of several processes are added up, and survive the purge of their owners."""
    other = Database(str(database.url), [A, B])
    for process in (database, other):
        ingest = Ingest(process)
        ingest.count("refused:x")
        ingest.count("refused:x", 2)
        ingest.flush()
    assert queries.status(database).tallies["refused:x", ""] == 6
    other.close()


def test_counters_of_gone_processes_are_kept(database: Database, clock: Clock) -> None:
    """A purge adds old counters together and loses none."""
    ingest = Ingest(database)
    ingest.count("refused:x", 3)
    ingest.flush()
    clock.time += 8 * 86_400
    purge.purge(database, delivered_days=30, dead_days=90, check_clock=False)
    ingest.count("refused:x", 4)
    ingest.flush()
    assert queries.status(database).tallies["refused:x", ""] == 7


@pytest.mark.parametrize("newest", [False, True])
def test_find_pages_through_everything_once(database: Database, clock: Clock, newest: bool) -> None:
    """Pages follow each other without gap or overlap, in either order."""
    for number in range(7):
        accept(database, new(number))
        clock.time += number % 2  # some at the same time
    found, cursor = [], None
    while True:
        page = queries.find(database, Filter(), limit=2, cursor=cursor, newest=newest)
        found += [one.id for one in page.events]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == [f"evt_{number}" for number in range(7)][:: -1 if newest else 1]


@pytest.mark.parametrize("newest", [False, True])
def test_find_goes_on_in_the_order_of_the_cursor_only(database: Database, newest: bool) -> None:
    """A cursor of the other order would lead back to what was seen: it is refused, and why."""
    for number in range(2):
        accept(database, new(number))
    cursor = queries.find(database, Filter(), limit=1, newest=newest).cursor
    order = "newest" if newest else "oldest"
    with pytest.raises(ValueError, match=f"of a list with the {order} first"):
        queries.find(database, Filter(), cursor=cursor, newest=not newest)
    for nonsense in ("nonsense", "newest nonsense"):
        with pytest.raises(ValueError, match="not one that a page gave"):
            queries.find(database, Filter(), cursor=nonsense, newest=newest)


def test_find_by_everything(database: Database, clock: Clock) -> None:
    """Each condition restricts, and all of them together, whichever end comes first."""
    accept(
        database, new(1, type="checkout.session.completed", reference="R1", payment_intent="pi_1")
    )
    accept(database, new(2, payment_intent="pi_1"))
    accept(database, new(3, type="checkout.session.completed", reference="R2", customer="cus_2"))
    clock.time += 100
    accept(database, new(4, customer="cus_2"))
    accept(database, new(5, type="x.y", skipped_because="type"))
    dead(
        database,
        leases.claim(database, limit=1, lease_seconds=9, destinations=[B])[0],
        status=400,
        error="x",
    )

    def found(**conditions: Any) -> set[str]:
        oldest = [one.id[4:] for one in queries.find(database, Filter(**conditions)).events]
        newest = [
            event.id[4:]
            for event in queries.find(database, Filter(**conditions), newest=True).events
        ]
        assert newest == oldest[::-1]
        return set(oldest)

    assert found() == set("12345")
    assert found(ids=("evt_2", "evt_9")) == set("2")
    assert found(types=("charge.succeeded",)) == set("24")
    assert found(reference="R1") == set("12")
    assert found(reference="R2") == set("34")
    assert found(since=START + 50) == set("45")
    assert found(until=START + 50) == set("123")
    assert found(state="kept") == found(skipped_because="type") == set("5")
    assert found(state="dead") == found(state="dead", destination=B) == set("1")
    assert found(state="dead", destination=A) == set()
    assert found(state="pending") == set("1234")
    assert found(state="retrying") == found(state="delivered") == set()
    assert found(destination=A) == set("1234")
    assert found(types=("charge.succeeded",), until=START + 50) == set("2")
    with pytest.raises(ValueError, match="state: 'lost' is not accepted"):
        found(state="lost")


_MANY_ROWS = (
    f"""
    INSERT INTO events (id, type, received_at)
    SELECT 'evt_' || n, 'charge.succeeded', {START} + n FROM generate_series(1, 5000) n
    """,
    f"""
    INSERT INTO deliveries
        (event_id, destination, state, due_at, token, attempts, tries, accepted_at)
    SELECT 'evt_' || n, '{A}', 'delivered', {START}, 1, 1, 1, {START}
    FROM generate_series(1, 5000) n
    """,
    "ANALYZE events",
    "ANALYZE deliveries",
)


@pytest.mark.parametrize("newest", [False, True])
def test_a_page_is_read_from_an_index(database: Database, newest: bool) -> None:
    """Neither order sorts the events, however many there are: not even to go on."""
    database.open()
    backend = database.backend
    explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN (COSTS OFF)"}[backend]
    cursor = f"{'newest ' if newest else ''}{START} evt_1"
    with database.read() as connection:
        if backend == "postgresql":
            # It judges by what is there; of a small table it would read everything.
            for statement in _MANY_ROWS:
                connection.execute(text(statement))
        for wanted in (Filter(), Filter(destination=A), Filter(state="delivered")):
            for after in (None, cursor):
                listing = queries.listing(wanted, 51, after, newest=newest).compile(
                    connection, compile_kwargs={"literal_binds": True}
                )
                rows = connection.exec_driver_sql(f"{explain} {listing}")
                plan = "\n".join(str(tuple(row)) for row in rows)
                assert "events_received" in plan, plan
                assert "Sort" not in plan, plan
                assert "TEMP B-TREE" not in plan, plan


def test_twins_are_flagged(database: Database, clock: Clock) -> None:
    """A second event about the same object with the same type names the first one."""
    for number, subject in enumerate(["ch_1", "ch_1", "ch_2", "ch_1"]):
        accept(database, new(number, object_id=subject))
        clock.time += 1
    accept(database, new(9, object_id="ch_1", type="charge.refunded"))
    twins = {one.id: one.twin_of for one in queries.find(database, Filter()).events}
    assert twins == {
        "evt_0": None,
        "evt_1": "evt_0",
        "evt_2": None,
        "evt_3": "evt_0",
        "evt_9": None,
    }


def test_renewal_finds_its_reference(database: Database, clock: Clock) -> None:
    """Years later a charge still finds its click id, by its customer, though payloads are gone."""
    accept(database, new("s", type="checkout.session.completed", reference="R", customer="cus_1"))
    leases.settle(
        database,
        [
            DeliveryResult(claimed, "delivered", 200)
            for claimed in leases.claim(database, limit=9, lease_seconds=9)
        ],
    )
    for year in range(4):
        clock.time += 365 * 86_400
        accept(database, new(f"c{year}", customer="cus_1"))
        purge.purge(
            database, delivered_days=30, dead_days=90, references_days=400, check_clock=False
        )
        stored = queries.event(database, f"evt_c{year}")
        assert stored is not None
        assert stored.reference_found == "R"
    clock.time += 401 * 86_400
    assert (
        purge.purge(
            database, delivered_days=30, dead_days=90, references_days=400, check_clock=False
        ).references
        == 1
    )
