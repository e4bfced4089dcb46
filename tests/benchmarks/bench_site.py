"""One pass over a site against a plain copy of the same tree, and against parse-and-serialise.

usage: bench_site.py [PAGES] [--folder FOLDER]      default: 10,000 pages

The pages are like those of a documentation theme: 20 KB in the middle, one in twenty with payment
links. Every figure is the median of paired runs: in each round the same tree is copied by ``cp -r``
and passed over, so that a slow moment of the machine strikes both. Processor time is that of the
processes measured, start of the interpreter included.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 5
SAMPLE = 300  # pages that the parsers are given; their time is scaled

HEAD = """<!doctype html>
<html lang="en" class="no-js">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width,initial-scale=1">
    <link rel="next" href="../page-{number}/">
    <title>Page {number} - Shop</title>
    <link rel="stylesheet" href="../assets/stylesheets/main.min.css">
  </head>
  <body>
"""
LINK = '<p><a class="button" href="https://buy.stripe.com/3cs00{number}">Buy it</a></p>\n'
WORDS = [
    "a",
    "shop",
    "sells",
    "coffee",
    "&amp;",
    "tea",
    "in",
    "bags",
    "of",
    "one",
    "pound;",
    "the",
    "roast",
    "is",
    "dark,",
    "100",
    "%",
    "fair",
]


def make(folder: Path, pages: int, every: int) -> int:
    """Write a site with that number of pages, each ``every``-th with a payment link; return its bytes."""
    random.seed(7)
    total = 0
    for number in range(pages):
        parts = [HEAD.format(number=number)]
        size = int(random.lognormvariate(9.8, 0.6))
        length = len(parts[0])
        while length < size:
            text = " ".join(random.choices(WORDS, k=14))
            part = f'    <li class="item"><a href="../p-{length}/" title="x">{text}</a></li>\n'
            parts.append(part)
            length += len(part)
        if number % every == 0:
            parts.append(LINK.format(number=number))
        parts.append("  </body>\n</html>\n")
        target = folder / f"{number // 100}" / f"page-{number}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        total += target.write_bytes("".join(parts).encode())
    return total


class Cost(NamedTuple):
    """What a piece of work took: seconds of the clock, and of the processor in child processes."""

    clock: float
    cpu: float


def cost(work: Callable[[], object]) -> Cost:
    """Measure one call."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(clock, used)


def copy(source: Path, target: Path) -> None:
    """Copy a tree with the system's own tool."""
    subprocess.run(["cp", "-r", source, target], check=True)


# As ``python -m tracknow_static``, with its peak memory at the end. The kernel's ru_maxrss begins
# with the memory of whoever started the process, VmHWM does not.
COMMAND = """
from tracknow_static.cli import main
try:
    main()
finally:
    print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


def run(command: str, site: Path, jobs: int = 1) -> int:
    """Run our command as a user does; return its peak memory in MiB."""
    program = [sys.executable, "-c", COMMAND, command, str(site), "--quiet", "--jobs", str(jobs)]
    done = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"{command}: exit code {done.returncode}")
    return int(done.stdout.split()[-1]) // 1024


def with_lxml(page: bytes) -> bytes:
    """Put a script into a page by parsing and writing the tree with lxml."""
    from lxml import html

    tree = html.document_fromstring(page)
    head = tree.find("head")
    assert head is not None
    head.insert(0, html.fragment_fromstring("<script>1</script>"))
    return bytes(html.tostring(tree, encoding="utf-8", doctype="<!doctype html>"))


def with_beautiful_soup(page: bytes) -> bytes:
    """Do the same with BeautifulSoup."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(page, "html.parser")
    assert soup.head is not None
    soup.head.insert(0, soup.new_tag("script"))
    return soup.encode()


def parsers(source: Path, pages: int) -> dict[str, float]:
    """Give the seconds that a round trip of every page would take, from a sample."""
    sample = [path.read_bytes() for path in sorted(source.rglob("*.html"))[:: pages // SAMPLE or 1]]
    found = {}
    for name, work in (("lxml", with_lxml), ("BeautifulSoup", with_beautiful_soup)):
        work(sample[0])
        started = time.process_time()
        for page in sample:
            work(page)
        taken = time.process_time() - started
        found[name] = taken * pages / len(sample)
    return found


def measure(folder: Path, pages: int, every: int, rounds: int) -> None:
    """Measure and print one kind of site."""
    source, site, other = folder / "source", folder / "site", folder / "copy"
    size = make(source, pages, every) / 1e6
    print(f"\n{pages:,} pages, {size:,.0f} MB, payment links on one page in {every}")
    times: dict[str, list[Cost]] = {}
    peaks = []

    def note(name: str, work: Callable[[], object]) -> None:
        times.setdefault(name, []).append(cost(work))

    for _ in range(rounds):
        for gone in (site, other):
            shutil.rmtree(gone, ignore_errors=True)
        copy(source, site)
        note("cp -r", lambda: copy(source, other))
        note("inject", lambda: peaks.append(run("inject", site)))
        shutil.rmtree(other)
        note("cp -r again", lambda: copy(site, other))
        note("unchanged", lambda: run("inject", site))
        note("remove", lambda: run("remove", site))
        note("inject, 2 jobs", lambda: run("inject", site, 2))
    pairs = [
        ("cold, against cp -r", "inject", "cp -r"),
        ("unchanged, against cp -r", "unchanged", "cp -r again"),
        ("one job, against two", "inject", "inject, 2 jobs"),
    ]
    for name, costs in times.items():
        clock, cpu = (statistics.median(values) for values in zip(*costs, strict=True))
        speed = f"{pages / clock:9,.0f} pages/s {size / clock:7,.0f} MB/s"
        print(f"  {name:16} {clock:7.2f} s {speed}   {cpu:7.2f} s of processor time")
    for label, first, second in pairs:
        both = list(zip(times[first], times[second], strict=True))
        clock = statistics.median(a.clock / b.clock for a, b in both)
        cpu = statistics.median(a.cpu / b.cpu for a, b in both)
        print(f"  {label:28} {clock:5.2f} times (processor {cpu:5.2f})")
    ours = statistics.median(run.cpu for run in times["inject"])
    for name, taken in parsers(source, pages).items():
        print(
            f"  {name + ' round trip':28} {taken / ours:5.1f} times the processor time of our pass"
        )
    print(f"  peak memory {max(peaks)} MiB")


def main() -> None:
    """Measure a site with few payment links, and one with a link on every page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="?", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where to work (default: the temporary folder)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    for every in (20, 1):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            measure(Path(folder), options.pages, every, options.rounds)


if __name__ == "__main__":
    main()
