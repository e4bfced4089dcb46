"""Oldest first through a list that gives the newest first: everything once, in few requests."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknow_static.relay.backfill.walk import InconsistentError, Page, oldest_first

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW = 1 << 21


class Item(NamedTuple):
    """An item of a list."""

    id: str
    created: int


class Listing:
    """A list as Stripe pages it, with small pages."""

    def __init__(self, created: Sequence[int], page: int) -> None:
        self.items = [Item(f"evt_{n}", at) for n, at in enumerate(sorted(created))]
        self.page = page
        self.requests = 0

    def __call__(
        self,
        since: int,
        before: int,
        *,
        older_than: str | None = None,
        newer_than: str | None = None,
    ) -> Page[Item]:
        """Answer a request."""
        self.requests += 1
        within = [one for one in self.items if since <= one.created < before]
        if newer_than is not None:
            place = [one.id for one in self.items].index(newer_than)
            rows = [one for one in self.items[place + 1 :] if one in within]
            return Page(rows[: self.page][::-1], len(rows) > self.page)
        if older_than is not None:
            place = [one.id for one in self.items].index(older_than)
            within = [one for one in self.items[:place] if one in within]
        return Page(within[-self.page :][::-1], len(within) > self.page)


@given(
    created=st.lists(st.integers(0, WINDOW - 1) | st.sampled_from([5, 6, WINDOW - 1]), max_size=40),
    page=st.integers(1, 5),
)
def test_every_item_comes_once_the_oldest_first(created: list[int], page: int) -> None:
    """However many share a second, and wherever in the window they are."""
    listing = Listing(created, page)
    found = [item for items in oldest_first(listing, 0, WINDOW) for item in items]
    assert found == listing.items
    searching = 2 * math.log2(WINDOW) + 2
    assert listing.requests <= searching + 2 * len(created) / page + 2


@given(created=st.lists(st.integers(0, 30), max_size=30), since=st.integers(0, 30))
def test_only_the_window_is_listed(created: list[int], since: int) -> None:
    """The window's first second belongs to it, its last does not."""
    listing = Listing(created, 3)
    found = [item for items in oldest_first(listing, since, since + 9) for item in items]
    assert found == [one for one in listing.items if since <= one.created < since + 9]


def test_an_empty_window_costs_one_request() -> None:
    """A shop without sales is not searched for any."""
    listing = Listing([], 100)
    assert list(oldest_first(listing, 0, WINDOW)) == []
    assert listing.requests == 1


def repeats(*_: int, **cursors: str | None) -> Page[Item]:
    """The same page, whatever is asked for."""
    return Page([Item("evt_2", 7), Item("evt_1", 7)], more=True)


def forgets(*_: int, **cursors: str | None) -> Page[Item]:
    """A list that is full as a whole, and empty in all its parts."""
    return Page([Item("evt_1", 7)], more=True) if _ == (0, 9) else Page([], more=False)


def goes_back(*_: int, newer_than: str | None = None, **cursors: str | None) -> Page[Item]:
    """A page that should be newer, and is older."""
    return Page([Item("evt_0", 1)] if newer_than else [Item("evt_1", 7)], more=False)


def promises(*_: int, **cursors: str | None) -> Page[Item]:
    """Nothing, with more to follow."""
    return Page([], more=True)


@pytest.mark.parametrize("ask", [repeats, forgets, goes_back, promises])
def test_pages_that_contradict_each_other_end_it(ask: object) -> None:
    """A list without an end, or with a hole, is an error: never an endless loop."""
    with pytest.raises(InconsistentError):
        list(oldest_first(ask, 0, 9))  # type: ignore[arg-type]
