"""`tracknow-relay mark-reversed`: what a person has reversed leaves the list, until more goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.events import CREATED
from tests.relay.operate.parts import database_of, environment, run, run_json
from tests.relay.sales.shapes import dispute, new, paid, refund
from tests.relay.status.parts import application, get
from tracknow_static.relay.sales.ledger import Ledger, forget
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store
from tracknow_static.relay.store.schema import facts

if TYPE_CHECKING:
    from collections.abc import Mapping

LATER = 500


def receive(environ: Mapping[str, str], *bodies: dict[str, Any]) -> None:
    """Store events and let the ledger read them."""
    database = database_of(environ)
    store(database, [new(body) for body in bodies])
    Ledger(database).catch_up(60)
    database.close()


def filled(url: str) -> dict[str, str]:
    """Sell three times: refunded in part, disputed, and neither."""
    environ = environment(url)
    disputed = dispute("disputed", "created", "needs_response", 90)
    receive(
        environ,
        *paid("part"),
        refund("part", 500, 60),
        *paid("disputed"),
        disputed,
        *paid("good"),
    )
    return environ


def listed(environ: Mapping[str, str], *args: str) -> list[tuple[str, int, int]]:
    """List what to reverse: charge, what was refunded, what is marked."""
    found = run_json(environ, "report", "--refunds", *args)["refunds"]
    return [(one["charge"], one["refunded"], one["reversed"]) for one in found]


BOTH = [("ch_part", 500, 0), ("ch_disputed", 0, 0)]


def test_what_is_marked_leaves_the_lists(either: dict[str, str]) -> None:
    """By its charge or its sale; --all still lists it, and marking it again changes nothing."""
    assert listed(either) == BOTH
    found = run_json(either, "mark-reversed", "ch_part")
    assert [one["charge"] for one in found["refunds"]] == ["ch_part"]
    assert listed(either) == BOTH[1:]
    assert "1 sale was refunded or disputed" in run(either, "report").stdout
    text = "Marked as reversed: ch_disputed, click id click_disputed, disputed\n"
    assert run(either, "mark-reversed", "cs_disputed", "ch_disputed").stdout == text
    assert run(either, "mark-reversed", "cs_disputed").stdout == text
    assert listed(either) == []
    assert listed(either, "--all") == [("ch_part", 500, 500), ("ch_disputed", 0, 0)]
    assert "--refunds" not in run(either, "report").stdout
    relay = application(either)
    pages = {path: get(relay, f"/status{path}")[2] for path in ("", "/refunds", "/refunds?all=1")}
    relay.stop(100)
    assert ["ch_part" in page for page in pages.values()] == [False, False, True]
    assert "5.00 EUR reversed" in pages["/refunds?all=1"]


def test_what_goes_back_later_is_listed_again(either: dict[str, str]) -> None:
    """A larger refund is listed with what is marked of it, and so is another dispute."""
    run(either, "mark-reversed", "ch_part", "ch_disputed")
    receive(
        either,
        refund("part", 1200, LATER),
        dispute("disputed", "closed", "lost", LATER, created=CREATED + 90),
    )
    assert listed(either) == [("ch_part", 1200, 500)]
    event = {"id": "evt_second"}
    again = dispute("disputed", "created", "needs_response", 2 * LATER, id="du_2", event=event)
    receive(either, again)
    assert listed(either) == [("ch_part", 1200, 500), ("ch_disputed", 0, 0)]
    run(either, "mark-reversed", "ch_part", "ch_disputed")
    assert listed(either) == []


def test_a_dispute_that_was_won_hides_no_refund(environ: dict[str, str]) -> None:
    """The mark of a dispute is not one of a refund that comes after it."""
    run(environ, "mark-reversed", "ch_disputed")
    won = dispute("disputed", "closed", "won", LATER, created=CREATED + 90)
    receive(environ, won, refund("disputed", 100, 2 * LATER))
    assert listed(environ) == [BOTH[0], ("ch_disputed", 100, 0)]


def test_undo_lists_it_again(either: dict[str, str]) -> None:
    """Also under the sale's id, and when nothing was marked."""
    run(either, "mark-reversed", "ch_part", "ch_disputed")
    text = "No longer marked as reversed: ch_part, click id click_part, 5.00 EUR of 20.00 EUR\n"
    for _ in range(2):
        assert run(either, "mark-reversed", "--undo", "cs_part").stdout == text
    run(either, "mark-reversed", "--undo", "ch_disputed")
    assert listed(either) == BOTH
    nothing = run(either, "mark-reversed", "--undo", "ch_good", code=1)
    assert (nothing.stdout, nothing.stderr) == ("", "No refund or dispute has the id 'ch_good'.\n")


@pytest.mark.parametrize("wanted", ["ch_none", "cs_good", "\x1b[2J"])
def test_an_id_without_a_refund_is_named(environ: dict[str, str], wanted: str) -> None:
    """The others are marked all the same; the exit code shows that something is wrong."""
    result = run(environ, "mark-reversed", "ch_part", wanted, code=1)
    assert result.stderr == f"No refund or dispute has the id {wanted!r}.\n"
    assert listed(environ) == BOTH[1:]


def test_marks_outlive_a_new_ledger_and_go_with_the_sale(either: dict[str, str]) -> None:
    """They are not made of events; after the retention of the sale nothing of them is left."""
    run(either, "mark-reversed", "ch_part", "ch_disputed")
    run(either, "sales", "--rebuild")
    assert listed(either) == []
    assert len(marks(either)) == 3
    database = database_of(either)
    assert forget(database, days=-1000 * 366) == 3
    database.close()
    assert marks(either) == []


def marks(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the marks."""
    database = Database(environ["TRACKNOW_RELAY_DATABASE"])
    with database.read() as connection:
        names = connection.execute(facts.select()).scalars().all()
    database.close()
    return sorted(name for name in names if name.startswith("reversed"))


def test_all_is_for_refunds(environ: dict[str, str]) -> None:
    """Sums have nothing that is marked."""
    assert "--all is for --refunds" in run(environ, "report", "--all", code=2).output
