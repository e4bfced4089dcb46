"""Takes the pictures of the sample shops in docs/images/, as a visitor sees them after agreeing.

usage: python -m tools.take_pictures
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tools.demonstration.builds import build_mkdocs, build_pelican
from tools.demonstration.walk import agree
from tools.engines.fake_stripe import serve_stripe
from tools.engines.fake_web import FakeWeb
from tools.engines.launch import launch
from tools.engines.sandbox import Sandbox
from tools.engines.selenium_engines import Chromium

ROOT = Path(__file__).resolve().parent.parent
MORROW, TIDEWATER = "morrow.example", "tidewater.example"


def main() -> None:
    """Write docs/images/shop-mkdocs.png and shop-pelican.png, each 1280 by 800."""
    sandbox = Sandbox()
    web = FakeWeb(sandbox)
    serve_stripe(web)
    browser = launch("chromium", sandbox)
    assert isinstance(browser, Chromium)  # noqa: S101 - tells mypy what launch() gave
    with tempfile.TemporaryDirectory(prefix="tracknow-pictures-") as work:
        builds = {MORROW: build_mkdocs, TIDEWATER: build_pelican}
        for host, build in builds.items():
            build(Path(work, host))
            web.put_folder(host, Path(work, host))
        browser.resize(1280, 800)
        browser.open(f"https://{MORROW}/?click_id=partner-7f3a_2026")
        agree(browser)
        _save(browser, "shop-mkdocs.png")
        browser.open(f"https://{TIDEWATER}/?click_id=print-guild-42")
        _save(browser, "shop-pelican.png")
    browser.quit()
    web.close()
    sandbox.close()


def _save(browser: Chromium, name: str) -> None:
    browser.until("return document.getAnimations().every(one => one.playState !== 'running')")
    file = ROOT / "docs" / "images" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(browser.screenshot())
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
