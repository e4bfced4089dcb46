"""What Stripe lists by time: pages newest first, filters, cursors; quick with 100,000 items."""

from __future__ import annotations

import bisect
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ALWAYS = (0, 1 << 40)


class Timeline:
    """Items with ``id`` and ``created``, which have their place when they are added.

    Of the same second, the one added later is the newer one.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._items: list[dict[str, Any]] = []
        self._created: list[int] = []
        self._texts: dict[str, str] = {}
        self._places: dict[str, int] = {}

    def add(self, item: dict[str, Any]) -> None:
        """Add an item."""
        self._places.clear()
        place = bisect.bisect_right(self._created, item["created"])
        self._items.insert(place, item)
        self._created.insert(place, item["created"])

    def clear(self) -> None:
        """Remove all items."""
        self._items.clear()
        self._created.clear()
        self._texts.clear()
        self._places.clear()

    def __iter__(self) -> Any:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def one(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and body for the path of one item."""
        id_ = path.removeprefix(f"{self.path}/")
        place = self._place(id_)
        if place is None:
            error = {"message": f"No such object: '{id_}'", "type": "invalid_request_error"}
            return 404, {"error": error}
        return 200, self._items[place]

    def page(
        self,
        given: dict[str, Any],
        wanted: Callable[[dict[str, Any]], bool] = lambda _: True,
        *,
        largest: int = 100,
    ) -> bytes | None:
        """Return a page as Stripe writes it, None for a cursor that is no item's id."""
        created = {name: int(value) for name, value in given.get("created", {}).items()}
        assert set(created) <= {"gte", "lt"}, created
        first = bisect.bisect_left(self._created, created.get("gte", _ALWAYS[0]))
        end = bisect.bisect_left(self._created, created.get("lt", _ALWAYS[1]))
        size = min(int(given.get("limit", 10)), largest)
        assert not ("starting_after" in given and "ending_before" in given)
        if "ending_before" in given:
            place = self._place(given["ending_before"])
            if place is None:
                return None
            rows = self._some(range(max(first, place + 1), end), wanted, size)
        else:
            if "starting_after" in given:
                place = self._place(given["starting_after"])
                if place is None:
                    return None
                end = min(end, place)
            rows = self._some(range(end - 1, first - 1, -1), wanted, size)
            rows.reverse()
        more, rows = len(rows) > size, rows[-size:] if "ending_before" not in given else rows[:size]
        return self._text(list(reversed(rows)), more=more)

    def _some(
        self, places: range, wanted: Callable[[dict[str, Any]], bool], size: int
    ) -> list[dict[str, Any]]:
        """Return one more than a page of what is wanted."""
        found: list[dict[str, Any]] = []
        for place in places:
            if wanted(self._items[place]):
                found.append(self._items[place])
                if len(found) > size:
                    break
        return found

    def _place(self, id_: str) -> int | None:
        if len(self._places) != len(self._items):
            self._places = {item["id"]: place for place, item in enumerate(self._items)}
        return self._places.get(id_)

    def _text(self, rows: Sequence[dict[str, Any]], *, more: bool) -> bytes:
        texts = ",\n    ".join(map(self._of, rows))
        end = "true" if more else "false"
        return (
            '{\n  "object": "list",\n  "data": [\n    '
            f'{texts}\n  ],\n  "has_more": {end},\n  "url": "{self.path}"\n}}'
        ).encode()

    def _of(self, item: dict[str, Any]) -> str:
        text = self._texts.get(item["id"])
        if text is None:
            text = json.dumps(item, indent=2).replace("\n", "\n    ")
            self._texts[item["id"]] = text
        return text
