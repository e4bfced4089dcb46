"""Stripe down, slow, or not Stripe at all: nothing wrong is stored, and nothing is lost by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.account.stand_in import Failure
from tests.relay.backfill.parts import DAY, listed, sale
from tracknow_static.errors import AccountError
from tracknow_static.relay.backfill import listing, transport

if TYPE_CHECKING:
    from tests.relay.backfill.parts import Shop


def page(*items: Any, **changes: Any) -> bytes:
    """Return an answer that lists items."""
    body = {"object": "list", "data": list(items), "has_more": False, "url": "/v1/events"}
    return json.dumps({**body, **changes}).encode()


def good(small_shop: Shop) -> dict[str, Any]:
    """Return an event that is as it should be."""
    return listed(sale("a", small_shop.now - DAY)[0])


def refused(small_shop: Shop, raw: bytes, status: int = 200) -> str:
    """Answer a poll with this; return its error, and find everything after it."""
    small_shop.sell("b", ago=DAY)
    small_shop.stripe.failures.append(Failure(status, raw=raw, on="/v1/events", times=9))
    with pytest.raises(AccountError) as caught:
        small_shop.poll()
    assert small_shop.rows() == {}
    assert small_shop.state.error == str(caught.value)
    assert len(small_shop.state.error) < 1000
    small_shop.stripe.failures.clear()
    assert small_shop.poll() is not None
    assert set(small_shop.rows()) == {"evt_b", "evt_b_charge"}
    assert (small_shop.state.error, small_shop.state.failing_since) == ("", 0)
    return str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../etc"},
        {"id": 7},
        {"id": "evt_" + "x" * 300},
        {"object": "charge"},
        {"object": "v2.core.event"},
        {"livemode": False},
        {"livemode": None},
        {"type": "customer.created"},
        {"type": ["charge.succeeded"]},
        {"created": 1},
        {"created": 2**70},
        {"created": "now"},
        {"data": None},
        {"data": {"object": "ch_1"}},
    ],
    ids=repr,
)
def test_an_event_that_was_not_asked_for(small_shop: Shop, change: dict[str, Any]) -> None:
    """One such element, and nothing of the page is stored."""
    text = refused(
        small_shop, page(good(small_shop), {**good(small_shop), "id": "evt_x", **change})
    )
    assert "Nothing of it was stored" in text


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>Welcome to the hotel's network</html>",
        b"[]",
        b"{}",
        b"null",
        page(object="event"),
        page(data={}),
        page(data="none"),
        page(has_more="no"),
        page(has_more=None),
        page(7),
        page(*({"id": f"evt_{n}"} for n in range(101))),
        b'{"object": "list", "has_more": false, "data": [' + b"[" * 5000 + b"]" * 5000 + b"]}",
        b'{"object": "list", "has_more": false, "data": [NaN]}',
        b"\xff\xfe",
    ],
    ids=range(15),
)
def test_an_answer_that_is_no_list(small_shop: Shop, raw: bytes) -> None:
    """A portal's page, other JSON, or none at all."""
    refused(small_shop, raw)


def test_an_event_twice_in_a_page(small_shop: Shop) -> None:
    """A page that repeats itself is not believed."""
    refused(small_shop, page(good(small_shop), good(small_shop)))


def test_pages_without_an_end(small_shop: Shop) -> None:
    """The same page again and again ends the poll."""
    raw = page(good(small_shop), has_more=True)
    assert "not what was asked for" in refused(small_shop, raw)


@pytest.mark.parametrize("raw", [b'{"error": "x"}', b"[]", b'{"error": {"message": 7}}', b"no"])
@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_an_error_without_stripes_shape(small_shop: Shop, status: int, raw: bytes) -> None:
    """A proxy's error is reported as one of Stripe's would be."""
    refused(small_shop, raw, status)


def test_a_long_error_is_cut(small_shop: Shop) -> None:
    """What is quoted of an answer is short, and cannot steer a terminal."""
    text = refused(small_shop, b"\x1b[2J" + b"x" * 100_000, 400)
    assert "\x1b" not in text


def test_an_answer_without_an_end(small_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read up to a size, and no further."""
    monkeypatch.setattr(
        transport.BoundedClient.__init__, "__kwdefaults__", {"largest": 50_000, "seconds": 30.0}
    )
    refused(small_shop, page(*(good(small_shop) for _ in range(90))))


def test_stripe_asks_for_fewer_requests(small_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The poll waits and goes on; it asks at most 25 times a second by itself."""
    monkeypatch.setattr(listing, "_PAUSES", (0.01, 0.01))
    small_shop.sell("a", ago=DAY)
    small_shop.stripe.failures.append(Failure(429, "Too many", times=2, on="/v1/events"))
    assert small_shop.poll() is not None
    assert len(small_shop.rows()) == 2
    small_shop.stripe.failures.append(Failure(429, "Too many", times=3, on="/v1/events"))
    with pytest.raises(AccountError, match="too many requests"):
        small_shop.poll()


def test_a_connection_that_breaks(small_shop: Shop) -> None:
    """The library asks again; a poll that fails goes on where the last page ended."""
    for number in range(6):
        small_shop.sell(number, ago=DAY - number)
    small_shop.stripe.page = 4
    small_shop.stripe.failures.append(Failure(0, on="/v1/events"))
    with small_shop.backfill() as task:

        def cut(number: int) -> None:
            if number == 8:
                small_shop.stripe.failures.append(Failure(0, on="/v1/events", times=9))

        with pytest.raises(AccountError, match="cannot be reached"):
            task.poll(cut)
    assert len(small_shop.rows()) == 8
    assert small_shop.state.owner == ""
    small_shop.stripe.failures.clear()
    small_shop.poll()
    assert len(small_shop.rows()) == 12


def test_pages_that_shrink_lose_nothing(small_shop: Shop) -> None:
    """More events in one second than a page holds: each is found."""
    for number in range(30):
        small_shop.sell(number, ago=DAY)
    small_shop.stripe.page = 7
    small_shop.poll()
    assert len(small_shop.rows()) == 60


def test_a_cursor_that_stripe_has_forgotten(small_shop: Shop) -> None:
    """An event may pass its thirty days between two pages: the next poll begins by time."""
    for number in range(6):
        small_shop.sell(number, ago=DAY - number)
    small_shop.stripe.page = 2
    with small_shop.backfill() as task:

        def forget(number: int) -> None:
            if number == 4:
                rest = list(small_shop.stripe.events)[4:]
                small_shop.stripe.events.clear()
                for event in rest:
                    small_shop.stripe.events.add(event)

        with pytest.raises(AccountError):
            task.poll(forget)
    small_shop.poll()
    assert len(small_shop.rows()) == 12


def test_the_disk_is_nearly_full(small_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched events respect the floor, too; they come when there is room again."""
    from tracknow_static.errors import StorageError
    from tracknow_static.relay.store.ingest import Ingest

    small_shop.sell("a", ago=DAY)
    monkeypatch.setattr(Ingest, "_check_disk", _full)
    with pytest.raises(StorageError, match="full"):
        small_shop.poll()
    monkeypatch.undo()
    monkeypatch.setenv("TRACKNOW_STRIPE_API_BASE", small_shop.stripe.base)
    small_shop.poll()
    assert len(small_shop.rows()) == 2


def _full(_: object) -> None:
    from tracknow_static.errors import StorageError

    raise StorageError("disk_low", "the disk is full")
