"""Going through a list of Stripe's oldest first, which Stripe gives newest first.

Within a window of time, the first page is found by halving the window; from its newest event on,
``ending_before`` gives the pages that follow (docs.stripe.com/api/pagination). So one page is in
memory at a time, and whoever stops goes on from the time of the last event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Listed(Protocol):
    """What a list holds; ``created`` is in Unix seconds."""

    @property
    def id(self) -> str:
        """The id, which pages are asked for by."""

    @property
    def created(self) -> int:
        """When it was created."""


_Item = TypeVar("_Item", bound=Listed)


class Page(NamedTuple, Generic[_Item]):
    """One page, the newest item first; ``more`` if the list goes on behind it."""

    items: Sequence[_Item]
    more: bool


class Ask(Protocol[_Item]):
    """Requests one page of what was created from ``since`` to ``before``, exclusive."""

    def __call__(
        self,
        since: int,
        before: int,
        *,
        older_than: str | None = None,
        newer_than: str | None = None,
    ) -> Page[_Item]:
        """Return the page; ``older_than`` and ``newer_than`` are ids that it is next to."""


class InconsistentError(Exception):
    """The pages contradict each other: one repeats, or lacks, what another one holds."""


def oldest_first(ask: Ask[_Item], since: int, before: int) -> Iterator[Sequence[_Item]]:
    """Yield all items created in the window, in pages, the oldest first.

    Raises :class:`InconsistentError`, and whatever ``ask`` raises.
    """
    page = _first(ask, since, before)
    while page:
        yield page
        last = page[-1]
        following = ask(since, before, newer_than=last.id)
        page = tuple(reversed(following.items))
        if page and page[0].created < last.created:
            raise InconsistentError
        _refuse_repeated(last, page)


def _first(ask: Ask[_Item], since: int, before: int) -> Sequence[_Item]:
    """Return the oldest page of the window, its oldest item first."""
    low, high = since, before
    # Nothing is before ``low``, and more than a page is before ``full``.
    full = None
    while True:
        page = ask(low, high)
        if page.more and page.items:
            if high - low == 1:
                return _last_of_second(ask, low, page)
            full, high = high, low + (high - low) // 2
        elif page.items:
            return tuple(reversed(page.items))
        elif full is None and not page.more:
            return ()
        elif full is None or high >= full:
            raise InconsistentError
        else:
            low, high = high, max(high + 1, high + (full - high) // 2)


def _last_of_second(ask: Ask[_Item], second: int, page: Page[_Item]) -> Sequence[_Item]:
    """Return the oldest page of a second that holds more than a page."""
    while page.more:
        last = page.items[-1]
        following = ask(second, second + 1, older_than=last.id)
        _refuse_repeated(last, following.items)
        if not following.items:
            break
        page = following
    return tuple(reversed(page.items))


def _refuse_repeated(last: Listed, items: Sequence[Listed]) -> None:
    if any(item.id == last.id for item in items):
        raise InconsistentError
