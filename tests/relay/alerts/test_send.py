"""The process that sends: what it reports, and that nothing of Apprise's reaches the relay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import pytest

from tests.relay.operate.parts import environment, run, run_json
from tracknow_static.relay.alerts import notify, send
from tracknow_static.relay.alerts.send import BEGIN, STOPPED, TEST, Message, Order

if TYPE_CHECKING:
    from pathlib import Path

    from tests.relay.alerts.parts import Service
    from tests.relay.deliver.stand_in import StandIn

MESSAGE = Message(BEGIN, "Title", "First line.\nSecond line.")
NOTIFY = [sys.executable, "-P", "-m", "tracknow_static.relay.alerts.notify"]


@pytest.fixture
def fake_apprise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace Apprise by a package of the test's own, in the process that sends."""
    (tmp_path / "apprise").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "apprise" / "__init__.py"


def test_each_url_has_its_own_result(service: Service) -> None:
    """One that is refused, unreachable or wrong harms no other; reasons show no secret."""
    urls = [
        service.url("/ok"),
        service.url("/bad?x=planted"),
        "json://127.0.0.1:1/planted",
        "nowhere://planted",
        "slack://planted",
    ]
    orders = [Order(url, [MESSAGE]) for url in urls]
    errors = [error for (error,) in send.send(orders, seconds=200)]
    unknown = "Apprise does not know such a URL, or a part of it is missing"
    assert errors[0] == ""
    assert "500" in errors[1]
    assert "onnection" in errors[2]
    assert errors[3:] == [unknown, unknown]
    assert "planted" not in str(errors)
    ((_, body),) = [one for one in service.messages if one[0].startswith("/ok")]
    assert (body["title"], body["type"]) == ("Title", BEGIN)
    assert body["message"].splitlines() == ["First line.", "Second line."]


def test_a_service_that_hangs_is_given_up(service: Service) -> None:
    """In a bounded time; the process is gone then."""
    ((error,),) = send.send([Order(service.url("/hang"), [MESSAGE])], seconds=2)
    assert error == "no answer within 2 seconds"


def test_a_relay_that_stops_does_not_wait_for_a_service(service: Service) -> None:
    """What was begun is given up at once."""
    stopping = threading.Event()

    def stop() -> None:
        service.wait_for(lambda: bool(service.messages))
        stopping.set()

    thread = threading.Thread(target=stop)
    thread.start()
    orders = [Order(service.url("/hang"), [MESSAGE])]
    assert send.send(orders, seconds=600, stopping=stopping) == [[STOPPED]]
    thread.join()


def test_the_process_ends_by_itself_when_the_relay_has_died(service: Service) -> None:
    """Nobody would end it."""
    order = {
        "seconds": 1,
        "receivers": [
            {"url": service.url("/hang"), "messages": [{"title": "", "body": "x", "type": "info"}]}
        ],
    }
    done = subprocess.run(
        NOTIFY, input=json.dumps(order).encode(), capture_output=True, timeout=200
    )
    assert done.returncode == -signal.SIGALRM


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise RuntimeError('for planted')", "RuntimeError: for …"),
        ("raise SystemExit(3)", "the process that sends ended without a result"),
        ("os._exit(1)", "the process that sends ended without a result"),
        ("os.kill(os.getpid(), 9)", "the process that sends ended without a result"),
    ],
)
def test_an_apprise_that_raises_or_prints_harms_nothing(
    fake_apprise: Path, body: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither its words nor its death reach the relay."""
    code = f"""
        import os, sys
        print('{{"receiver": 0, "message": 0, "error": ""}}')
        print("noise", file=sys.stderr)
        os.write(1, b"noise")
        {body}
    """
    fake_apprise.write_text(textwrap.dedent(code))
    assert send.send([Order("json://planted", [MESSAGE])], seconds=200) == [[reason]]
    assert capfd.readouterr() == ("", "")


def test_after_a_failure_a_receiver_gets_nothing_more(fake_apprise: Path) -> None:
    """A service that is away is asked once, however many messages wait for it."""
    code = """
        import logging, os
        class AppriseAsset:
            def __init__(self, **_given): pass
        class NotifyFormat: TEXT = "text"
        class Apprise:
            def __init__(self, asset): pass
            def add(self, url): return True
            def notify(self, title, **_given):
                if title == "first": return True
                with open(os.environ["COUNT"], "a") as count: count.write("x")
                logging.getLogger("apprise").warning("a warning\\n that goes on")
                return False
    """
    fake_apprise.write_text(textwrap.dedent(code))
    count = fake_apprise.parent / "count"
    os.environ["COUNT"] = str(count)
    try:
        messages = [Message(BEGIN, title, "") for title in ("first", "second", "third")]
        (errors,) = send.send([Order("json://x", messages)], seconds=200)
    finally:
        del os.environ["COUNT"]
    assert errors == ["", "a warning that goes on", "a warning that goes on"]
    assert count.read_text() == "x"


def test_without_the_extra_there_is_a_clear_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which package is missing, and how it is installed."""
    monkeypatch.setattr(send, "is_installed", lambda: False)
    text = "Apprise is not installed: pip install 'tracknow-static[alerts]'"
    assert send.send([Order("json://x"), Order("json://y", [MESSAGE] * 2)]) == [[text], [text] * 2]


def test_an_interpreter_that_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process, no message, and no traceback."""
    monkeypatch.setattr(send, "_python", lambda: "/nowhere/python3")
    ((error,),) = send.send([Order("json://x", [MESSAGE])])
    assert error == "the process that sends cannot be started: No such file or directory"


def test_the_interpreter_is_found_under_servers_that_embed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There, sys.executable is the server."""
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    assert send._python().startswith(sys.prefix)
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    assert send._python() == "python3"


def test_the_process_gets_no_secret_of_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment has neither the signing secret nor the database's URL."""
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_planted")
    monkeypatch.setenv("TRACKNOW_RELAY_DATABASE", "postgresql://planted")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    found = send._environment()
    assert "planted" not in str(found)
    assert found["HTTPS_PROXY"] == "http://proxy"


def test_what_a_reason_repeats_of_a_url_is_hidden() -> None:
    """Also decoded, and only what is long enough to be a secret."""
    url = "slack://T1/abcd%20efgh/planted-token?to=#chan"
    text = "no planted-token, abcd efgh, T1 at\n https://hooks/abcd%20efgh whsec_planted1"
    shown = notify.without_parts(text, url)
    assert shown == "no …, …, T1 at https://hooks/… [hidden]"
    assert len(notify.without_parts("x" * 5000, url)) == 201


def test_check_looks_at_the_urls_and_sends_a_test_when_asked(
    sqlite_url: str, destination: StandIn, service: Service
) -> None:
    """For each URL whether it went, named by its place and its scheme."""
    alerts = f"{service.url()}, nowhere://planted"
    environ = environment(sqlite_url, destination.url, alerts=alerts)
    found = run_json(environ, "check", code=1)["checks"]
    results = [(one["result"], one["text"]) for one in found if one["what"] == "alerts"]
    unknown = "URL 2 (nowhere://…): Apprise does not know such a URL, or a part of it is missing"
    knows = "URL 1 (json://…): Apprise knows it (`check --alert` sends a test)"
    assert results == [("ok", knows), ("failed", unknown)]
    assert service.messages == []
    environ["TRACKNOW_RELAY_ALERTS"] = service.url()
    text = run(environ, "check", "--alert").stdout
    assert "alerts: URL 1 (json://…): a test was sent" in text
    assert "planted" not in text
    ((_, body),) = service.messages
    assert (body["title"], body["type"]) == ("Tracknow relay: test", TEST)


def test_check_reports_what_is_not_set(sqlite_url: str) -> None:
    """A test of nothing is a mistake."""
    result = run(environment(sqlite_url), "check", "--alert", code=2)
    assert "TRACKNOW_RELAY_ALERTS: nothing is set. Accepted: Apprise URLs" in result.stderr
