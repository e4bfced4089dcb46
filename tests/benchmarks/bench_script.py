"""What the script weighs, and what it costs pages in Chromium.

usage: bench_script.py [--rounds N] [--peer FILE] [--before TREE]

--before names a folder or a git revision with an earlier script, which is measured beside today's
on pages that are large in one way each. The goal is at most a third of the time before.

The peer is Dub's published script with outbound links, the closest in what it does. Its package on
npm only loads it from Dub's servers, so its weight is recorded here, from its sources built as its
build file says; --peer names such a built file and has it measured beside ours.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.script_costs import measure, script_of, served
from tools import minify
from tracknow_static.browser.compose import CATEGORIES, compose
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.chromium.webdriver import ChromiumDriver

ROOT = Path(__file__).resolve().parents[2]
LINKS = 1000
RECORDED = ("Dub, outbound links (recorded)", 5353, 2323)
PAGE = (
    "<!doctype html><meta charset=utf-8><title>x</title><body>"
    + "".join(
        f"<p><a href='https://{'buy.stripe.com' if number % 10 == 0 else 'shop.example'}/{number}'>"
        f"{number}</a>"
        for number in range(LINKS)
    )
).encode()

# One evaluation on a page just loaded. A script element with a text runs where it is inserted.
EVALUATE = """
const script = document.createElement("script");
script.textContent = arguments[0];
const begun = performance.now();
document.head.append(script);
return performance.now() - begun;
"""


def packed(text: bytes) -> int:
    """Give the size of what a server sends."""
    return len(gzip.compress(text, 9))


def weights(peer: bytes | None) -> None:
    """Print bytes of the parts, of each adapter, and of the peer."""
    sources = dict(minify.sources())
    default = compose(Settings())
    inline, asset = (default.inline or "").encode(), default.asset or b""
    both = packed(inline + asset)
    print(f"{'part':34} {'source':>7} {'minified':>9} {'gzip':>6}")

    def row(name: str, source: int | None, text: bytes, gzipped: int) -> None:
        print(f"{name:34} {source or '':>7} {len(text):9} {gzipped:6}")

    row(
        f"capture (tag: {len(default.capture_tag)})",
        len(sources["capture.js"]),
        inline,
        packed(inline),
    )
    row("carry", len(sources["carry.js"]), asset, packed(asset))
    row("both, as one text", None, inline + asset, both)
    row("both, as two answers", None, inline + asset, packed(inline) + packed(asset))
    for consent in (*CATEGORIES, "event:answered"):
        script = compose(Settings(consent=consent))
        whole = (script.inline or "").encode() + (script.asset or b"")
        name = consent.partition(":")[0]
        source = len(sources[f"consent.{name}.js"])
        row(f"  + consent: {name}", source, whole[len(inline + asset) :], packed(whole) - both)
    if peer is None:
        print(f"{RECORDED[0]:34} {'':>7} {RECORDED[1]:9} {RECORDED[2]:6}")
        print(f"ours / Dub's: {both / RECORDED[2]:.2f} in gzip")
    else:
        row("Dub, outbound links", None, peer, packed(peer))
        print(f"ours / Dub's: {both / packed(peer):.2f} in gzip")


@contextlib.contextmanager
def _chromium() -> Iterator[ChromiumDriver | None]:
    """Yield a Chromium, or None where it is not installed."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        yield None
        return
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


def evaluation(browser: ChromiumDriver, rounds: int, peer: bytes | None) -> None:
    """Print how long the script takes to start, beside an empty one."""
    script = compose(Settings())
    whole = f"{script.inline};\n{(script.asset or b'').decode()}"
    # name: script, query of the landing page
    cases = {
        "empty script": ("0", ""),
        "ours, visitor without an id": (whole, ""),
        "ours, visitor with an id": (whole, "?click_id=0b9c7a52-6a3e-4c9f-9d0e-3f1f1f0a7c11"),
    }
    if peer is not None:
        cases["Dub, outbound links"] = (peer.decode(), "?dub_id=0b9c7a52")
    taken: dict[str, list[float]] = {name: [] for name in cases}
    with served({"/": PAGE}) as address:
        for turn in range(rounds + 1):
            for name, (text, query) in cases.items():
                browser.get(f"{address}/{query}")
                milliseconds = browser.execute_script(EVALUATE, text)
                browser.delete_all_cookies()
                browser.execute_script("localStorage.clear()")
                if turn:  # the first round warms up
                    taken[name].append(milliseconds)
    empty = taken["empty script"]
    print(f"\nevaluation, {LINKS} links, {rounds} rounds{'':14} median ms  beside the empty script")
    for name, values in taken.items():
        more = statistics.median(full - none for full, none in zip(values, empty, strict=True))
        print(f"{name:50} {statistics.median(values):9.2f}  {more:+9.2f}")


def costs(browser: ChromiumDriver, rounds: int, before: str | None) -> None:
    """Print the time of the script on large pages, and how it compares with an earlier one."""
    scripts = {"now": script_of(str(ROOT))}
    if before is not None:
        scripts["before"] = script_of(before)
    print(f"\nscript on the main thread, visitor with an id, {rounds} rounds: median ms")
    print(f"{'':40} {'now':>9}" + (f" {'before':>9} {'now/before':>11}" if before else ""))
    for load, taken in measure(browser, scripts, rounds).items():
        line = f"{load:40} {taken['now']:9.1f}"
        if before is not None:
            line += f" {taken['before']:9.1f} {taken['now'] / taken['before']:11.2f}"
        print(line)


def main(arguments: list[str] | None = None) -> int:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peer", type=Path, help="Dub's built script")
    parser.add_argument("--before", metavar="TREE", help="folder or git revision")
    options = parser.parse_args(arguments)
    peer = options.peer.read_bytes() if options.peer else None
    weights(peer)
    with _chromium() as browser:
        if browser is None:
            print("no Chromium here: times not measured")
            return int(bool(os.environ.get("CI")))
        evaluation(browser, options.rounds, peer)
        costs(browser, max(1, options.rounds // 3), options.before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
