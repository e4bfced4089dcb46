"""A probe of a deployed site of 50 pages, and a walk over the sample sites.

usage: bench_live.py [PAGES]      default: 50 pages

The probe is measured against the same number of requests that curl makes one after the other to
the same nginx; the walk against a browser that only opens as many pages. Both in turn, in each
round; figures are medians. The walk needs Chromium, the probe nginx and curl.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver

from tests.servers import free_port, running
from tracknow_static.page.site import process_site
from tracknow_static.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ROUNDS = 3
_PAGE = (
    '<!doctype html><html><head><meta charset="utf-8"><title>Shop</title></head><body>'
    '<a href="https://buy.stripe.com/abc">Buy</a>{text}</body></html>'
)


def timed(command: list[str]) -> tuple[float, str]:
    """Run a command; returns seconds and output."""
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return time.monotonic() - started, done.stdout


def probe(pages: int, folder: Path) -> None:
    """Measure the probe of a site behind nginx with an access log."""
    site = folder / "site"
    port = free_port()
    names = [f"shop/page-{number}/" for number in range(pages - 1)]
    for name in ["", *names]:
        (site / name).mkdir(parents=True, exist_ok=True)
        (site / name / "index.html").write_text(_PAGE.format(text="<p>text</p>" * 1_500))
    assert not process_site(site, Settings(), site_url="/").failures
    origin = f"http://127.0.0.1:{port}/"
    urls = "".join(f"<url><loc>{origin}{name}</loc></url>" for name in ["", *names])
    (site / "sitemap.xml").write_text(f"<urlset>{urls}</urlset>")
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; user root; events {{}}\n"
        f"http {{ types {{ text/html html; text/javascript js; }} gzip on;\n"
        f"access_log {folder}/asked.log; client_body_temp_path {folder}/body;\n"
        f"server {{ listen 127.0.0.1:{port}; root {site}; }} }}\n"
    )
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx"
    command = [str(BIN / "tracknow-static"), "probe", origin, "--pages", str(pages)]
    took: list[float] = []
    peer: list[float] = []
    with running([nginx, "-p", str(folder), "-c", str(config)], port, folder / "log", {}):
        for _ in range(ROUNDS):
            before = len((folder / "asked.log").read_text().splitlines())
            seconds, output = timed(command)
            took.append(seconds)
            asked = len((folder / "asked.log").read_text().splitlines()) - before
            peer.append(timed(["curl", "-s", *[origin] * asked, "-o", "/dev/null"])[0])
    print(output.strip().splitlines()[-1])
    print(
        f"probe of {pages} pages: {statistics.median(took):.2f} s for {asked} requests, "
        f"start of the interpreter included; curl, as many requests on one connection: "
        f"{statistics.median(peer):.2f} s"
    )


def walk(name: str, folder: Path) -> None:
    """Measure a walk over a sample site, and as many page loads."""
    shop = folder / name
    shutil.copytree(ROOT / "sample_site" / name, shop)
    build = {
        "mkdocs": [str(BIN / "mkdocs"), "build", "-q"],
        "pelican": [str(BIN / "pelican"), "content", "-s", "pelicanconf.py", "-q"],
    }
    subprocess.run(build[name], cwd=shop, check=True, capture_output=True)
    site = shop / ("site" if name == "mkdocs" else "output")
    seconds, output = timed([str(BIN / "tracknow-static"), "walk", str(site)])
    lines = [line for line in output.splitlines() if " taken: " in line]
    print(f"walk of {name}: {seconds:.1f} s; {lines[-1] if lines else output}")


def page_loads(number: int) -> None:
    """Measure how long the browser alone takes to open a page."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "/usr/bin/chromium"
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(flag)
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService("/usr/bin/chromedriver")
    )
    try:
        started = time.monotonic()
        for _ in range(number):
            driver.get("data:text/html,<title>Page</title>")
        seconds = time.monotonic() - started
    finally:
        driver.quit()
    print(f"an empty page in the same browser: {seconds / number * 1000:.0f} ms")


def main() -> None:
    """Run both."""
    pages = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory(prefix="tn-live-") as folder:
        probe(pages, Path(folder))
        for name in ("mkdocs", "pelican"):
            walk(name, Path(folder))
    page_loads(20)


if __name__ == "__main__":
    main()
