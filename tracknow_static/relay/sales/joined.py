"""Reading the ledger's objects together with all that is joined with them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from tracknow_static.relay.sales.derive import keys
from tracknow_static.relay.sales.objects import CHARGE, INVOICE, Object
from tracknow_static.relay.store.schema import parts, sale_objects

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection


def group_of(connection: Connection, ids: Sequence[str]) -> dict[str, Object]:
    """Return the objects with these ids and all that is joined with them, by id."""
    return closure(connection, by_ids(connection, ids), {})


def closure(
    connection: Connection, seeds: Mapping[str, Object], stored: dict[str, Object]
) -> dict[str, Object]:
    """Return whole groups: the seeds and all that is joined with them.

    ``stored`` gets what was read from the table; where it differs, the seeds count.
    """
    found = dict(seeds)
    asked: set[tuple[str, str]] = set()
    fresh = list(found.values())
    while fresh:
        wanted: dict[str, list[str]] = defaultdict(list)
        for name, value in {key for one in fresh for key in keys(one)} - asked:
            asked.add((name, value))
            wanted[name].append(value)
        fresh = []
        for name, values in wanted.items():
            ways = [sale_objects.c[name]]
            if name in (CHARGE, INVOICE):
                ways.append(sale_objects.c.id)
            for way in ways:
                for joined in _select(connection, way, values):
                    stored.setdefault(joined.id, joined)
                    if joined.id not in found:
                        found[joined.id] = joined
                        fresh.append(joined)
    return found


def by_ids(connection: Connection, ids: Sequence[str]) -> dict[str, Object]:
    """Return the objects with these ids, by id."""
    return {one.id: one for one in _select(connection, sale_objects.c.id, ids)}


def _select(
    connection: Connection, column: ColumnElement[Any], values: Collection[str]
) -> Iterator[Object]:
    for part in parts(values):
        statement = select(sale_objects).where(column.in_(part))
        for row in connection.execute(statement):
            yield Object(*row)
