"""How fast missed events are fetched, against what Stripe's rate limit allows.

A stand-in account in a process of its own holds events of about 2 KB. The bound is the limit of a
sandbox: 25 requests a second with 100 events each. The same is measured without the relay's own
pacing, which shows what is left.

usage: bench_backfill.py [--events N]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.account.stand_in import Stripe, running
from tests.benchmarks.bench_relay_drain import peak_mb, postgres
from tests.events import event
from tests.relay.backfill.parts import DAY, listed
from tracknow_static.account.key import ApiKey
from tracknow_static.relay.backfill import listing
from tracknow_static.relay.backfill.backfill import Backfill
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.store import facts
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.ingest import Ingest

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUND = listing.REQUESTS_A_SECOND * listing.PAGE


def serve(number: int) -> None:
    """Be the account: print the address, and serve until standard input ends."""
    account = Stripe(mode="live")
    now = int(time.time())
    for sale in range(number):
        subject = {"id": f"ch_{sale}", "object": "charge", "description": "x" * 1500}
        created = now - 9 * DAY + sale * 8 * DAY // number
        account.events.add(listed(event(sale, "charge.succeeded", subject, created=created)))
    # Written beforehand, so that it is not the account that is measured.
    for item in account.events:
        account.events._of(item)
    account.add("https://relay.example.com/stripe/webhook")
    with running(account) as base:
        print(base, flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def apart(number: int) -> Iterator[str]:
    """Run the account in a process of its own; provide its address."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_backfill", "--serve", str(number)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def fetch(url: str, limit: int) -> dict[str, Any]:
    """Fetch everything in this process."""
    listing.REQUESTS_A_SECOND = limit
    config = RelayConfig(
        database=url,
        destinations=("https://a.example/hook",),
        api_key=ApiKey.parse("rk_live_good"),
        min_free_mb=0,
    )
    database = Database.from_config(config)
    made = repr(time.time() - 10 * DAY)
    database.run(lambda connection: facts.note_fact(connection, facts.CREATED_AT, made))
    ingest = Ingest.from_config(config, database)
    started = time.perf_counter()
    polled = Backfill(config, ingest).poll()
    seconds = time.perf_counter() - started
    assert polled is not None
    ingest.close()
    database.close()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    number = polled.new.total()
    return {
        "stored": number,
        "requests": polled.requests,
        "seconds": seconds,
        "cpu_us": (usage.ru_utime + usage.ru_stime) / max(number, 1) * 1e6,
        "rss_mb": peak_mb(),
    }


def show(name: str, url: str, base: str, number: int, limit: int) -> None:
    """Fetch in a process of its own, and print one line."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_backfill"]
    command += ["--fetch", url, "--limit", str(limit)]
    environ = {**os.environ, "TRACKNOW_STRIPE_API_BASE": base}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    got = json.loads(done.stdout)
    assert got["stored"] == number, got
    rate = number / got["seconds"]
    print(
        f"  {name:<26} {rate:>6,.0f}/s  {rate / BOUND:>5.0%} of the limit"
        f"  {got['requests']:>6,} requests  {got['cpu_us']:>5,.0f} µs CPU each"
        f"  {got['rss_mb']:>4.0f} MB",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--fetch", help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve)
        return
    if options.fetch is not None:
        print(json.dumps(fetch(options.fetch, options.limit)))
        return
    number = options.events
    limit = listing.REQUESTS_A_SECOND
    with apart(number) as base, tempfile.TemporaryDirectory() as folder:
        print(f"backfill of {number:,} events; the limit allows {BOUND:,}/s")
        lite = f"sqlite:///{Path(folder) / 'relay.sqlite3'}"
        show("SQLite", lite, base, number, limit)
        show("SQLite, without pacing", lite.replace("relay.", "other."), base, number, 10_000)
        with postgres() as url:
            show("PostgreSQL", url, base, number, limit)


if __name__ == "__main__":
    main()
