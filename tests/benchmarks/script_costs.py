"""Main-thread time of the script on large pages, for visitors with an id, in Chromium."""

from __future__ import annotations

import contextlib
import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.chromium.webdriver import ChromiumDriver

_HEAD = "<!doctype html><meta charset=utf-8><title>x</title><body>"
_NODES = "<p>text <b>text</b> <i>text</i><span>text</span></p>" * 25_000
_DEPTH = 30


@dataclass(frozen=True)
class Load:
    """A page, and what happens on it once the script runs; without ``act`` its start is timed."""

    name: str
    body: str
    act: str = ""


LOADS = (
    Load(
        "10,000 Stripe links",
        "".join(f"<a href=https://buy.stripe.com/{n}>Buy</a> " for n in range(10_000)),
    ),
    Load(
        "2,000 forms",
        "".join(
            f"<form action=https://buy.stripe.com/{n}><input name=a><button>Buy</button></form>"
            for n in range(2_000)
        ),
    ),
    Load("100,000 nodes", _NODES),
    Load(
        "100,000 nodes: tab switch",
        _NODES,
        "document.dispatchEvent(new Event('visibilitychange'))",
    ),
    Load(
        "2,000 insertions, each into the last",
        "",
        """let at = document.body;
        for (let n = 0; n < 2000; n++) at = at.appendChild(document.createElement('div'))""",
    ),
    Load(
        "1,000 pointerdowns",
        "<div>" * _DEPTH + "<a id=x href=https://buy.stripe.com/1>Buy</a>",
        """for (let n = 0; n < 1000; n++)
          x.dispatchEvent(new Event('pointerdown', {bubbles: true, composed: true}))""",
    ),
)
# A script element with a text runs where it is inserted.
_START = """const script = document.createElement('script');
script.textContent = arguments[0]; document.head.append(script)"""
# Timers of the script, and theirs, have run when this answers.
_SETTLE = "const done = arguments[0]; setTimeout(() => setTimeout(done, 60), 60)"

# Prints both parts as one text: the tree on the path is not the one that runs this.
_COMPOSE = """import json
from tracknow_static.browser.compose import compose
from tracknow_static.settings import Settings
script = compose(Settings())
print(json.dumps((script.inline or "") + ";\\n" + (script.asset or b"").decode()))"""


def script_of(tree: str) -> str:
    """Return both parts of the script as one text, from a folder or a git revision.

    Raises ``SystemExit`` when it is neither.
    """
    folder = Path(tree)
    if folder.is_dir():
        return _composed(folder)
    packed = subprocess.run(
        ["git", "archive", tree, "tracknow_static"], capture_output=True, check=False
    )
    if packed.returncode:
        raise SystemExit(
            f"{tree!r} is neither a folder nor a git revision: {packed.stderr.decode()}"
        )
    with tempfile.TemporaryDirectory() as copy:
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(copy, filter="data")
        return _composed(Path(copy))


def _composed(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _COMPOSE], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{folder} has no script of ours: {done.stderr}")
    text: str = json.loads(done.stdout)
    return text


def measure(
    browser: ChromiumDriver, scripts: dict[str, str], rounds: int
) -> dict[str, dict[str, float]]:
    """Return milliseconds of script by load and script: medians beside an empty script.

    All scripts take turns on each page, so that each pair saw the same machine.
    """
    # Processor time of the page's thread: other work on the machine does not count.
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    pages = {f"/{number}": (_HEAD + load.body).encode() for number, load in enumerate(LOADS)}
    taken: dict[str, dict[str, float]] = {}
    with served(pages) as address:
        for number, load in enumerate(LOADS):
            times: dict[str, list[float]] = {name: [] for name in scripts}
            for turn in range(rounds + 1):
                empty = _one(browser, f"{address}/{number}", "0", load)
                for name, text in scripts.items():
                    spent = _one(browser, f"{address}/{number}", text, load)
                    if turn:  # the first round warms up
                        times[name].append(spent - empty)
            taken[load.name] = {name: statistics.median(seconds) for name, seconds in times.items()}
    return taken


def _one(browser: ChromiumDriver, url: str, text: str, load: Load) -> float:
    """Return the milliseconds of script that one page took."""
    browser.get(f"{url}?click_id=0b9c7a52-6a3e-4c9f-9d0e-3f1f1f0a7c11")
    browser.execute_async_script(_SETTLE)
    before = _spent(browser)
    browser.execute_script(_START, text)
    if load.act:
        browser.execute_async_script(_SETTLE)
        before = _spent(browser)
        browser.execute_script(load.act)
    browser.execute_async_script(_SETTLE)
    return _spent(browser) - before


def _spent(browser: ChromiumDriver) -> float:
    metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    seconds: float = next(row["value"] for row in metrics if row["name"] == "ScriptDuration")
    return seconds * 1000


@contextlib.contextmanager
def served(pages: dict[str, bytes]) -> Iterator[str]:
    """Answer pages by their path on a free port; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path.partition("?")[0], b"")
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the browser went on
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay quiet."""

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}"
