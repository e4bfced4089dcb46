"""What the ledger of sales costs: events a second, ingest beside it, and reports over many sales.

**Ledger.** Events of subscriptions and single purchases are stored, then read by one process.

**Ingest.** 32 threads hand events to the relay, as its web server does: without the ledger, with its
thread as it is (it waits while many events arrive), and with a thread that never waits. The three run
in turn, ``--rounds`` times, each on a fresh database; the ratios are paired round by round. Threads
that send share the interpreter with the ledger, so that it costs more here than behind a server.

**Reports.** A ledger of ``--sales`` sales over three years, of which some deliveries are pending or
dead. Each command is a process of its own, its start included; medians of five.

**Pages.** The status page's pages over the same ledger, made in this process.

Beside each time is the processor's, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from tests.benchmarks.ingest_targets import WORK, database
from tests.relay.calls import config
from tests.relay.sales.shapes import new, paid, session, subscribed
from tracknow_static.relay import background
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.status.pages import Pages
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store
from tracknow_static.relay.store.ingest import Ingest

if TYPE_CHECKING:
    from collections.abc import Iterator

_DAY = 86_400
_START = 1_700_000_000
_VERDICTS = (
    *("attributed",) * 50,
    *("no-click-id",) * 35,
    *("renewal",) * 8,
    *("partly-refunded", "refunded", "expired", "unpaid", "disputed", "not-a-click-id", "test"),
)
_REPORTS = (
    ["report"],
    ["report", "--by", "payment-link"],
    ["report", "--by", "reference"],
    ["report", "--refunds", "--since", "30d"],
    ["sales"],
    ["sales", "--verdict", "no-click-id"],
)

_PAGES = (
    ("", ""),
    ("sales", ""),
    ("sales", "verdict=rejected"),
    ("sales", "verdict=attributed&since=2026-01-01"),
    ("sales", "link=plink_unknown"),
    ("refunds", ""),
    ("sales/cs_0", ""),
)


def bodies(number: int) -> Iterator[dict[str, Any]]:
    """Yield that number of events: a subscription with two renewals, then four single purchases."""
    made, sale = 0, 0
    while made < number:
        kinds = [subscribed(f"s{sale}", 2, basil=bool(sale % 2))]
        kinds += [paid(f"p{sale}_{index}") for index in range(4)]
        for found in kinds:
            yield from found
            made += len(found)
        sale += 1


def ledger_rates(place: Path, number: int) -> tuple[float, float]:
    """Return the events a second that a ledger reads, and those a second of processor time."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place) as folder:
        made = database(Path(folder))
        made.open()
        batch = []
        for body in bodies(number):
            batch.append(new(body))
            if len(batch) == 1000:
                store(made, batch)
                batch.clear()
        if batch:
            store(made, batch)
        ledger, read = Ledger(made), 0
        started, cpu = time.perf_counter(), time.process_time()
        while done := ledger.advance():
            read += done
        took, cpu = time.perf_counter() - started, time.process_time() - cpu
        made.close()
    return read / took, read / cpu


def ingest_rate(place: Path, number: int, kind: str) -> float:
    """Return the events a second that 32 threads hand to the relay beside a ledger."""
    events = [new(session(f"{index}", note="x" * 3000)) for index in range(number + 200)]
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place) as folder:
        made = database(Path(folder))
        made.open()
        ingest = Ingest(made)
        busy = 10**9 if kind == "always" else background._BUSY
        with mock.patch.object(background, "_BUSY", busy), ThreadPoolExecutor(32) as pool:
            list(pool.map(ingest.accept, events[:200]))
            keeper = background.Bookkeeper(RelayConfig(), made)
            if kind != "without":
                keeper.start()
            started = time.perf_counter()
            list(pool.map(ingest.accept, events[200:]))
            took = time.perf_counter() - started
            keeper.stop()
        ingest.close()
    return number / took


def show_ingest(place: Path, rounds: int, number: int) -> None:
    """Print the rates and the ratios to the rate without a ledger."""
    kinds = ("without", "as it is", "always")
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    for index in range(rounds):
        # In another order each time: the first of a round is not always the same.
        for kind in kinds[index % 3 :] + kinds[: index % 3]:
            rates[kind].append(ingest_rate(place, number, kind))
    print(f"\ningest of {number:,} events, {rounds} rounds:")
    for kind, found in rates.items():
        ratios = [mine / bare for mine, bare in zip(found, rates["without"], strict=True)]
        rate, ratio = statistics.median(found), statistics.median(ratios)
        print(f"  ledger {kind:9} {rate:8,.0f} events/s   {ratio:.2f} ×")


def fill(file: Path, number: int) -> None:
    """Put a number of sales into a ledger, and deliveries of a few of them."""
    chance = random.Random(1)
    links = [f"plink_{index:04}" for index in range(60)]
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO sales (id, created, month, verdict, amount, currency, mode,"
            " payment_status, payment_link, reference, customer, charge, refunded, refunded_at,"
            " livemode, source) VALUES (?, ?, ?, ?, ?, ?, 'payment', 'paid', ?, ?, ?, ?, ?, ?, 1,"
            " 'webhook')",
            (_sale(index, chance, links) for index in range(number)),
        )
        some = range(0, number, max(number // 400, 1))
        for row in some:
            name, state = f"evt_{row}", "dead" if row % 800 else "pending"
            connection.execute(
                "INSERT INTO sale_objects (id, kind, seen, refunded, forwarded, source, sale)"
                " VALUES (?, 'session', 1, 0, 1, 'webhook', ?)",
                (f"cs_{row}", f"cs_{row}"),
            )
            connection.execute(
                "INSERT INTO events (id, type, object_id, received_at, purged_at)"
                " VALUES (?, 'checkout.session.completed', ?, 1, 1)",
                (name, f"cs_{row}"),
            )
            connection.execute(
                "INSERT INTO deliveries (event_id, destination, state, due_at, token, attempts,"
                " tries, accepted_at) VALUES (?, 'https://bench.example/', ?, 1, 0, 0, 0, 1)",
                (name, state),
            )
        connection.execute("COMMIT")


def _sale(number: int, chance: random.Random, links: list[str]) -> tuple[object, ...]:
    created = int(time.time()) - chance.randrange(1095 * _DAY)
    moment = time.gmtime(created)
    verdict = chance.choice(_VERDICTS)
    reference = None if verdict == "no-click-id" else f"click_{chance.randrange(400_000):032x}"
    refunded = 500 if "refunded" in verdict else 0
    return (
        f"cs_{number}",
        created,
        moment.tm_year * 100 + moment.tm_mon,
        verdict,
        chance.randrange(500, 50_000),
        chance.choice(("eur", "usd", "gbp")),
        chance.choice(links),
        reference,
        f"cus_{number % 700_000}",
        f"ch_{number}",
        refunded,
        created + _DAY if refunded else None,
    )


def show_reports(place: Path, number: int) -> None:
    """Print how long each command takes over that number of sales."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=place) as folder:
        made = database(Path(folder))
        made.open()
        made.close()
        file = Path(folder) / "relay.sqlite3"
        fill(file, number)
        print(f"\n{number:,} sales ({file.stat().st_size / 1e6:,.0f} MB):")
        environment = {
            **{name: value for name, value in os.environ.items() if "TRACKNOW" not in name},
            "TRACKNOW_NAMESPACE": "bench",
            "TRACKNOW_RELAY_DATABASE": f"sqlite:///{file}",
        }
        program = str(Path(sys.executable).with_name("tracknow-relay"))
        for arguments in (["--version"], *_REPORTS):
            command = [program, *arguments, *(["--json"] if arguments[0] != "--version" else [])]
            found = [_timed(command, environment) for _ in range(5)]
            wall, cpu = (statistics.median(seconds) for seconds in zip(*found, strict=True))
            print(f"  tracknow-relay {' '.join(arguments):35} {wall:6.2f} s   CPU {cpu:5.2f} s")
        show_pages(file)


def show_pages(file: Path) -> None:
    """Print how long pages of the status page take: the first time, and the median of five more."""
    relay_config = config(f"sqlite:///{file}")
    database = Database.from_config(relay_config)
    pages = Pages(relay_config, database)
    for path, query in _PAGES:
        times = []
        for _ in range(6):
            started = time.perf_counter()
            assert pages.respond(path, query, "").status == "200 OK"
            times.append(1000 * (time.perf_counter() - started))
        shown = f"/status/{path}{f'?{query}' if query else ''}".rstrip("/")
        print(f"  {shown:50} {times[0]:6.0f} ms, again {statistics.median(times[1:]):4.0f} ms")
    database.close()


def _timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command; return its seconds, and its seconds of processor time."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - started, cpu


def main() -> int:
    """Measure all three and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--sales", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--ingest", type=int, default=10_000)
    options = parser.parse_args()
    # On the disk that a merchant's data would be on, not in memory.
    place = WORK / "bench"
    place.mkdir(parents=True, exist_ok=True)
    print(f"load average: {os.getloadavg()[0]:.1f}")
    if options.events:
        wall, cpu = ledger_rates(place, options.events)
        print(f"ledger: {wall:,.0f} events/s, {cpu:,.0f} a second of CPU, of {options.events:,}")
    if options.rounds:
        show_ingest(place, options.rounds, options.ingest)
    if options.sales:
        show_reports(place, options.sales)
    print(f"load average: {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
