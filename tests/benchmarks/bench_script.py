"""What the script weighs, and what it costs a page with 1,000 links in Chromium.

usage: bench_script.py [--rounds N] [--peer FILE]

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
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tools import minify
from tracknow_static.browser.compose import CATEGORIES, compose
from tracknow_static.settings import Settings

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


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the browser went on
            self.wfile.write(PAGE)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet."""


def times(rounds: int, peer: bytes | None) -> int:
    """Print evaluation times; give 1 when Chromium is missing where it must not be."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        print("no Chromium here: evaluation not measured")
        return int(bool(os.environ.get("CI")))
    from selenium import webdriver

    script = compose(Settings())
    whole = f"{script.inline};\n{(script.asset or b'').decode()}"
    # name: script, query of the landing page
    cases = {
        "empty script": ("0", ""),
        "ours, visitor without an id": (whole, ""),
        "ours, 100 links decorated": (whole, "?click_id=0b9c7a52-6a3e-4c9f-9d0e-3f1f1f0a7c11"),
    }
    if peer is not None:
        cases["Dub, outbound links"] = (peer.decode(), "?dub_id=0b9c7a52")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"):
        options.add_argument(flag)
    service = webdriver.ChromeService(driver)
    browser = webdriver.Chrome(options=options, service=service)
    taken: dict[str, list[float]] = {name: [] for name in cases}
    try:
        for turn in range(rounds + 1):
            for name, (text, query) in cases.items():
                browser.get(f"http://127.0.0.1:{server.server_port}/{query}")
                one = browser.execute_script(EVALUATE, text)
                browser.delete_all_cookies()
                browser.execute_script("localStorage.clear()")
                if turn:  # the first round warms up
                    taken[name].append(one)
    finally:
        browser.quit()
        server.shutdown()
    empty = taken["empty script"]
    print(f"\nevaluation, {LINKS} links, {rounds} rounds{'':14} median ms  beside the empty script")
    for name, values in taken.items():
        more = statistics.median(one - none for one, none in zip(values, empty, strict=True))
        print(f"{name:50} {statistics.median(values):9.2f}  {more:+9.2f}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peer", type=Path, help="Dub's built script")
    options = parser.parse_args(arguments)
    peer = options.peer.read_bytes() if options.peer else None
    weights(peer)
    return times(options.rounds, peer)


if __name__ == "__main__":
    sys.exit(main())
