"""`tracknow-relay serve` and `worker` as real processes: started, stopped, killed."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.events import CONTENT_TYPE, encode, purchase, sign
from tests.relay.deliver.stand_in import Action, Request, StandIn, answer, later
from tests.relay.operate.parts import (
    WEBHOOK,
    Running,
    accept,
    command,
    environment,
    run_json,
    serving,
    whole_environment,
)
from tests.relay.operate.test_health import samples
from tracknow_static.relay.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def hold(destination: StandIn) -> threading.Event:
    """Have a destination answer only when the gate opens."""
    gate = threading.Event()

    def decide(_request: Request) -> Action:
        gate.wait(300)
        return answer()

    destination.decide = lambda request: later(decide, request)
    return gate


def until(true: Callable[[], bool], seconds: float = 100) -> bool:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


def test_an_event_goes_through(sqlite_url: str, tmp_path: Path, destination: StandIn) -> None:
    """Received, answered with 200, delivered with its bytes, content type and signature."""
    environ = environment(sqlite_url, destination.url, deliver="true")
    with serving(environ, tmp_path) as relay:
        body = encode(purchase(1))
        signed = sign(body)
        status, _ = relay.call(WEBHOOK, body, Content_Type=CONTENT_TYPE, Stripe_Signature=signed)
        assert status == 200
        assert destination.wait_for(lambda: bool(destination.requests))
        assert relay.end() == 0
    (request,) = destination.requests
    assert request.body == body
    assert request.headers["content-type"] == CONTENT_TYPE
    assert request.headers["stripe-signature"] == signed
    assert run_json(environ, "status")["destinations"][0]["delivered"] == 1


def test_sigterm_ends_a_delivery_in_flight(
    sqlite_url: str, tmp_path: Path, destination: StandIn
) -> None:
    """The answer that comes after the signal is recorded, and the event is not sent twice."""
    gate = hold(destination)
    environ = environment(sqlite_url, destination.url, deliver="true")
    with serving(environ, tmp_path) as relay:
        assert relay.take(encode(purchase(1))) == 200
        assert destination.wait_for(lambda: bool(destination.requests))
        relay.process.terminate()
        assert until(lambda: "Shutting down" in relay.log.read_text())
        assert relay.process.poll() is None
        gate.set()
        assert relay.process.wait(100) == 0
    assert run_json(environ, "status")["destinations"][0]["delivered"] == 1
    assert len(destination.requests) == 1


def test_sigterm_ends_within_the_bound(
    sqlite_url: str, tmp_path: Path, destination: StandIn
) -> None:
    """A destination that does not answer does not keep the relay from ending; nothing is lost."""
    gate = hold(destination)
    environ = environment(sqlite_url, destination.url, deliver="true", timeout="300")
    with serving(environ, tmp_path, "--grace", "0.5") as relay:
        assert relay.take(encode(purchase(1))) == 200
        assert destination.wait_for(lambda: bool(destination.requests))
        # Its time-out is 300 seconds: without the bound it would take as long.
        assert relay.end() == 0
        log = relay.log.read_text()
    # The worker ended by itself: the server's own kill is the second line of defence.
    assert "did not end in time" in log
    assert "Killing" not in log
    gate.set()
    assert run_json(environ, "status")["destinations"][0]["pending"] == 1


def test_sigterm_answers_what_has_come_in(sqlite_url: str, tmp_path: Path) -> None:
    """Every request that the relay has begun with is answered, and what got 200 is stored."""
    environ = environment(sqlite_url)
    answers: list[int] = []
    with serving(environ, tmp_path) as relay, ThreadPoolExecutor(8) as pool:

        def send(first: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=100)
            with contextlib.closing(connection):
                for number in range(first, first + 1000):
                    body = encode(purchase(number))
                    try:
                        connection.request("POST", WEBHOOK, body, {"Stripe-Signature": sign(body)})
                        reply = connection.getresponse()
                        reply.read()
                    except (OSError, http.client.HTTPException):
                        return
                    answers.append(reply.status)

        futures = [pool.submit(send, 1000 * number) for number in range(8)]
        assert until(lambda: len(answers) > 40)
        assert relay.end() == 0
        for future in futures:
            future.result(100)
    assert set(answers) == {200}
    assert run_json(environ, "status")["accepted"] >= len(answers)


@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url"])
def test_metrics_are_right_whichever_worker_answers(
    database: str, tmp_path: Path, destination: StandIn, request: pytest.FixtureRequest
) -> None:
    """Three processes share the work; each of them gives the numbers of all."""
    url = request.getfixturevalue(database)
    environ = environment(url, destination.url, deliver="true")
    with serving(environ, tmp_path, "--workers", "3") as relay:
        # One connection each: the kernel spreads connections over the processes.
        for number in range(30):
            assert relay.take(encode(purchase(number))) == 200
        for _ in range(12):
            relay.call(WEBHOOK, b"{}", Stripe_Signature="t=1,v1=00")
        assert destination.wait_for(lambda: len(destination.counts) == 30)

        def numbers() -> dict[tuple[str, str], float]:
            found = samples(relay.call("/metrics")[1])
            refused = sum(v for k, v in found.items() if k[0] == "requests_refused_total")
            return {
                ("accepted", ""): found["events_accepted_total", ""],
                ("delivered", ""): found["deliveries_delivered_total", destination.url],
                ("backlog", ""): found["backlog", destination.url],
                ("refused", ""): refused,
            }

        right = {
            ("accepted", ""): 30.0,
            ("delivered", ""): 30.0,
            ("backlog", ""): 0.0,
            ("refused", ""): 12.0,
        }
        # Refusals are stored once a second by the process that made them.
        assert until(lambda: numbers() == right), numbers()
        assert [numbers() for _ in range(9)] == [right] * 9
        assert relay.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_worker_is_one_process(sqlite_url: str, tmp_path: Path) -> None:
    """A relay with one worker costs the memory of one process."""
    with serving(environment(sqlite_url), tmp_path) as relay:
        assert relay.take(encode(purchase(1))) == 200
        assert children(relay) == []
        assert relay.end() == 0


def test_alive_while_every_other_page_hangs(sqlite_url: str, tmp_path: Path) -> None:
    """Whoever restarts a relay that does not answer leaves one alone whose disk hangs."""
    environ = environment(sqlite_url)
    with serving(environ, tmp_path) as relay, ThreadPoolExecutor(40) as pool:
        assert relay.call("/readyz")[0] == 200
        time.sleep(1)  # what was found counts for a second
        database = Database(sqlite_url)
        with database.write():
            waiting = [pool.submit(relay.call, "/readyz") for _ in range(40)]
            assert not until(lambda: any(one.done() for one in waiting), seconds=1)
            assert relay.call("/healthz")[0] == 200
            assert not any(one.done() for one in waiting)
        assert {one.result(100)[0] for one in waiting} == {200}
        database.close()
        assert relay.end() == 0


def test_idle_callers_hold_up_nobody(sqlite_url: str, tmp_path: Path) -> None:
    """More callers than a server has places for by default send nothing, or half a head."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("not enough files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    try:
        with serving(environment(sqlite_url), tmp_path) as relay:
            while not meet_a_crowd(relay):
                # This machine is so busy that the first were let go before the last came.
                pass
            assert relay.end() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def meet_a_crowd(relay: Running) -> bool:
    """Send an event beside 1,500 idle callers; return whether all were there at the same time."""
    with contextlib.ExitStack() as idle:
        for number in range(1500):
            caller = socket.create_connection(("127.0.0.1", relay.port), timeout=100)
            idle.enter_context(caller)
            if number % 2:
                caller.sendall(b"POST /stripe/webhook HTTP/1.1\r\n")
        assert relay.take(encode(purchase(1))) == 200
        if samples(relay.call("/metrics")[1])["open_files", ""] <= 1500:
            return False
        assert caller.recv(1) == b"", "let go in the end"
        return True


def test_a_killed_worker_is_replaced(sqlite_url: str, tmp_path: Path) -> None:
    """The relay goes on when the kernel kills a process of it."""
    with serving(environment(sqlite_url), tmp_path, "--workers", "2") as relay:
        assert until(lambda: started_workers(relay) == 2)
        before = children(relay)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        assert until(lambda: took(relay, encode(purchase(1))))
        assert until(lambda: len(children(relay)) == 2 and before[0] not in children(relay))
        # One that is not up yet misses SIGTERM, and is killed when the time to stop is over.
        assert until(lambda: started_workers(relay) == 3)
        assert relay.end() == 0


def started_workers(relay: Running) -> int:
    """Return how many workers were ready to serve so far."""
    return len(re.findall(r"Started worker-\d+$", relay.log.read_text(), re.MULTILINE))


def took(relay: Running, body: bytes) -> bool:
    """Whether an event was accepted; a relay that is not there accepts none."""
    try:
        return relay.take(body) == 200
    except OSError:
        return False


def children(relay: Running) -> list[int]:
    """Return the ids of a relay's processes."""
    pid = relay.process.pid
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in text.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for a signal")
def test_no_worker_outlives_the_main_process(sqlite_url: str, tmp_path: Path) -> None:
    """After SIGKILL of the main process its address is free again."""
    with serving(environment(sqlite_url), tmp_path, "--workers", "2") as relay:
        assert until(lambda: started_workers(relay) == 2)
        workers = children(relay)
        assert len(workers) == 2
        relay.end(signal.SIGKILL)
        assert until(lambda: not any(Path(f"/proc/{one}/exe").exists() for one in workers))


def test_an_address_that_is_taken(sqlite_url: str) -> None:
    """The error comes before anything starts, with the variable and the value."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        result = subprocess.run(
            command("serve", "--bind", bind),
            env=whole_environment(environment(sqlite_url)),
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert result.returncode == 2
    assert f"TRACKNOW_RELAY_BIND (--bind): '{bind}'" in result.stderr
    assert "Traceback" not in result.stderr


def test_serve_needs_no_set_up(tmp_path: Path) -> None:
    """Namespace and secret are enough; events lie in the user's state directory, mode 0700."""
    environ = {
        "TRACKNOW_NAMESPACE": "morrow",
        "STRIPE_WEBHOOK_SECRET": "whsec_test_secret",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "HOME": str(tmp_path),
    }
    with serving(environ, tmp_path, "--no-deliver") as relay:
        assert relay.take(encode(purchase(1))) == 200
        assert relay.end() == 0
    (file,) = tmp_path.rglob("relay.sqlite3")
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_worker_delivers_for_a_server_that_does_not(
    sqlite_url: str, tmp_path: Path, destination: StandIn
) -> None:
    """`serve --no-deliver` and `worker` share a database; commands look at it meanwhile."""
    environ = environment(sqlite_url, destination.url, deliver="true")
    with serving(environ, tmp_path, "--no-deliver") as relay:
        assert relay.take(encode(purchase(1))) == 200
        assert run_json(environ, "status")["destinations"][0]["pending"] == 1
        assert destination.requests == []
        log = tmp_path / "worker.log"
        with log.open("wb") as out:
            worker = subprocess.Popen(
                command("worker"), env=whole_environment(environ), stdout=out, stderr=out
            )
        try:
            assert destination.wait_for(lambda: bool(destination.requests))
            assert relay.take(encode(purchase(2))) == 200
            assert destination.wait_for(lambda: len(destination.requests) == 2)
        finally:
            worker.terminate()
            assert worker.wait(100) == 0, log.read_text()
        assert run_json(environ, "replay", "evt_1", "--rate", "0")["deliveries"] == 1
        assert run_json(environ, "drain")["delivered"] == 1
        assert relay.end() == 0
    assert destination.counts == {"evt_1": 2, "evt_2": 1}


def test_a_worker_survives_the_end_of_its_terminal(
    sqlite_url: str, tmp_path: Path, destination: StandIn
) -> None:
    """SIGHUP, which log rotation sends too, does not end it; SIGTERM does."""
    environ = environment(sqlite_url, destination.url)
    accept(environ, encode(purchase(1)))
    log = tmp_path / "worker.log"
    with log.open("wb") as out:
        worker = subprocess.Popen(
            command("worker"), env=whole_environment(environ), stdout=out, stderr=out
        )
    try:
        assert destination.wait_for(lambda: len(destination.requests) == 1)
        worker.send_signal(signal.SIGHUP)
        accept(environ, encode(purchase(2)))
        assert destination.wait_for(lambda: len(destination.requests) == 2), log.read_text()
    finally:
        worker.terminate()
        assert worker.wait(100) == 0, log.read_text()


def test_a_server_starts_while_its_database_is_away(tmp_path: Path) -> None:
    """PostgreSQL may come later: until then events are answered with 503, and Stripe keeps them."""
    url = f"postgresql://relay:planted@/none?host={tmp_path}"
    with serving(environment(url), tmp_path) as relay:
        status, body = relay.call("/readyz")
        assert status == 503, body
        assert relay.take(encode(purchase(1))) == 503
        assert relay.end() == 0
        assert "planted" not in relay.log.read_text()
