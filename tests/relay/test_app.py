"""What callers are answered, and what is kept of what they sent."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.events import charge, encode, purchase, sign
from tests.relay.calls import DESTINATION, PATH, call, code, environ, post, relay
from tracknow_static.relay.app import Parts, Relay
from tracknow_static.relay.receive.response import Response
from tracknow_static.relay.store import leases, queries
from tracknow_static.relay.store.model import Filter

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def application(sqlite_url: str) -> Iterator[Relay]:
    """A relay on a fresh SQLite file."""
    made = relay(sqlite_url)
    yield made
    made.stop(100)


def send(application: Relay, payload: bytes = b"", **changes: Any) -> tuple[int, str]:
    """Post signed bytes; gives status and code."""
    return code(call(application, environ(payload, sign(payload), **changes)))


def test_event_is_stored_as_it_came(application: Relay) -> None:
    """The stored bytes, content type and signature are those of the request, to the byte."""
    payload = b' {"extra":"\xc3\xa9 \\u00e9",' + encode(purchase()).strip()[1:] + b"\r\n "
    signature = sign(payload)
    reply = call(application, environ(payload, signature))
    assert code(reply) == (200, "stored")
    claimed = leases.claim(application.database, limit=10, lease_seconds=60)
    assert [(one.payload, one.content_type, one.signature) for one in claimed] == [
        (payload, "application/json; charset=utf-8", signature)
    ]
    assert claimed[0].destination == DESTINATION


def test_details_are_read_out(application: Relay) -> None:
    """What joins a charge with its click id is kept beside the bytes."""
    post(application, purchase())
    post(application, charge())
    session = queries.event(application.database, "evt_1")
    paid = queries.event(application.database, "evt_1_charge")
    assert session is not None
    assert paid is not None
    assert (session.reference, session.payment_intent, session.customer) == (
        "click_1",
        "pi_1",
        "cus_1",
    )
    assert (session.object_id, session.livemode, session.created) == ("cs_1", True, 1_790_000_000)
    assert (paid.reference, paid.reference_found) == (None, "click_1")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "post", "PATCH"])
def test_other_methods(application: Relay, method: str) -> None:
    """Anything but POST is answered with 405 and what is allowed."""
    reply = call(application, environ(b"", None, REQUEST_METHOD=method), checked=False)
    assert code(reply) == (405, "method_not_allowed")
    assert ("Allow", "POST") in reply.headers


def test_head_has_no_body(application: Relay) -> None:
    """A HEAD is answered like the call it stands for, without a body."""
    reply = call(application, environ(b"", None, REQUEST_METHOD="HEAD"), checked=False)
    assert (reply.status, reply.body) == ("405 Method Not Allowed", b"")


def test_a_slash_at_the_end_of_the_path(application: Relay) -> None:
    """`stripe setup` accepts a URL with a slash at its end, and so does the relay."""
    payload = encode(purchase())
    assert send(application, payload, PATH_INFO="/stripe/webhook/") == (200, "stored")


@pytest.mark.parametrize("path", ["", "/", "/stripe", "/stripe/webhook/x", "/STRIPE/WEBHOOK", "/x"])
def test_other_paths(application: Relay, path: str) -> None:
    """Webhooks are accepted at one path."""
    payload = encode(purchase())
    assert send(application, payload, PATH_INFO=path) == (404, "not_found")


def test_mounted_below_a_prefix(application: Relay) -> None:
    """A server that mounts the application below a prefix puts it into SCRIPT_NAME."""
    assert send(application, encode(purchase()), SCRIPT_NAME="/relay") == (200, "stored")


def test_limit_is_exact(sqlite_url: str) -> None:
    """A body of the limit is taken, one byte more is not."""
    made = relay(sqlite_url, TRACKNOW_RELAY_MAX_BODY="2048")
    payload = encode(purchase())
    for size, expected in ((2048, (200, "stored")), (2049, (413, "body_too_large"))):
        assert send(made, payload + b" " * (size - len(payload))) == expected
    made.stop(100)


class Unread(io.RawIOBase):
    """A body that must not be read."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError(f"read({size})")


def test_stated_length_over_the_limit_reads_nothing(application: Relay) -> None:
    """A request that announces too much is refused before a byte of it is read."""
    changes = {"CONTENT_LENGTH": str(2**40), "wsgi.input": Unread()}
    reply = call(application, environ(b"", "t=1,v1=1", **changes), checked=False)
    assert code(reply) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        ("-1", (400, "length_invalid")),
        ("1e3", (400, "length_invalid")),
        ("+5", (400, "length_invalid")),
        (" 5", (400, "length_invalid")),
        ("٣", (400, "length_invalid")),
        ("9" * 5000, (413, "body_too_large")),
        ("", (411, "length_required")),
        (None, (411, "length_required")),
        ("100000", (400, "body_incomplete")),
        ("10", (400, "signature_invalid")),
        ("0", (400, "signature_invalid")),
    ],
)
def test_lying_lengths(application: Relay, length: str | None, expected: tuple[int, str]) -> None:
    """A length that is none, too long, too short or not there gets a clear answer."""
    payload = encode(purchase())
    made = environ(payload, sign(payload), CONTENT_LENGTH=length)
    assert code(call(application, made, checked=False)) == expected


def test_body_that_ends_by_itself(application: Relay) -> None:
    """A chunked body is read to its end, in pieces of any size."""

    class Drops(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(7, size or 7) if size != -1 else 7)

    payload = encode(purchase())
    changes = {"CONTENT_LENGTH": None, "wsgi.input": Drops(payload)}
    for sign_of_end in ({"wsgi.input_terminated": True}, {"HTTP_TRANSFER_ENCODING": "chunked"}):
        made = environ(payload, sign(payload), **changes, **sign_of_end)
        made["wsgi.input"].seek(0)
        assert code(call(application, made, checked=False)) == (200, "stored")


def test_endless_body_is_cut(application: Relay) -> None:
    """A chunked body without end is read up to the limit and no further."""

    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            assert size > 0
            self.given += size
            return b" " * size

    stream = Endless()
    changes = {"CONTENT_LENGTH": None, "wsgi.input": stream, "wsgi.input_terminated": True}
    made = environ(b"", "t=1,v1=1", **changes)
    assert code(call(application, made, checked=False)) == (413, "body_too_large")
    assert stream.given == application.config.max_body + 1


def test_caller_that_hangs_up(application: Relay) -> None:
    """A connection that breaks within the body is a short body, not a failure."""

    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError

    made = environ(b"", "t=1,v1=1", **{"CONTENT_LENGTH": "5", "wsgi.input": Broken()})
    assert code(call(application, made, checked=False)) == (400, "body_incomplete")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\x00", "invalid_json"),
        (b'{"id": NaN}', "invalid_json"),
        (b'{"created": -Infinity}', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "invalid_json"),
        (b'{"created": ' + b"9" * 10_000 + b"}", "invalid_json"),
        ("\ufeff{}".encode(), "invalid_json"),
        (b"null", "not_an_event"),
        (b"[]", "not_an_event"),
        (b"12", "not_an_event"),
        (b'"evt_1"', "not_an_event"),
        (b"{}", "not_an_event"),
        (encode(purchase(object="charge")), "not_an_event"),
        (encode(purchase(object=["event"])), "not_an_event"),
        (encode(purchase(id="")), "not_an_event"),
        (encode(purchase(id=7)), "not_an_event"),
        (encode(purchase(id="evt_\ud800")), "not_an_event"),
        (encode(purchase(id="evt_\u0000")), "not_an_event"),
        (encode(purchase(id="e" * 256)), "not_an_event"),
        (encode(purchase(type=None)), "not_an_event"),
        (encode(purchase(type={})), "not_an_event"),
        (encode(purchase(data=None)), "not_an_event"),
        (encode(purchase(data=[])), "not_an_event"),
        (encode(purchase(data={"object": "cs_1"})), "not_an_event"),
    ],
)
def test_signed_nonsense(application: Relay, payload: bytes, expected: str) -> None:
    """What is signed and no event is refused with a stable code, and nothing is stored."""
    assert send(application, payload) == (400, expected)
    assert queries.find(application.database, Filter()).events == ()


@pytest.mark.parametrize(
    "subject",
    [
        {},
        {"id": None},
        {"id": {"id": {"id": 1}}},
        {"id": "\ud800"},
        {"id": "a\u0000b"},
        {"id": "cs", "client_reference_id": "\udfff", "customer": "x" * 10_000},
        {"id": "cs", "client_reference_id": 5, "customer": [], "payment_intent": True},
    ],
)
def test_odd_details_do_not_lose_an_event(application: Relay, subject: dict[str, Any]) -> None:
    """An event whose details no database takes is stored and forwarded without them."""
    assert code(post(application, purchase(data={"object": subject}))) == (200, "stored")
    assert len(leases.claim(application.database, limit=10, lease_seconds=60)) == 1


@pytest.mark.parametrize("created", [10**30, -(10**30), 1.5, "now", None, True, [], 2**62])
def test_odd_creation_times_do_not_lose_an_event(application: Relay, created: object) -> None:
    """A creation time that is no whole number in range is left out."""
    assert code(post(application, purchase(created=created))) == (200, "stored")
    stored = queries.event(application.database, "evt_1")
    assert stored is not None
    assert stored.created is None


def test_duplicate_keys_mean_the_last(application: Relay) -> None:
    """Of keys given twice the last one counts, as in most JSON readers; the bytes stay."""
    payload = b'{"id":"evt_0",' + encode(purchase()).strip()[1:]
    assert send(application, payload) == (200, "stored")
    stored = queries.event(application.database, "evt_1")
    assert stored is not None
    assert stored.payload == payload


def test_pages_beside_the_webhook(sqlite_url: str) -> None:
    """Further paths answer GET and HEAD, and nothing else."""
    made = relay(sqlite_url)
    hello = Response("200 OK", (), b"hello")
    parts = Parts(made.ingest, pages={"/x": lambda _: hello})
    made = Relay(made.config, lambda _config: parts)
    got = [
        call(made, environ(b"", None, REQUEST_METHOD=method, PATH_INFO="/x"), checked=False)
        for method in ("GET", "HEAD", "POST")
    ]
    assert [(one.status[:3], one.body[:5]) for one in got[:2]] == [("200", b"hello"), ("200", b"")]
    assert code(got[2]) == (405, "method_not_allowed")
    assert json.loads(got[2].body)["message"] == "Use GET."
    made.stop(100)


@pytest.mark.parametrize(("method", "path"), [("POST", "/"), ("PUT", PATH), ("POST", "/healthz")])
def test_a_body_that_nobody_needs_is_read(application: Relay, method: str, path: str) -> None:
    """What a caller still sends destroys no answer, and is not taken for its next request."""
    body = io.BytesIO(b"x" * 100_000)
    changes = {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": body}
    reply = call(application, environ(body.getvalue(), None, **changes), checked=False)
    assert reply.status[:3] in ("404", "405")
    assert body.read() == b""


def test_refused_calls_are_reported(application: Relay, caplog: Any) -> None:
    """A wrong secret or path is in the log with its reason, once a minute, and in the counters."""
    payload = encode(purchase())
    for _ in range(5):
        call(application, environ(payload, sign(payload, "whsec_another_one")))
        call(application, environ(payload, sign(payload), PATH_INFO="/webhooks"))
        call(application, environ(payload, None, PATH_INFO="/wp-login.php"))
    reports = [record.getMessage() for record in caplog.records]
    (report,) = reports
    assert report.startswith("1 call refused (signature_mismatch): not signed with STRIPE_")
    application.ingest.flush()
    tallies = queries.status(application.database).tallies
    assert {name: number for (name, _), number in tallies.items()} == {
        "refused:signature_mismatch": 5,
        "refused:wrong_path": 5,
        "refused:not_found": 5,
    }


def test_nothing_unverified_is_stored_or_logged(application: Relay, caplog: Any) -> None:
    """What cannot be verified leaves no trace but a number."""
    marker = "planted-marker-4711"
    body = purchase(marker, note=marker)
    payload = encode(body)
    with caplog.at_level(logging.DEBUG):
        for header in (None, marker, f"t=1,v1={marker}", sign(payload, "whsec_" + marker)):
            call(application, environ(payload, header))
        call(application, environ(payload, None, QUERY_STRING=marker, PATH_INFO="/" + marker))
    application.ingest.flush()
    assert marker not in caplog.text
    assert queries.find(application.database, Filter()).events == ()
    path = application.database.path
    assert path is not None
    application.database.close()
    for file in path.parent.iterdir():
        assert marker.encode() not in file.read_bytes()


def test_verified_payloads_are_never_logged(application: Relay, caplog: Any) -> None:
    """Payloads, signatures and secrets stay out of the log also when the database fails."""
    marker = "planted-marker-4712"
    path = application.database.path
    assert path is not None
    with caplog.at_level(logging.DEBUG):
        post(application, purchase(1, note=marker))
        path.unlink()
        assert code(post(application, purchase(2, note=marker)))[0] == 503
    assert marker not in caplog.text
    assert "whsec" not in caplog.text
    assert "v1=" not in caplog.text
