"""Durable acknowledgements a second, and what a caller waits for one.

100 keep-alive connections post events of 4 KB, each signed for itself, to one server after the
other: ours as ``tracknow-relay serve`` runs it, with one worker and with two, ours as a plain WSGI
application with 32 threads, peers, and two bounds. The bounds are the same server with the same
application but no database, and SQLite alone committing the same rows in groups. Express is there
twice: storing bare events, and storing the rows that a relay needs, the same as ours. All of them
run in turn, ``--rounds`` times; medians are shown. An acknowledgement is counted if it was a 200,
and ours are compared with the rows found afterwards.

Then the table is filled with a million events, and acknowledgements and claims are measured again.

Peers that cannot be installed on this machine are named and left out.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.ingest_targets import (
    CONNECTIONS,
    OURS,
    PEERS,
    SECRET,
    WORK,
    Target,
    bound,
    database,
    express,
    hookspool,
    knockerlite,
    ours,
    running,
    template,
    wsgi,
)
from tests.events import sign
from tracknow_static.relay.store import leases
from tracknow_static.relay.store.ingest import Ingest

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Result:
    """What one run measured: 200s a second, milliseconds, megabytes."""

    rate: float
    p50: float
    p99: float
    bad: int
    memory: float


def signed(number: int, kind: str, start: int) -> str:
    """Lines "ID SIGNATURE" for the load generator, signed now."""
    before, after = template().split(b"@ID@")
    now = int(time.time())
    lines = []
    for event in range(start, start + number):
        name = b"%012d" % event
        body = before + name + after
        if kind == "stripe":
            value = sign(body, SECRET, now)
        else:
            value = f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"
        lines.append(f"{name.decode()} {value}")
    return "\n".join(lines)


def load(target: Target, port: int, folder: Path, seconds: float, start: int) -> dict[str, Any]:
    """Post for so long with 100 connections; gives what wrk measured."""
    (folder / "body").write_bytes(template())
    (folder / "load").write_text(signed(int(seconds * 12_000), target.sign, start))
    environment = {
        **os.environ,
        "LOAD_FILE": str(folder / "load"),
        "LOAD_BODY": str(folder / "body"),
        "LOAD_PATH": target.path,
        "LOAD_HEADER": target.header,
    }
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "20s"]
    command += ["-s", str(PEERS / "load.lua"), f"http://127.0.0.1:{port}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    return dict(json.loads(line.removeprefix("RESULT ")))


def measure(target: Target, seconds: float, place: Path) -> Result:
    """Start a target on a fresh database, warm it up, and measure it."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place) as name:
        folder = Path(name)
        with running(target, folder) as (port, process):
            warm = load(target, port, folder, 1, 0)
            found = load(target, port, folder, seconds, 1_000_000)
            memory = sum(
                member.memory_info().rss for member in [process, *process.children(recursive=True)]
            )
        if target.ours:
            check_rows(folder, warm["requests"] + found["requests"] - warm["bad"] - found["bad"])
    rate = (found["requests"] - found["bad"]) / (found["us"] / 1e6)
    return Result(rate, found["p50"], found["p99"], found["bad"], memory / 1e6)


def check_rows(folder: Path, acknowledged: int) -> None:
    """Stop if fewer rows are there than were acknowledged."""
    with contextlib.closing(sqlite3.connect(folder / "relay.sqlite3")) as connection:
        rows = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    if rows < acknowledged:
        raise RuntimeError(f"{acknowledged} events were acknowledged, {rows} are stored")


def sqlite_alone(seconds: float, place: Path, batch: int) -> float:
    """Rows a second that SQLite commits alone, with our tables, in groups of a size."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place) as folder:
        made = database(Path(folder))
        made.open()
        made.close()
        connection = sqlite3.connect(f"{folder}/relay.sqlite3", isolation_level=None)
        connection.execute("PRAGMA synchronous=FULL")
        body, number = template(), 0
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            names = [f"evt_{number + index:012d}" for index in range(batch)]
            number += batch
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO events (id, type, object_id, reference, payment_intent, customer,"
                " livemode, created, received_at, content_type, signature, payload)"
                " VALUES (?, 'checkout.session.completed', 'cs_benchmark', '7f6df0cf-bench',"
                " 'pi_live_benchmark', 'cus_benchmark', 1, 1790000000, 1.0, 'application/json',"
                " ?, ?)",
                [(name, "t=1,v1=" + "0" * 64, body) for name in names],
            )
            connection.executemany(
                "INSERT INTO deliveries (event_id, destination, state, due_at, token, attempts,"
                " tries, accepted_at) VALUES (?, 'https://bench.example/', 'pending', 1.0, 0, 0,"
                " 0, 1.0)",
                [(name,) for name in names],
            )
            connection.execute("COMMIT")
        took = time.perf_counter() - started
        connection.close()
    return number / took


def fill(folder: Path, number: int) -> None:
    """Put a number of delivered events into a database, as years of use do."""
    made = database(folder)
    made.open()
    made.close()
    connection = sqlite3.connect(folder / "relay.sqlite3", isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    body = template()
    for start in range(0, number, 10_000):
        rows = range(start, min(start + 10_000, number))
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO events (id, type, object_id, payment_intent, customer, livemode, created,"
            " received_at, purged_at, payload)"
            " VALUES (?, 'charge.succeeded', ?, ?, ?, 1, 1790000000, ?, ?, ?)",
            # Payloads of nearly all have been purged, as after a month of retention.
            [
                (
                    f"evt_old{row:012d}",
                    f"ch_{row}",
                    f"pi_{row}",
                    f"cus_{row}",
                    float(row),
                    None if row % 20 == 0 else 1.0,
                    body if row % 20 == 0 else None,
                )
                for row in rows
            ],
        )
        connection.executemany(
            "INSERT INTO deliveries (event_id, destination, state, due_at, token, attempts, tries,"
            " last_status, accepted_at, settled_at)"
            " VALUES (?, ?, 'delivered', 1.0, 1, 1, 1, 200, 1.0, 2.0)",
            [(f"evt_old{row:012d}", made.destinations[0]) for row in rows],
        )
        connection.execute("COMMIT")
    connection.close()


def claims(folder: Path, rounds: int = 200) -> float:
    """Median milliseconds of claiming 10 deliveries, with what is pending in the folder's file."""
    made = database(folder)
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        if not leases.claim(made, limit=10, lease_seconds=600):
            break
        times.append(time.perf_counter() - started)
    made.close()
    return statistics.median(times) * 1000 if times else float("nan")


def accepts(folder: Path, number: int, prefix: str) -> float:
    """Events a second that 32 threads of one process hand to the relay."""
    from tracknow_static.relay.store.model import NewEvent

    made = Ingest(database(folder))
    body = template()

    def send(index: int) -> None:
        made.accept(
            NewEvent(
                f"evt_{prefix}{index:09d}",
                "charge.succeeded",
                body,
                object_id=f"ch_{prefix}{index}",
                payment_intent=f"pi_{prefix}{index}",
                customer=f"cus_{prefix}{index}",
            )
        )

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(send, range(200)))
        started = time.perf_counter()
        list(pool.map(send, range(200, 200 + number)))
        took = time.perf_counter() - started
    made.close()
    return number / took


def flat(place: Path, rows: int) -> None:
    """Show what a table of many rows costs, against an empty one, in turn."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=place) as empty,
        tempfile.TemporaryDirectory(prefix="bench-", dir=place) as full,
    ):
        fill(Path(full), rows)
        rates: dict[str, list[float]] = {empty: [], full: []}
        waits: dict[str, list[float]] = {empty: [], full: []}
        for index in range(3):
            for folder in (empty, full):
                rates[folder].append(accepts(Path(folder), 3000, f"r{index}"))
                waits[folder].append(claims(Path(folder), 100))
        size = (Path(full) / "relay.sqlite3").stat().st_size / 1e6
        print(f"\nwith {rows:,} rows in the table ({size:,.0f} MB), against an empty one:")
        for name, found, unit in (("accepted/s", rates, ""), ("claim of 10", waits, " ms")):
            before, after = (statistics.median(found[folder]) for folder in (empty, full))
            print(f"  {name:12} {before:9.1f}{unit} → {after:9.1f}{unit}   {after / before:.2f} ×")


def available(makers: dict[str, Callable[[], Target]]) -> list[Target]:
    """Make the targets that can be had here, and say which cannot."""
    targets = []
    for name, make in makers.items():
        try:
            targets.append(make())
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            print(f"left out: {name}: {str(error).splitlines()[-1]}")
    return targets


def main() -> int:
    """Measure everything in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default="", help="part of a target's name")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is missing: apt-get install wrk", file=sys.stderr)
        return 1
    # On the disk that a merchant's data would be on, not in memory.
    place = WORK / "bench"
    place.mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[], Target]] = {
        "tracknow-static 1": lambda: ours(1),
        "tracknow-static 2": lambda: ours(2),
        "tracknow-static WSGI": wsgi,
        "bound": bound,
        "Express": lambda: express("inbox"),
        "Express, the same rows": lambda: express("outbox"),
        "hookspool": hookspool,
        "knockerlite": knockerlite,
    }
    wanted = {key: make for key, make in makers.items() if options.only.lower() in key.lower()}
    targets = available(wanted)
    results: dict[str, list[Result]] = {target.name: [] for target in targets}
    alone: dict[int, list[float]] = {32: [], 100: []}
    for _ in range(options.rounds):
        for target in targets:
            results[target.name].append(measure(target, options.seconds, place))
        for batch, found in alone.items():
            found.append(sqlite_alone(options.seconds / 3, place, batch))
    show(results, alone)
    if options.rows:
        flat(place, options.rows)
    return 0


def show(results: dict[str, list[Result]], alone: dict[int, list[float]]) -> None:
    """Print medians, and ratios of our best to each other target, paired round by round."""
    print(f"\n{'':38} {'acks/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'MB':>6} {'not 200':>8}")
    for name, found in results.items():
        middle = {
            key: statistics.median(getattr(result, key) for result in found)
            for key in ("rate", "p50", "p99", "memory")
        }
        bad = sum(result.bad for result in found)
        print(
            f"{name:38} {middle['rate']:8,.0f} {middle['p50']:8.1f} {middle['p99']:8.1f}"
            f" {middle['memory']:6.0f} {bad:8}"
        )
    for batch, rates in alone.items():
        name = f"bound: SQLite alone, {batch} rows a commit"
        print(f"{name:38} {statistics.median(rates):8,.0f}")
    mine = results.get(OURS, [])
    for name, found in results.items():
        if mine and not name.startswith(OURS):
            ratio = statistics.median(a.rate / b.rate for a, b in zip(mine, found, strict=True))
            print(f"ours against {name}: {ratio:.2f} ×")


if __name__ == "__main__":
    sys.exit(main())
