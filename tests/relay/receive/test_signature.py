"""Whose signatures are accepted, and what a refused one tells."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.events import SECRET, encode, purchase, sign
from tests.relay.calls import call, code, environ, post, relay
from tracknow_static.relay.receive.response import Rejected
from tracknow_static.relay.receive.signature import verify
from tracknow_static.relay.store import queries

if TYPE_CHECKING:
    from pathlib import Path

BODY = b'{"id":"evt_1","object":"event"}'
AT = 1_700_000_000
DIGEST = "0c8670ed117751cc551a20e35839447075c42800ea3cf3e8a2fbda99cd1e6edd"


def accepted(header: str | None, *, body: bytes = BODY, now: float = AT) -> bool:
    """Whether a header is accepted for a body at a time."""
    try:
        verify(body, header, [SECRET], clock=lambda: now)
    except Rejected:
        return False
    return True


def test_published_vector() -> None:
    """The vector on which stripe-node and stripe-python agree is accepted."""
    assert accepted(f"t={AT},v1={DIGEST}")


@pytest.mark.parametrize("seconds", [-300, -299.5, 0, 299.5, 300])
def test_tolerance_holds_within_five_minutes(seconds: float) -> None:
    """A clock that differs by up to 300 seconds either way is accepted."""
    assert accepted(f"t={AT},v1={DIGEST}", now=AT + seconds)


@pytest.mark.parametrize("seconds", [-301, 301, 86_400, -(10**9)])
def test_stale_and_future_stamps_are_refused(seconds: float) -> None:
    """A right signature with a time stamp beyond 300 seconds, past or future, is refused."""
    assert not accepted(f"t={AT},v1={DIGEST}", now=AT + seconds)


@pytest.mark.parametrize(
    "header",
    [
        f"t={AT},v1={'0' * 64},v1={DIGEST}",
        f"t={AT},v0={'0' * 64},v1={DIGEST}",
        f"v1={DIGEST},t={AT}",
        f"t={AT},v1={DIGEST},v2=later",
    ],
)
def test_one_right_v1_is_enough(header: str) -> None:
    """While a secret rolls there are several signatures; one of scheme v1 has to fit."""
    assert accepted(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t",
        "=",
        ",",
        f"t={AT}",
        f"v1={DIGEST}",
        f"t={AT},v0={DIGEST}",
        f"t={AT},V1={DIGEST}",
        f"t={AT}, v1={DIGEST}",
        f"t= {AT},v1={DIGEST}",
        f"t=+{AT},v1={DIGEST}",
        f"t=1_700_000_000,v1={DIGEST}",
        f"t=１７０００００００0,v1={DIGEST}",
        f"t={AT}.0,v1={DIGEST}",
        f"t={AT},t={AT},v1={DIGEST}",
        f"t={AT},t=1,v1={DIGEST}",
        f"t=-{AT},v1={DIGEST}",
        f"t={'9' * 5000},v1={DIGEST}",
        f"t={AT},v1={DIGEST[:-1]}",
        f"t={AT},v1={DIGEST}0",
        f"t={AT},v1=é{DIGEST[1:]}",
        f"t={AT},v1={DIGEST.upper()}",
        f"t={AT},v1={DIGEST}\x00",
        f"t={AT},v1={DIGEST}," + "v1=0," * 2000,
    ],
)
def test_malformed_headers_are_refused(header: str | None) -> None:
    """Whatever else stands in the header is refused by the one error, never by another."""
    assert not accepted(header)


@pytest.mark.parametrize(
    "body", [b"", BODY + b" ", BODY[:-1], b"\xff" + BODY, b"\xff\xfe", BODY * 2]
)
def test_other_bodies_are_refused(body: bytes) -> None:
    """One byte more, less or different breaks the signature, UTF-8 or not."""
    assert not accepted(f"t={AT},v1={DIGEST}", body=body)


def test_signed_body_that_is_not_utf8_is_refused() -> None:
    """Bytes that are no UTF-8 are no event, however well they are signed."""
    body = b'{"id":"evt_1\xff"}'
    assert not accepted(sign(body, at=AT), body=body)


def test_any_of_several_secrets(sqlite_url: str) -> None:
    """Each of the configured secrets is accepted, another one is not."""
    application = relay(sqlite_url, STRIPE_WEBHOOK_SECRET="whsec_one_one, whsec_two_two")
    payload = encode(purchase())
    for secret, status in (("whsec_one_one", 200), ("whsec_two_two", 200), (SECRET, 400)):
        reply = call(application, environ(payload, sign(payload, secret)))
        assert code(reply)[0] == status
    application.stop(100)


def test_secret_file_is_read_again(sqlite_url: str, tmp_path: Path) -> None:
    """A secret that is rolled in its file counts at once, and the old one no more."""
    file = tmp_path / "secret"
    file.write_text("whsec_before_1\n")
    application = relay(sqlite_url, STRIPE_WEBHOOK_SECRET="", STRIPE_WEBHOOK_SECRET_FILE=str(file))
    payload = encode(purchase())

    def status(secret: str) -> int:
        return code(call(application, environ(payload, sign(payload, secret))))[0]

    assert (status("whsec_before_1"), status("whsec_after_22")) == (200, 400)
    replacement = tmp_path / "new"
    replacement.write_text("whsec_after_22\nwhsec_other_3\n")
    os.replace(replacement, file)  # noqa: PTH105 - as `stripe rotate` does
    assert (status("whsec_before_1"), status("whsec_after_22")) == (400, 200)
    file.write_text("")
    assert status("whsec_after_22") == 200  # an empty file loses no purchase
    file.unlink()
    assert status("whsec_after_22") == 200
    application.stop(100)


def test_answers_to_bad_signatures_are_alike(sqlite_url: str) -> None:
    """Missing, malformed, wrong and stale signatures get the same bytes."""
    application = relay(sqlite_url)
    payload = encode(purchase())
    headers = [
        None,
        "nonsense",
        sign(payload, "whsec_another_one"),
        sign(payload, at=time.time() - 1000),
        sign(payload, at=time.time() + 1000),
        "t=1,v1=é",
    ]
    answers = {call(application, environ(payload, header)) for header in headers}
    assert code(call(application, environ(b"\xff", sign(b"\xff")))) == (400, "body_not_utf8")
    assert [code(one) for one in answers] == [(400, "signature_invalid")]
    application.ingest.flush()
    counted = {name for name, _ in queries.status(application.database).tallies}
    assert counted == {
        "refused:signature_missing",
        "refused:signature_malformed",
        "refused:signature_mismatch",
        "refused:signature_stale",
        "refused:body_not_utf8",
    }
    application.stop(100)


def test_clock_is_injected(sqlite_url: str) -> None:
    """The application judges time stamps by the clock it is given."""
    payload = encode(purchase())
    application = relay(sqlite_url, clock=lambda: AT + 10.0)
    assert code(call(application, environ(payload, sign(payload, at=AT)))) == (200, "stored")
    assert code(post(application, purchase()))[0] == 400
    application.stop(100)
