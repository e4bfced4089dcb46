"""Hostile input in bulk: no 5xx, no acceptance, no traceback."""

from __future__ import annotations

import json
import os
import random
import string
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.events import SECRET, digest, encode, purchase, sign
from tests.relay.calls import Memory, call, code, config, environ, relay, with_ingest
from tracknow_static.relay.store import queries

# More of them by hand.
NUMBER = int(os.environ.get("TRACKNOW_TEST_CALLS", "20000"))
NOW = 1_790_000_000.0
CONFIG = config("sqlite:////nowhere/x")
PAYLOAD = encode(purchase())
DIGEST = digest(PAYLOAD, SECRET, NOW)
REFUSALS = {
    "body_not_utf8",
    "signature_invalid",
    "body_incomplete",
    "length_invalid",
    "length_required",
    "not_found",
    "method_not_allowed",
}
_HEADER_PIECES = (
    "t=", "v1=", "v0=", ",", "=", " ", "\t", "\x00", "\x7f", "é", "ÿ", "１", "-", "+", "_", "t", "v1",
    "0", "9" * 20, "1e9", "0x", "None", "nan", "%s", "%d", "{}", "'", '"', "\\", ";", "\n", DIGEST,
    DIGEST[:32], DIGEST.upper(), f"t={NOW:.0f}", str(int(NOW)), "whsec_", SECRET, "f" * 64, "," * 50,
)  # fmt: skip
_BODY_PIECES = (
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\u0000", b"\\ud800", b"\xff", b"\xed\xa0\x80", b"\x00",
    b"null", b"NaN", b"1e999", b"-", b"9" * 50, b'"id"', b'"object":"event"', b"\xef\xbb\xbf", b"\r\n",
)  # fmt: skip


def _header(chance: random.Random) -> str:
    """A signature header that is not the right one for the right body."""
    kind = chance.randrange(6)
    if kind == 0:
        return "".join(chance.choices(_HEADER_PIECES, k=chance.randrange(9)))
    if kind == 1:
        return "".join(chance.choices(string.printable, k=chance.randrange(120)))
    if kind == 2:  # one digit of the digest changed
        at = chance.randrange(64)
        digit = chance.choice([one for one in "0123456789abcdef" if one != DIGEST[at]])
        return f"t={NOW:.0f},v1={DIGEST[:at]}{digit}{DIGEST[at + 1 :]}"
    if kind == 3:  # another time, the same digest
        return f"t={int(NOW) + chance.choice((-1, 1, 60, -301, 10**9, 10**30))},v1={DIGEST}"
    if kind == 4:  # the digest under a scheme that does not count
        scheme = chance.choice(("v0", "v2", "V1", " v1", "v1 ", "v11", "1v", "v", ""))
        return f"t={NOW:.0f},{scheme}={DIGEST}"
    stamps = chance.choice(("", "t=,", "t=abc,", "t=1.5,", "t= ,", "t=١٢٣,", "t=1_0,"))
    return f"{stamps}v1={DIGEST}"


def _body(chance: random.Random) -> bytes:
    """A body that is not the signed one."""
    kind = chance.randrange(4)
    if kind == 0:
        return b"".join(chance.choices(_BODY_PIECES, k=chance.randrange(12)))
    if kind == 1:
        return chance.randbytes(chance.randrange(64))
    at = chance.randrange(len(PAYLOAD))
    if kind == 2:
        return PAYLOAD[:at] + bytes([PAYLOAD[at] ^ (1 << chance.randrange(8))]) + PAYLOAD[at + 1 :]
    return PAYLOAD[:at] + chance.choice(_BODY_PIECES) + PAYLOAD[at:]


def _call(chance: random.Random) -> dict[str, Any]:
    if chance.randrange(2):
        made = environ(PAYLOAD, _header(chance))
    else:
        made = environ(_body(chance), f"t={NOW:.0f},v1={DIGEST}")
    if not chance.randrange(20):
        key = chance.choice(("CONTENT_LENGTH", "CONTENT_TYPE", "REQUEST_METHOD", "PATH_INFO"))
        made[key] = "".join(chance.choices(string.printable + "é١", k=chance.randrange(20)))
    return made


@pytest.mark.slow
def test_mutated_calls_are_refused() -> None:
    """Thousands of mutated headers, bodies and lengths: each refused, none stored."""
    memory = Memory()
    application = with_ingest(CONFIG, memory, clock=lambda: NOW)  # type: ignore[arg-type]
    good = call(application, environ(PAYLOAD, f"t={NOW:.0f},v1={DIGEST}"))
    assert (good.status, len(memory.events)) == ("200 OK", 1)  # what the mutants are made from
    chance = random.Random(20_260_101)
    seen = set()
    for number in range(NUMBER):
        made = _call(chance)
        reply = call(application, made, checked=False)
        seen.add(reply.body)
        assert not reply.status.startswith(("2", "5")), (number, made)
    assert len(memory.events) == 1
    assert {json.loads(one)["code"] for one in seen if one} == REFUSALS


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=20)
    | st.sampled_from(["event", "v2.core.event", "evt_1", "charge.succeeded", "\ud800", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "object",
                    "type",
                    "data",
                    "livemode",
                    "customer",
                    "account",
                    "created",
                    "payment_intent",
                    "client_reference_id",
                    "related_object",
                    "x",
                ]
            ),
            inner,
            max_size=8,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=400)
@given(json_values, st.booleans())
def test_signed_json_of_any_shape(body: Any, whole: bool) -> None:
    """Whatever JSON is signed, the answer is 200 or 400, and only an event is taken."""
    if whole and isinstance(body, dict):
        body = {**purchase(), **body}
    payload = json.dumps(body).encode()
    memory = Memory()
    application = with_ingest(CONFIG, memory, clock=lambda: NOW)  # type: ignore[arg-type]
    reply = code(call(application, environ(payload, sign(payload, at=NOW)), checked=False))
    assert reply in {(200, "stored"), (400, "not_an_event"), (400, "invalid_json")}
    assert bool(memory.events) == (reply[0] == 200)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.text(max_size=80))
def test_bytes_of_any_kind(payload: bytes, header: str) -> None:
    """No bytes and no header raise anything or are accepted."""
    memory = Memory()
    application = with_ingest(CONFIG, memory, clock=lambda: NOW)  # type: ignore[arg-type]
    assert code(call(application, environ(payload, header), checked=False))[0] in (400, 413)
    signed = environ(payload, sign(payload, at=NOW))
    assert code(call(application, signed, checked=False))[0] == 400
    assert memory.events == []


def test_odd_events_are_stored(database_url: str) -> None:
    """Events whose fields hold anything JSON can say are stored by both databases, to the byte."""
    application = relay(database_url)
    sent: dict[str, bytes] = {}

    @settings(max_examples=60)
    @given(st.dictionaries(st.sampled_from(["livemode", "created", "account"]), json_values))
    def store(changes: dict[str, Any]) -> None:
        subject = {"id": "x", "client_reference_id": changes.get("account"), **changes}
        name = f"evt_{len(sent)}"
        body = purchase(**{**changes, "id": name, "data": {"object": subject}})
        payload = json.dumps(body).encode()
        sign_now = sign(payload, at=time.time())
        reply = code(call(application, environ(payload, sign_now), checked=False))
        if reply == (200, "stored"):
            sent[name] = payload
        else:  # NaN and Infinity are what Python writes, and no JSON
            assert reply == (400, "invalid_json")

    store()
    for name, payload in sent.items():
        stored = queries.event(application.database, name)
        assert stored is not None
        assert stored.payload == payload
    application.stop(100)
