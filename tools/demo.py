"""``make demo``: two sample shops are built, and a real browser buys in them.

Each step is printed as it happens. Then both shops are served on this machine until Ctrl-C, which
ends the command with 0; with CI=true it ends after the steps. It exits with 1 if a step failed,
and with 130 if it was stopped before the last one.

usage: demo.py [--all-engines]
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.demonstration.builds import build_mkdocs, build_pelican
from tools.demonstration.purchase import STATUS_HOST, look_up_sales, report_purchase
from tools.demonstration.relay import PASSWORD, relay_between
from tools.demonstration.steps import Steps
from tools.demonstration.walk import Visitor, walk_mkdocs, walk_pelican
from tools.engines.browser import Browser, BrowserError
from tools.engines.fake_stripe import PAYMENT_HOSTS, payment_page, serve_stripe
from tools.engines.fake_web import FakeWeb, Request
from tools.engines.launch import ENGINES, launch
from tools.engines.sandbox import Sandbox, SandboxError
from tracknow_static.walk.web import StandInWeb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.demonstration.relay import Relay, Tracknow

MORROW, TIDEWATER = "morrow.example", "tidewater.example"
TITLES = {"chromium": "Chromium", "firefox": "Firefox", "webkit": "WebKit"}
_VERSION = re.compile(r"(?:HeadlessChrome|Firefox|Version)/([\d.]+)")


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--all-engines", action="store_true", help="use Firefox and WebKit, too, not Chromium alone"
    )
    engines = list(ENGINES) if parser.parse_args().all_engines else ["chromium"]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    # Firefox's driver logs the version of what it starts; the steps show it already.
    logging.getLogger("mozversion").setLevel(logging.WARNING)
    steps = Steps()
    try:
        with tempfile.TemporaryDirectory(prefix="tracknow-demo-") as work:
            # What browsers leave behind is removed with it.
            os.environ["TMPDIR"] = tempfile.tempdir = work
            shops = {MORROW: Path(work, "morrow"), TIDEWATER: Path(work, "tidewater")}
            with relay_between(Path(work), shops[MORROW]) as backend:
                code = _run(steps, shops, engines, backend)
                if os.environ.get("CI") != "true" and not code:
                    with contextlib.suppress(KeyboardInterrupt):
                        _keep_serving(steps, shops, backend[0])
    except KeyboardInterrupt:
        steps.stopped()
        return 130
    return code


def _stop(*_: object) -> NoReturn:
    """Stop once: what ends browsers and servers is not interrupted again."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(
    steps: Steps, shops: dict[str, Path], engines: list[str], backend: tuple[Relay, Tracknow]
) -> int:
    steps.explain(
        "A partner sends a visitor to a shop, the visitor buys through Stripe, and Stripe reports"
        " the purchase. The partner is paid only if the click id gets through every time: it is"
        " printed in blue. Stripe and Tracknow are stand-ins here; no request leaves this machine."
    )
    steps.section("Build", "the plugins put the script into every page")
    steps.run("MkDocs: Morrow Coffee", lambda: build_mkdocs(shops[MORROW]))
    steps.run("Pelican: Tidewater Press", lambda: build_pelican(shops[TIDEWATER]))
    if not steps.failed:
        _browse(steps, shops, engines, backend)
    return steps.end()


def _browse(
    steps: Steps, shops: dict[str, Path], engines: list[str], backend: tuple[Relay, Tracknow]
) -> None:
    try:
        sandbox = Sandbox()
    except SandboxError as error:
        reason = str(error)
        steps.section("In the browser")
        steps.run("starts a network of its own", lambda: _fail(reason))
        return
    payments: list[Request] = []
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
            payments += _visit(steps, web, shops, engine)
        if payments:
            # The reference of the first request to Stripe is the one that Stripe's event carries.
            (reference,) = parse_qs(payments[0].query)["client_reference_id"]
            relay, tracknow = backend
            report_purchase(steps, reference, relay, tracknow)
            web.put_host(STATUS_HOST, relay.answer)
            with _browser(steps, web, engines[0]) as browser:
                if browser is not None:
                    look_up_sales(steps, reference, relay, browser)


def _wait_for_end(sandbox: Sandbox) -> None:
    """Wait for the processes that were killed: none may write into a folder being removed."""
    end = time.monotonic() + 60
    while sandbox.processes() and time.monotonic() < end:
        time.sleep(0.02)


@contextlib.contextmanager
def _browser(steps: Steps, web: FakeWeb, engine: str) -> Iterator[Browser | None]:
    """Provide a browser, started as a step; None if it did not start."""
    browsers: list[Browser] = []
    title = TITLES[engine]

    def start() -> str:
        browsers.append(launch(engine, web.sandbox))
        version = _VERSION.search(browsers[0].run("return navigator.userAgent"))
        return f"{title} {version[1] if version else ''}".rstrip()

    steps.section(f"Browser: {title}")
    steps.run("starts", start)
    try:
        yield browsers[0] if browsers else None
    finally:
        # Ctrl-C reaches the browser's driver as well, which then answers no more.
        with contextlib.suppress(Exception):
            browsers[0].quit()


def _visit(steps: Steps, web: FakeWeb, shops: dict[str, Path], engine: str) -> list[Request]:
    title = TITLES[engine]
    with _browser(steps, web, engine) as browser:
        if browser is None:
            return []
        hosts = (*PAYMENT_HOSTS, f"pay.{MORROW}")
        morrow = Visitor(browser, web, MORROW, "partner-7f3a_2026", hosts)
        steps.section(f"Morrow Coffee in {title}", "MkDocs, Material theme, consent banner")
        walk_mkdocs(steps, morrow)
        steps.section(f"Tidewater Press in {title}", "Pelican, clean address bar, content blocker")
        tidewater = Visitor(browser, web, TIDEWATER, "print-guild-42")
        walk_pelican(steps, tidewater, shops[TIDEWATER])
        return morrow.payments


def _fail(reason: str) -> str:
    raise BrowserError(reason)


def _open(folder: Path, port: int) -> StandInWeb:
    """Serve a shop for a person to look at, at any free port if the wanted one is taken."""
    try:
        return StandInWeb(folder, "127.0.0.1", port=port)
    except OSError:
        return StandInWeb(folder, "127.0.0.1")


def _keep_serving(steps: Steps, shops: dict[str, Path], relay: Relay) -> None:
    with _open(shops[MORROW], 8001) as morrow, _open(shops[TIDEWATER], 8002) as tidewater:
        steps.explain("", "Both shops are open, and the status page. Try them in your browser:", "")
        addresses = {
            f"http://127.0.0.1:{morrow.port}/?click_id=you-1&tn_debug=1": "accept the banner, then click a Buy button",
            f"http://127.0.0.1:{tidewater.port}/?click_id=you-2&tn_debug=1": "a shop without a banner",
            f"{relay.url}/status": f"any user name, password {PASSWORD}",
        }
        for address, hint in addresses.items():
            # A URL that is broken into two lines cannot be clicked.
            steps.console.print(f"  {address}", soft_wrap=True)
            steps.console.print(f"      [dim]{hint}[/]")
        steps.explain(
            "",
            "[dim]The browser's console (F12) shows what the script does. Payment links lead to"
            " Stripe's real hosts, where nothing can be bought.[/]",
            "Press Ctrl-C to end.",
        )
        while True:
            signal.pause()


if __name__ == "__main__":
    sys.exit(main())
