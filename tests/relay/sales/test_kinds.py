"""Every kind of sale gets its verdict, whatever the order of its events."""

from __future__ import annotations

import json
import random
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.relay.sales.cases import CASES, MIXED
from tests.relay.sales.parts import build, contents, summary
from tests.relay.sales.shapes import new
from tests.relay.store.parts import START, accept
from tracknow_static.relay.sales.derive import derive
from tracknow_static.relay.sales.objects import Object, merge, read
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.relay.store.parts import Clock

_ID = re.compile(r"\b(cs|ch|pi|in|inpay|sub|cus|du|evt)_(?=\w)")


def test_all_kinds_of_sales_in_one_ledger(database: Database) -> None:
    """Every real shape gets its sales, verdicts, refunds and renewals, whatever else is there."""
    bodies, expected = [], {}
    for number, (own, sales_) in enumerate(CASES.values()):
        # Each case with ids of its own.
        ids = partial(_ID.sub, rf"\1_{number}x")
        bodies += [json.loads(ids(json.dumps(body))) for body in own]
        for name, (verdict, refunded, renews) in sales_.items():
            expected[ids(name)] = (verdict, refunded, renews and ids(renews))
    random.Random(1).shuffle(bodies)
    store(database, [new(body) for body in bodies])
    assert build(database) == len(bodies)
    assert summary(database) == expected


class Row:
    """An event as a row of the table."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.__dict__.update(new(body)._asdict(), received_at=START)


def of(bodies: Sequence[dict[str, Any]]) -> dict[str, Object]:
    """Merge what events say, in their order."""
    found: dict[str, Object] = {}
    for body in bodies:
        shown = read(Row(body))
        assert shown is not None
        found[shown.id] = merge(found[shown.id], shown) if shown.id in found else shown
    return found


@given(data=st.data())
@pytest.mark.parametrize("case", CASES)
@settings(max_examples=25, deadline=None)
def test_each_kind_of_sale_in_any_order(case: str, data: st.DataObject) -> None:
    """Whatever the order, and whatever comes twice, the sales are those of :data:`CASES`."""
    bodies, expected = CASES[case]
    order = data.draw(st.permutations(bodies))
    again = data.draw(st.lists(st.sampled_from(bodies), max_size=3))
    derived = derive(of([*order, *again]).values())
    found = {sale.id: (sale.verdict, sale.refunded, sale.renews) for sale in derived.sales}
    assert found == expected


@given(order=st.permutations(MIXED), again=st.lists(st.sampled_from(MIXED), max_size=9))
@settings(max_examples=300, deadline=None)
def test_order_and_duplicates_do_not_matter(
    order: list[dict[str, Any]], again: list[dict[str, Any]]
) -> None:
    """The objects are the same, and so are the sales."""
    objects = of([*order, *again])
    assert objects == of(MIXED)
    assert sorted(derive(objects.values()).sales) == sorted(derive(of(MIXED).values()).sales)


@pytest.fixture(scope="module")
def in_order(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Any]]:
    """What the ledger holds of events that came in their order and were read at once."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/relay.sqlite3")
    store(database, [new(body) for body in MIXED])
    build(database)
    found = contents(database)
    database.close()
    return found


@given(seed=st.integers(0, 2**32), limit=st.sampled_from([1, 2, 7, 500]))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_ledger_is_the_same_in_any_order_and_batches(
    sqlite_url: str,
    clock: Clock,
    in_order: tuple[list[Any], list[Any]],
    seed: int,
    limit: int,
) -> None:
    """Events stored in any order and read in batches of any size make the same tables."""
    bodies = list(MIXED)
    random.Random(seed).shuffle(bodies)
    database = Database(sqlite_url.replace(".sqlite3", f"-{seed}-{limit}.sqlite3"), clock=clock)
    for body in bodies:
        clock.time += 1
        accept(database, new(body))
        if limit < 7:
            build(database, limit=limit)
    build(database, limit=limit)
    # Nothing depends on when an event was received.
    assert contents(database) == in_order
    database.close()
