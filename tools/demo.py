"""``make demo``: two sample shops are built, and a real browser goes the visitor's way to Stripe.

Each step is told as it happens. Then both shops are served on this machine until Ctrl-C; with
CI=true the command ends after the steps, with 1 if one failed.

usage: demo.py [--all-engines]
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import parse_qs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.demonstration.builds import build_mkdocs, build_pelican
from tools.demonstration.purchase import tell_purchase
from tools.demonstration.serving import serve
from tools.demonstration.story import Story
from tools.demonstration.walk import Visitor, walk_mkdocs, walk_pelican
from tools.engines.browser import Browser, BrowserError
from tools.engines.launch import ENGINES, launch
from tools.engines.room import Room, RoomError
from tools.engines.stage import Request, Stage
from tools.engines.stripe import PAYMENT_HOSTS, payment_page, set_up

MORROW, TIDEWATER = "morrow.example", "tidewater.example"


def main() -> int:
    """Tell the story; give an exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--all-engines", action="store_true", help="Firefox and WebKit go the same way as Chromium"
    )
    engines = list(ENGINES) if parser.parse_args().all_engines else ["chromium"]
    story = Story()
    with tempfile.TemporaryDirectory(prefix="tracknow-demo-") as work:
        shops = {MORROW: Path(work, "morrow"), TIDEWATER: Path(work, "tidewater")}
        story.chapter("Build time", "the plugins put the script into every page")
        story.step("MkDocs builds Morrow Coffee", lambda: build_mkdocs(shops[MORROW]))
        story.step("Pelican builds Tidewater Press", lambda: build_pelican(shops[TIDEWATER]))
        asked = [] if story.failed else _browse(story, shops, engines)
        if asked:
            # What Stripe was asked for first is what it tells of in the end.
            (reference,) = parse_qs(asked[0].query)["client_reference_id"]
            tell_purchase(story, reference, Path(work))
        code = story.end()
        if os.environ.get("CI") != "true" and not story.failed:
            _keep_serving(story, shops)
    return code


def _browse(story: Story, shops: dict[str, Path], engines: list[str]) -> list[Request]:
    try:
        room = Room()
    except RoomError as error:
        why = str(error)
        story.chapter("In the browser")
        story.step("makes a network of its own", lambda: _refuse(why))
        return []
    stage = Stage(room)
    asked: list[Request] = []
    try:
        set_up(stage)
        stage.put_host(f"pay.{MORROW}", payment_page)
        for host, folder in shops.items():
            stage.put_folder(host, folder)
        for engine in engines:
            asked += _visit(story, stage, shops, engine)
    finally:
        stage.close()
        room.close()
    return asked


def _visit(story: Story, stage: Stage, shops: dict[str, Path], engine: str) -> list[Request]:
    browsers: list[Browser] = []

    def start() -> str:
        browsers.append(launch(engine, stage.room))
        return str(browsers[0].run("return navigator.userAgent"))

    story.chapter(f"In the browser: {engine}")
    story.step("starts", start)
    if not browsers:
        return []
    try:
        story.chapter(f"Morrow Coffee in {engine}", "MkDocs, Material, consent banner")
        hosts = (*PAYMENT_HOSTS, f"pay.{MORROW}")
        morrow = Visitor(browsers[0], stage, MORROW, "partner-7f3a_2026", hosts)
        walk_mkdocs(story, morrow)
        story.chapter(f"Tidewater Press in {engine}", "Pelican, clean addresses, a content blocker")
        walk_pelican(
            story, Visitor(browsers[0], stage, TIDEWATER, "print-guild-42"), shops[TIDEWATER]
        )
    finally:
        browsers[0].quit()
    return morrow.asked


def _refuse(why: str) -> str:
    raise BrowserError(why)


def _keep_serving(story: Story, shops: dict[str, Path]) -> None:
    morrow, at_morrow = serve(shops[MORROW], 8001)
    tidewater, at_tidewater = serve(shops[TIDEWATER], 8002)
    story.console.print(
        "\nThe shops are open. In a browser of your own, with the console (F12) in view:\n"
    )
    story.console.print(
        f"  {at_morrow}/?click_id=you-1&tn_debug=1      agree, then look at any Buy button"
    )
    story.console.print(f"  {at_tidewater}/?click_id=you-2&tn_debug=1      a shop without a banner")
    story.console.print(
        "\n  [dim]Their payment links lead to Stripe's real hosts and buy nothing. Ctrl-C ends.[/]"
    )
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        ended.wait()
    except KeyboardInterrupt:
        story.console.print()
    for server in (morrow, tidewater):
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    sys.exit(main())
