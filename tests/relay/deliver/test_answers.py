"""What is kept of a destination's answer, and when an answer means that the event was rejected."""

from __future__ import annotations

import gzip
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.relay.deliver.parts import Shop, attempt
from tests.relay.deliver.stand_in import Action, StandIn, answer, flood, raw
from tests.relay.operate.parts import environment, run, run_json
from tests.relay.store.parts import accept, new
from tracknow_static.relay.deliver.answers import KEPT_BYTES, NOT_TEXT, excerpt, is_rejection
from tracknow_static.relay.deliver.verdict import Meaning, judge
from tracknow_static.relay.sales import verdicts
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.store import leases, purge, queries, replay
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import DeliveryResult, Filter

if TYPE_CHECKING:
    import asyncio

NO = b'{"success": false, "message": "click click_1 is unknown", "id": "c-17"}'
UUID = "3f2b8a10-1111-4222-8333-abcdefabcdef"


@pytest.mark.parametrize(
    ("body", "secret"),
    [
        ("mail jo.do+x@shop.example now", "shop.example"),
        ("mail jo%40shop.example or jo\\u0040shop.example", "shop"),
        ("j\u200bo\u202e@sh\u00adop.example", "shop"),
        ("call +49 (0)151 2345-678 please", "2345"),
        ("phone: 555-0100", "0100"),
        ("card 4242 4242 4242 4242 declined", "4242"),
        ("card 4242\x1b[0m424242424242", "42424"),
        ("from 203.0.113.7 and 2001:db8::1:2:3", "203.0"),
        ("from 203.0.113.7 and 2001:db8::1:2:3", "db8"),
        ('{"customer": {"name": "Jo Do", "address": {"line1": "Way 1", "x": 1}}}', "Way"),
        ('{"customer": {"name": "Jo Do", "address": {"line1": "Way 1", "x": 1}}}', "Jo"),
        ("customer_details[address][city]=Springfield&amount=2000", "Springfield"),
        ("ship to 12 Main Street, Springfield, IL 62704", "62704"),
        ("an Musterstra\u00dfe 12a, 10115 Berlin", "Berlin"),
        ("api_key=abc&x=1", "abc"),
        ('{"token": "ab\\"cd", "ok": 1}', "cd"),
        ("Authorization: Bearer abc.def-123", "abc"),
        ("the token 5ecret123 is invalid", "5ecret"),
        ("whsec_abcdEFGH12345678", "abcdEFGH"),
        ("sk_live_51HxYz", "51HxYz"),
        ("pi_12_secret_abc", "secret_abc"),
        ("jwt eyJhbGciOi.eyJzdWIi.c2ln", "eyJzdWIi"),
        ("trace 9f86d081884c7d659a2feaa0c55ad015", "9f86d081"),
        ("x" * 4070 + " someone@shop.example.com", "someone"),
        ("a1" * 2044 + " 4242 4242 4242 4242", "4242"),
    ],
)
def test_what_is_personal_or_secret_is_masked(body: str, secret: str) -> None:
    """Addresses, numbers, keys and tokens are not kept, however they are written."""
    kept = excerpt(body.encode())
    assert kept is not None
    assert secret not in kept
    assert "[masked]" in kept or body[0] == "x"


@pytest.mark.parametrize(
    "body",
    [
        "ok",
        '{"success":true,"id":12345678,"message":"stored"}',
        f'{{"message":"click {UUID} not found","click_id":"{UUID}","success":false}}',
        "evt_1ABCdefGHI of cs_live_a1b2c3d4e5f6 was received at 2026-11-26T03:45:51Z",
        "<html><body><h1>502 Bad Gateway</h1></body></html>",
        "invalid key: none",
    ],
)
def test_what_explains_is_kept(body: str) -> None:
    """Ids of events, clicks and conversions, times and messages stay as they are."""
    kept = excerpt(body.encode())
    assert kept == body.replace(": none", ": [masked]")


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"", None),
        (b" \r\n\t ", None),
        (b"one\r\n two\tthree", "one two three"),
        (gzip.compress(b"ok" * 99, mtime=0), NOT_TEXT),
        (bytes(range(256)), NOT_TEXT),
        ("ok".encode("utf-16"), NOT_TEXT),
        ("Gr\u00f6\u00dfe fehlt".encode("latin-1"), "Gr\u00f6\u00dfe fehlt"),
        (b"\xef\xbb\xbfok", "ok"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07end\x1b", "red end"),
        ("\u202eevil\u2066".encode(), "evil"),
        (b"a\x00b", NOT_TEXT),
        (b"f" * 60_000, "f" * 509 + "\u2026"),
        ("\u00e9".encode() * 3000, "\u00e9" * 254 + "\u2026"),
    ],
)
def test_hostile_answers_leave_a_short_line(body: bytes, kept: str | None) -> None:
    """Binary, compressed, long and steering answers: what is kept is text, or a note."""
    assert excerpt(body) == kept


@given(st.binary(max_size=6000) | st.text(max_size=3000).map(lambda text: text.encode("utf-8")))
@example(b'{"a":' * 900)
@settings(max_examples=200, deadline=None)
def test_any_answer_leaves_one_printable_line(body: bytes) -> None:
    """Never more than 512 bytes; both databases can store it, and no terminal is steered."""
    kept = excerpt(body) or ""
    assert len(kept.encode()) <= KEPT_BYTES
    assert kept.isprintable()
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in kept)
    assert is_rejection(body) in (True, False)


@pytest.mark.parametrize(
    ("body", "rejected"),
    [
        (b'{"success": false}', True),
        (b'\xef\xbb\xbf {"id": 1, "success":false}\r\n', True),
        (b'{"success": "false"}', True),
        (b'{"success": "False "}', True),
        (b'{"success": true}', False),
        (b'{"success": 0}', False),
        (b'{"success": null}', False),
        (b'{"success": ""}', False),
        (b'{"result": {"success": false}}', False),
        (b'[{"success": false}]', False),
        (b'"success: false"', False),
        (b'{"success": false', False),
        (b"success: false", False),
        (b"[" * 60_000, False),
        (b"9" * 60_000, False),
        (b"", False),
    ],
)
def test_only_an_object_whose_success_is_false_is_a_rejection(body: bytes, rejected: bool) -> None:
    """The text "false" counts as well; nothing else does, however deep or long it is."""
    assert is_rejection(body) is rejected


# -- with a destination


def test_an_answer_without_end_is_judged_by_what_came(destination: StandIn) -> None:
    """A body that never ends costs two seconds, and its JSON counts."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"

    async def stay(writer: asyncio.StreamWriter) -> None:
        writer.write(head + NO)
        await writer.drain()

    destination.decide = lambda _: Action(stay, 200)
    judged = judge(attempt(destination.url), now=0)
    assert judged.meaning is Meaning.REJECTED
    assert judged.answer == NO.decode()


def test_of_a_flood_the_beginning_is_kept(
    destination: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A huge answer is an acceptance whose first 512 bytes are kept."""
    monkeypatch.setattr("tracknow_static.relay.deliver.sender.BODY_SECONDS", 60.0)
    destination.decide = lambda _: flood(4 * 1024 * 1024)
    judged = judge(attempt(destination.url), now=0)
    assert judged.meaning is Meaning.DELIVERED
    assert judged.answer == "x" * 509 + "\u2026"


def test_a_rejection_counts_with_success_alone(destination: StandIn) -> None:
    """Another status means what it meant before, and its answer is kept, too."""
    destination.decide = lambda _: answer(503, NO)
    judged = judge(attempt(destination.url), now=0)
    assert (judged.meaning, judged.answer) == (Meaning.FAILED, NO.decode())
    destination.decide = lambda _: raw(b"HTTP/1.1 204 No Content\r\n\r\n")
    judged = judge(attempt(destination.url), now=0)
    assert (judged.meaning, judged.answer) == (Meaning.DELIVERED, None)


def test_a_rejected_event_is_not_sent_again_before_a_replay(
    shop: Shop, destination: StandIn
) -> None:
    """It is listed and counted, the destination is up, and a replay sends it once more."""
    (event_id,) = shop.sell()
    destination.decide = lambda _: answer(200, NO)
    assert shop.drain().rejected == 1
    shop.live(86_400, step=6 * 3600)
    assert destination.counts == {event_id: 1}
    delivery = shop.delivery(event_id)
    assert (delivery.state, delivery.last_status) == ("rejected", 200)
    assert delivery.last_error == "success_false"
    assert [tried.answer for tried in delivery.history] == [NO.decode()]
    status = queries.status(shop.database)
    (entry,) = status.destinations
    assert (entry.rejected, entry.dead, entry.pending, entry.breaker.is_down) == (1, 0, 0, False)
    assert status.tallies["rejected", destination.url] == 1
    listed = queries.find(shop.database, Filter(state="rejected"))
    assert [event.id for event in listed.events] == [event_id]

    destination.decide = lambda _: answer(200, b'{"success": true}')
    assert replay.replay(shop.database, Filter(state="rejected")).deliveries == 1
    assert shop.drain().delivered == 1
    assert shop.delivery(event_id).state == "delivered"
    assert queries.status(shop.database).destinations[0].rejected == 0


def test_rejections_do_not_open_the_breaker(small_shop: Shop, destination: StandIn) -> None:
    """A destination that rejects every event is asked about every event."""
    small_shop.sell(20)
    destination.decide = lambda _: answer(200, NO)
    assert small_shop.drain().rejected == 20


def test_what_was_rejected_moves_with_its_destination(
    small_shop: Shop, destination: StandIn
) -> None:
    """A wrong namespace that answers with a refusal is retired like one that does not answer."""
    (event_id,) = small_shop.sell()
    destination.decide = lambda _: answer(200, NO)
    small_shop.drain()
    done = replay.retire(small_shop.database, destination.url, to="https://new.example/hook")
    assert (done.moved, done.given_up) == (1, 0)
    assert small_shop.delivery(event_id, "https://new.example/hook").state == "pending"


def test_answers_go_with_the_payload(shop: Shop, destination: StandIn) -> None:
    """A purge by age and one by customer remove what was answered; rejected counts as dead."""
    old, erased = *shop.sell(), *shop.sell(customer="cus_1")
    destination.decide = lambda _: answer(200, NO)
    shop.drain()
    shop.now += 60 * 86_400
    kept = purge.purge(shop.database, delivered_days=30, dead_days=90, check_clock=False)
    assert kept.events == 0
    assert purge.erase(shop.database, customers=["cus_1"]).events == 1
    assert len(shop.delivery(old).history) == 1
    assert queries.find(shop.database, Filter(ids=(erased,))).events[0].deliveries == ()
    Ledger(shop.database).catch_up(100)
    shop.now += 60 * 86_400
    purge.purge(shop.database, delivered_days=30, dead_days=90, check_clock=False)
    assert shop.delivery(old).history == ()


def test_a_late_answer_is_not_kept(small_shop: Shop) -> None:
    """An event that was erased while it was sent leaves nothing of what was answered then."""
    (event_id,) = small_shop.sell(customer="cus_1")
    (claimed,) = leases.claim(small_shop.database, limit=1, lease_seconds=60)
    purge.erase(small_shop.database, customers=["cus_1"])
    result = DeliveryResult(claimed, "rejected", 200, answer="personal")
    assert leases.settle(small_shop.database, [result]) == [False]
    with small_shop.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT status, answer FROM attempts").all()
    assert [tuple(row) for row in rows] == [(200, None)]
    assert event_id == claimed.event_id


# -- what people see


def rejected_sale(url: str, destination: StandIn) -> dict[str, str]:
    """Sell once with a click id; the destination rejects the session."""
    environ = environment(url, destination.url)
    destination.decide = lambda _: answer(200, NO)
    database = Database(url, [destination.url])
    session = {
        "type": "checkout.session.completed",
        "object_id": "cs_1",
        "reference": "click_1",
        "payload": b'{"data": {"object": {"id": "cs_1", "created": 1790000000}}}',
    }
    accept(database, new(1, **session))
    database.close()
    assert run_json(environ, "drain", code=1)["rejected"] == 1
    return environ


def test_a_rejection_is_shown(database_url: str, destination: StandIn) -> None:
    """`status`, `list`, `show`, `sales`, `explain` and `report` name it, with the answer."""
    environ = rejected_sale(database_url, destination)
    found = run_json(environ, "status", "--strict", code=1)
    assert found["destinations"][0]["rejected"] == 1
    assert "tracknow-relay list --state rejected" in found["attention"][0]
    assert [one["id"] for one in run_json(environ, "list", "--state", "rejected")["events"]] == [
        "evt_1"
    ]
    (delivery,) = run_json(environ, "show", "evt_1")["deliveries"]
    assert delivery["history"][0]["answer"] == NO.decode()
    assert NO.decode() in run(environ, "show", "evt_1").stdout
    assert run_json(environ, "sales")["sales"][0]["verdict"] == "rejected"
    story = run_json(environ, "explain", "cs_1")
    assert (story["verdict"], story["reason"]) == ("rejected", "success-false")
    assert any(NO.decode() in step["detail"] for step in story["evidence"])
    text = run(environ, "explain", "click_1").stdout
    assert "click click_1 is unknown" in text
    assert "1 sale was rejected" in run(environ, "report").stdout
    database = Database(database_url, [destination.url])
    assert verdicts.find(database, verdicts.Wanted(verdicts=("rejected",))).sales[0].id == "cs_1"
    database.close()
