"""Takes the pictures in docs/images/: the sample shops, the status page, and what the demo prints.

usage: python -m tools.take_pictures
"""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tools.demonstration.builds import build_mkdocs, build_pelican
from tools.demonstration.ledger import fill
from tools.demonstration.relay import PASSWORD, SECRET
from tools.demonstration.walk import agree
from tools.engines import wsgi
from tools.engines.fake_stripe import serve_stripe
from tools.engines.fake_web import FakeWeb
from tools.engines.launch import launch
from tools.engines.sandbox import Sandbox
from tools.engines.selenium_engines import Chromium
from tracknow_static.relay import create_application
from tracknow_static.relay.config import RelayConfig

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 140
MORROW, TIDEWATER, RELAY = "morrow.example", "tidewater.example", "relay.example"


def main() -> None:
    """Write every picture anew."""
    take_shops()
    take_status()
    take_demo()


def take_shops() -> None:
    """Write a picture of each shop, and of the one that asks for consent first, 1280 by 800."""
    sandbox = Sandbox()
    web = FakeWeb(sandbox)
    serve_stripe(web)
    browser = launch("chromium", sandbox)
    assert isinstance(browser, Chromium)  # noqa: S101 - for mypy
    with tempfile.TemporaryDirectory(prefix="tracknow-pictures-") as work:
        builds = {MORROW: build_mkdocs, TIDEWATER: build_pelican}
        for host, build in builds.items():
            build(Path(work, host))
            web.put_folder(host, Path(work, host))
        browser.resize(1280, 800)
        browser.open(f"https://{MORROW}/?click_id=partner-7f3a_2026")
        browser.until(
            """const form = document.querySelector('.md-consent__inner');
            const box = form?.getBoundingClientRect();
            return box && Math.round(box.bottom) === innerHeight && getComputedStyle(form).opacity === '1'"""
        )
        _save(browser, "consent.png")
        agree(browser)
        _save(browser, "shop-mkdocs.png")
        browser.open(f"https://{TIDEWATER}/?click_id=print-guild-42")
        _save(browser, "shop-pelican.png")
    browser.quit()
    web.close()
    sandbox.close()


def take_status() -> None:
    """Write pictures of a relay's status page: wide, on a phone, and one sale in dark colors."""
    with tempfile.TemporaryDirectory(prefix="tracknow-pictures-") as work:
        config = RelayConfig.from_environ(
            {
                "TRACKNOW_NAMESPACE": "acme",
                "STRIPE_WEBHOOK_SECRET": SECRET,
                "TRACKNOW_RELAY_DATABASE": f"sqlite:///{work}/relay.sqlite3",
                "TRACKNOW_RELAY_DELIVER": "false",
                "TRACKNOW_RELAY_STATUS_PASSWORD": PASSWORD,
            }
        )
        fill(config, float(int(time.time())))
        relay = create_application(config)
        sandbox = Sandbox()
        web = FakeWeb(sandbox)
        credentials = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        web.put_host(RELAY, wsgi.host(relay, HTTP_AUTHORIZATION=f"Basic {credentials}"))
        browser = launch("chromium", sandbox)
        assert isinstance(browser, Chromium)  # noqa: S101 - for mypy
        for name, path, size, scheme in (
            ("status.png", "/status", (1120, 1180), "light"),
            ("status-phone.png", "/status/sales", (390, 844), "light"),
            ("status-sale.png", "/status/sales/cs_live_a10005SAMPLE", (1120, 900), "dark"),
        ):
            browser.resize(*size)
            browser.prefer("prefers-color-scheme", scheme)
            browser.open(f"https://{RELAY}{path}")
            _save(browser, name)
        browser.quit()
        web.close()
        sandbox.close()
        relay.stop(30)


def take_demo() -> None:
    """Write demo.svg: what `make demo` prints of the first shop, and of what became of its sale."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "demo.py")],
        env={**os.environ, "CI": "true", "COLUMNS": str(COLUMNS)},
        capture_output=True,
        text=True,
        check=True,
    )
    titles = ("Morrow Coffee in", "After the purchase", "What became of each sale")
    parts = [part for part in done.stdout.split("\n\n") if part.startswith(titles)]
    # Without a terminal the demo prints no colors: these are its own.
    lines = "\n\n".join(parts).splitlines()
    cut = (line if len(line) <= COLUMNS else f"{line[: COLUMNS - 1]}…" for line in lines)
    text = Text("\n".join(cut))
    text.highlight_regex("✓", "bold green")
    text.highlight_regex(r"\d+\.\d s", "dim")
    text.highlight_regex(r"client.reference.id=\S+", "bold cyan")
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor")
    console.print(text, soft_wrap=True)
    # Fonts of the reader's own machine: a picture asks no other host.
    svg = console.export_svg(title="make demo")
    _write("demo.svg", re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL).encode())


def _save(browser: Chromium, name: str) -> None:
    browser.until(
        "return document.getAnimations().every(animation => animation.playState !== 'running')"
    )
    _write(name, browser.screenshot())


def _write(name: str, content: bytes) -> None:
    file = ROOT / "docs" / "images" / name
    file.write_bytes(content)
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
