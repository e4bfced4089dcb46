"""``make demo``: two sample shops are built, and a real browser goes the visitor's way to Stripe.

Each step is told as it happens. Then both shops are served on this machine until Ctrl-C, which
ends the command with 0; with CI=true it ends after the steps. It gives 1 if a step failed, and 130
if it was stopped before the last one.

usage: demo.py [--all-engines]
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn
from urllib.parse import parse_qs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.demonstration.builds import build_mkdocs, build_pelican
from tools.demonstration.purchase import tell_purchase
from tools.demonstration.serving import serve
from tools.demonstration.steps import Steps
from tools.demonstration.walk import Visitor, walk_mkdocs, walk_pelican
from tools.engines.browser import Browser, BrowserError
from tools.engines.fake_stripe import PAYMENT_HOSTS, payment_page, serve_stripe
from tools.engines.fake_web import FakeWeb, Request
from tools.engines.launch import ENGINES, launch
from tools.engines.sandbox import Sandbox, SandboxError

MORROW, TIDEWATER = "morrow.example", "tidewater.example"


def main() -> int:
    """Tell the steps; give an exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--all-engines", action="store_true", help="Firefox and WebKit go the same way as Chromium"
    )
    engines = list(ENGINES) if parser.parse_args().all_engines else ["chromium"]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    # Firefox's driver tells the version of what it starts; the steps do already.
    logging.getLogger("mozversion").setLevel(logging.WARNING)
    steps = Steps()
    try:
        with tempfile.TemporaryDirectory(prefix="tracknow-demo-") as work:
            # What browsers leave behind goes with it.
            os.environ["TMPDIR"] = tempfile.tempdir = work
            shops = {MORROW: Path(work, "morrow"), TIDEWATER: Path(work, "tidewater")}
            code = _tell(steps, shops, engines, Path(work))
            if os.environ.get("CI") != "true" and not code:
                with contextlib.suppress(KeyboardInterrupt):
                    _keep_serving(steps, shops)
    except KeyboardInterrupt:
        steps.stopped()
        return 130
    return code


def _stop(*_: object) -> NoReturn:
    """Leave whatever is being done, once: what ends browsers and servers is not to be stopped."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _tell(steps: Steps, shops: dict[str, Path], engines: list[str], work: Path) -> int:
    steps.section("Build time", "the plugins put the script into every page")
    steps.run("MkDocs builds Morrow Coffee", lambda: build_mkdocs(shops[MORROW]))
    steps.run("Pelican builds Tidewater Press", lambda: build_pelican(shops[TIDEWATER]))
    asked = [] if steps.failed else _browse(steps, shops, engines)
    if asked:
        # What Stripe was asked for first is what it tells of in the end.
        (reference,) = parse_qs(asked[0].query)["client_reference_id"]
        tell_purchase(steps, reference, work)
    return steps.end()


def _browse(steps: Steps, shops: dict[str, Path], engines: list[str]) -> list[Request]:
    try:
        sandbox = Sandbox()
    except SandboxError as error:
        why = str(error)
        steps.section("In the browser")
        steps.run("makes a network of its own", lambda: _refuse(why))
        return []
    asked: list[Request] = []
    with contextlib.ExitStack() as opened:
        opened.callback(_wait_for_end, sandbox)
        opened.callback(sandbox.close)
        web = FakeWeb(sandbox)
        opened.callback(web.close)
        serve_stripe(web)
        web.put_host(f"pay.{MORROW}", payment_page)
        for host, folder in shops.items():
            web.put_folder(host, folder)
        for engine in engines:
            asked += _visit(steps, web, shops, engine)
    return asked


def _wait_for_end(sandbox: Sandbox) -> None:
    """Let what was killed go, so that nobody writes into a folder that is being removed."""
    end = time.monotonic() + 10
    while sandbox.processes() and time.monotonic() < end:
        time.sleep(0.02)


def _visit(steps: Steps, web: FakeWeb, shops: dict[str, Path], engine: str) -> list[Request]:
    browsers: list[Browser] = []

    def start() -> str:
        browsers.append(launch(engine, web.sandbox))
        return str(browsers[0].run("return navigator.userAgent"))

    steps.section(f"In the browser: {engine}")
    steps.run("starts", start)
    if not browsers:
        return []
    try:
        steps.section(f"Morrow Coffee in {engine}", "MkDocs, Material, consent banner")
        hosts = (*PAYMENT_HOSTS, f"pay.{MORROW}")
        morrow = Visitor(browsers[0], web, MORROW, "partner-7f3a_2026", hosts)
        walk_mkdocs(steps, morrow)
        steps.section(f"Tidewater Press in {engine}", "Pelican, clean addresses, a content blocker")
        walk_pelican(
            steps, Visitor(browsers[0], web, TIDEWATER, "print-guild-42"), shops[TIDEWATER]
        )
    finally:
        # A Ctrl-C reaches the browser's driver as well, which then answers no more.
        with contextlib.suppress(Exception):
            browsers[0].quit()
    return morrow.asked


def _refuse(why: str) -> str:
    raise BrowserError(why)


def _keep_serving(steps: Steps, shops: dict[str, Path]) -> None:
    with serve(shops[MORROW], 8001) as at_morrow, serve(shops[TIDEWATER], 8002) as at_tidewater:
        steps.console.print(
            "\nThe shops are open. In a browser of your own, with the console (F12) in view:\n"
        )
        addresses = {
            f"{at_morrow}/?click_id=you-1&tn_debug=1": "agree, then look at any Buy button",
            f"{at_tidewater}/?click_id=you-2&tn_debug=1": "a shop without a banner",
        }
        for address, what in addresses.items():
            # An address that is broken in two is none.
            steps.console.print(f"  {address}", soft_wrap=True)
            steps.console.print(f"      [dim]{what}[/]")
        steps.console.print(
            "\n  [dim]Their payment links lead to Stripe's real hosts and buy nothing. Ctrl-C ends.[/]"
        )
        while True:
            signal.pause()


if __name__ == "__main__":
    sys.exit(main())
