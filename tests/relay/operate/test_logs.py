"""The log's shape, and what must never be in it."""

from __future__ import annotations

import io
import json
import logging
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from tests.events import encode, purchase, sign
from tests.relay.deliver.stand_in import Action, Request, StandIn, answer, raw, reset
from tests.relay.operate.parts import environment, serving
from tracknow_static.errors import RelayError
from tracknow_static.relay import logs
from tracknow_static.relay.config import RelayConfig

if TYPE_CHECKING:
    from pathlib import Path

# No text of this project holds it, and no pattern of the log's filter matches it.
MARKER = "pLaNtEd7f3"


def config(**more: str) -> RelayConfig:
    """Return a configuration."""
    return RelayConfig.from_environ(environment("sqlite:////nowhere/x", **more))


def lines(form: str, level: str = "info") -> io.StringIO:
    """Set the log up for a process of its own; return what it writes to."""
    out = io.StringIO()
    logs.setup(config(log_format=form, log_level=level), everything=True, stream=out)
    return out


def test_a_line_for_people_has_its_fields() -> None:
    """Time, level, part, message, and fields that are quoted when they need it."""
    out = lines("text")
    logging.getLogger("tracknow_static.relay.deliver.worker").info(
        "delivered", extra={"event": "evt_1", "detail": "two words"}
    )
    line = out.getvalue()
    assert line.endswith(' info deliver.worker: delivered detail="two words" event=evt_1\n')
    assert line[:4].isdigit()
    assert line[23] == "Z"


def test_a_line_for_machines_is_one_object() -> None:
    """Fields are beside time, level, logger and message."""
    out = lines("json")
    logging.getLogger("tracknow_static.relay.deliver.worker").warning(
        "again", extra={"status": 503}
    )
    found = json.loads(out.getvalue())
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "warning",
        "logger": "deliver.worker",
        "message": "again",
        "status": 503,
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_shows_its_place_and_not_its_text(form: str) -> None:
    """A library's error may quote what it failed on."""
    out = lines(form)
    try:
        int(MARKER)
    except ValueError:
        logging.getLogger("tracknow_static.relay").exception("stumbled")
    shown = out.getvalue()
    assert "ValueError" in shown
    assert "test_logs.py" in shown
    assert MARKER not in shown


def test_an_error_of_ours_is_shown_with_its_text() -> None:
    """Its text was written for the reader."""
    out = lines("text")
    logging.getLogger("tracknow_static.relay").error(
        "stumbled", exc_info=RelayError("the disk is full")
    )
    assert "the disk is full" in out.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
@settings(max_examples=50)
@given(message=st.text(max_size=40), value=st.text(max_size=40))
def test_a_record_is_one_line_whatever_it_holds(form: str, message: str, value: str) -> None:
    """Nobody can write a line of his own into the log, or steer a terminal."""
    out = lines(form)
    logging.getLogger("tracknow_static.relay").info("%s", message, extra={"value": value})
    shown = out.getvalue()
    assert shown.endswith("\n")
    assert len(shown.splitlines()) == 1
    assert shown[:-1].isprintable()


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_abcDEF123+/=",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "rk_test_51Habc",
        "t=1,v1=0c8670ed117751cc551a20e35839447075c42800ea3cf3e8a2fbda99cd1e6edd",
        "postgresql://relay:geheim@db/x",
        "buyer.name+tag@shop.example",
    ],
)
def test_what_looks_like_a_secret_is_hidden(secret: str) -> None:
    """The last line of defence, for what a message should not have held."""
    shown = logs.hide(f"before {secret} after")
    assert "[hidden]" in shown
    assert not any(part in shown for part in ("abcDEF", "4eC39", "51H", "0c86", "geheim", "buyer"))


# Named here: pytest would put two megabytes into the test's name, and that into its environment.
@pytest.mark.parametrize(
    "text",
    ["a" * 2_000_000, "a@" * 1_000_000, "://a:" * 400_000],
    ids=["a word", "addresses", "credentials"],
)
def test_hiding_takes_time_in_proportion_to_the_text(text: str) -> None:
    """A destination or a caller cannot hold up the process by a text that is slow to search."""
    assert len(logs.hide(text)) > 0


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_has_a_bounded_length(form: str) -> None:
    """A long message or field is cut, and a secret where the cut falls is hidden nevertheless."""
    out = lines(form)
    secret = "x" * 1990 + " whsec_planted0123456789 " + "y" * 1_000_000
    logging.getLogger("tracknow_static.relay").info("%s", secret, extra={"detail": secret})
    shown = out.getvalue()
    assert len(shown) < 5000
    assert "planted" not in shown


def test_libraries_are_quiet_at_debug_level() -> None:
    """What they log at debug level holds headers, statements and parameters."""
    out = lines("text", "debug")
    for name in ("httpcore.http11", "httpx", "stripe", "sqlalchemy.engine.Engine", "_granian"):
        logging.getLogger(name).setLevel(logging.DEBUG)
        try:
            logging.getLogger(name).debug(MARKER)
        finally:
            logging.getLogger(name).setLevel(logging.NOTSET)
    engine = create_engine("sqlite://", echo=True)
    with engine.connect() as connection:
        connection.execute(text("SELECT :value"), {"value": MARKER})
    engine.dispose()
    logging.getLogger("sqlalchemy.engine.Engine").setLevel(logging.NOTSET)
    logging.getLogger("tracknow_static.relay").debug("ours")
    assert "ours" in out.getvalue()
    assert MARKER not in out.getvalue()


def test_a_dead_thread_is_told_without_its_text() -> None:
    """What ends a thread goes to the log and nowhere else."""
    out = lines("text")

    def stumble() -> None:
        raise ValueError(MARKER)

    thread = threading.Thread(target=stumble, name="some-thread")
    thread.start()
    thread.join()
    assert "some-thread" in out.getvalue()
    assert "ValueError" in out.getvalue()
    assert MARKER not in out.getvalue()


def test_a_foreign_server_keeps_its_logging() -> None:
    """Inside another server a log that is set up already is left alone."""
    root = logging.getLogger()
    before = root.handlers[:]
    assert before
    logs.setup(config())
    assert root.handlers == before
    assert logging.getLogger("tracknow_static").handlers == []


def decide(request: Request) -> Action:
    """Accept, refuse, fail and reset, by the event."""
    number = int(request.event.removeprefix("evt_"))
    return (answer(), answer(500), answer(422), reset(), answer(401, b"who are you"))[number % 5]


def answer_nonsense(request: Request) -> Action:
    """Do the same, but answer one event with 90 KB that are no HTTP and echo what was sent."""
    if request.event == "evt_3":
        return raw((request.body + MARKER.encode()) * (90_000 // len(request.body)))
    return decide(request)


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_of_an_event_reaches_the_log(form: str, sqlite_url: str, tmp_path: Path) -> None:
    """A whole run at debug level, with refusals, errors, dead letters, a pause and a replay.

    The marker is in payloads, secrets, signatures, headers, paths and destinations.
    """
    secret = f"whsec_{MARKER}secret"
    with StandIn(decide).running() as one, StandIn(answer_nonsense).running() as two:
        urls = f"{one.url}?token={MARKER}", two.url
        environ = environment(sqlite_url, *urls, log_format=form, log_level="debug", deliver="true")
        environ["STRIPE_WEBHOOK_SECRET"] = secret
        person = {
            "client_reference_id": MARKER,
            "customer": f"cus_{MARKER}",
            "customer_details": {"email": f"{MARKER}@example.com", "name": MARKER},
        }
        with serving(environ, tmp_path) as relay:
            for number in range(5):
                body = encode(purchase(number, session=person))
                headers = {"Stripe_Signature": sign(body, secret)}
                assert relay.call("/stripe/webhook", body, **headers)[0] == 200
            thin = json.dumps(
                {"id": "evt_9", "object": "v2.core.event", "type": "v2.x", "z": MARKER}
            )
            relay.call(
                "/stripe/webhook",
                thin.encode(),
                Stripe_Signature=sign(thin.encode(), secret),
            )
            relay.call(
                "/stripe/webhook", encode(purchase(7, session=person)), Stripe_Signature=MARKER
            )
            relay.call("/stripe/webhook", b"{}", Stripe_Signature=f"t=1,v1={MARKER}")
            bad = f'{{"id": "{MARKER}'.encode()
            relay.call("/stripe/webhook", bad, Stripe_Signature=sign(bad, secret))
            relay.call(f"/{MARKER}?{MARKER}", X_Header=MARKER)
            assert two.wait_for(lambda: len(two.counts) == 5)
            assert one.wait_for(lambda: len(one.counts) >= 1)
            assert relay.end() == 0
            log = relay.log.read_text()
    assert "evt_0" in log
    assert MARKER not in log
    assert "who are you" not in log
    # Every signature of ours begins with the time and has 64 digits.
    assert "v1=" not in log
