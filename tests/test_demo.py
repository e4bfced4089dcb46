"""``make demo`` as someone at a terminal sees it, from its first step to Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
_SECONDS = 240
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.xdist_group("demo"),
    pytest.mark.timeout(2 * _SECONDS),
]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Return a folder with a short name: browsers put sockets there, whose paths are short."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        yield Path(folder)


class Terminal:
    """The demo in a process group of its own, on a terminal whose output is kept."""

    def __init__(self, temporary: Path) -> None:
        self.text = ""
        self._temporary = temporary
        self._master, slave = pty.openpty()
        kept = {name: value for name, value in os.environ.items() if name != "CI"}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tools" / "demo.py")],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**kept, "TMPDIR": str(temporary), "COLUMNS": "60", "TERM": "xterm"},
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes():
            process.kill()
        self.process.wait(60)
        os.close(self._master)

    def until(self, words: str) -> None:
        """Read until the words are on the terminal."""
        end = time.monotonic() + _SECONDS
        while words not in self.text:
            assert time.monotonic() < end, self.text[-3000:]
            assert self._read(1), self.text[-3000:]

    def press_ctrl_c(self) -> int:
        """Send what the terminal sends to all processes of its group; return the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        while self._read(20):
            """Read what is printed until the end."""
        return self.process.wait(60)

    def leaves_nothing(self) -> bool:
        """Return True once no process is left: what was killed takes a moment to be gone."""
        end = time.monotonic() + 60
        while self.processes():
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True

    def processes(self) -> list[psutil.Process]:
        """Return the processes that the demo started and that still run, and the demo."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return str(process.environ().get("TMPDIR", "")).startswith(str(self._temporary))
        except psutil.Error:
            return False

    def _read(self, patience: float) -> bool:
        """Read what comes; False once the terminal is closed, or when nothing is printed for long."""
        if not select.select([self._master], [], [], patience)[0]:
            return self.process.poll() is None
        try:
            self.text += os.read(self._master, 65536).decode(errors="replace")
        except OSError:  # Linux: the other end is closed
            return False
        return True


def test_the_shops_are_served_until_ctrl_c(temporary: Path) -> None:
    """After the last step both shops and the status page answer, and Ctrl-C ends all with 0."""
    with Terminal(temporary) as terminal:
        terminal.until("Press Ctrl-C to end.")
        assert "✗" not in terminal.text
        addresses = re.findall(r"http://127\.0\.0\.1:\d+/\?click_id=\S+&tn_debug=1", terminal.text)
        assert len(addresses) == 2
        for address in addresses:
            page = httpx.get(address, timeout=60)
            assert (page.status_code, page.text.count("<script data-tracknow>")) == (200, 1)
            base = address.partition("?")[0]
            assert httpx.get(f"{base}no/such/page", timeout=60).status_code == 404
            moved = httpx.get(f"{base}gifts?click_id=a", timeout=60).headers["Location"]
            assert moved == "/gifts/?click_id=a"
            assert httpx.head(base, timeout=60).content == b""
        for seen in ("attributed", "no-click-id (page-with-script)", "14.00 EUR of 14.00 EUR"):
            assert seen in terminal.text
        found = re.search(
            r"(http://127\.0\.0\.1:\d+/status)\s.*password (\S+)\x1b", terminal.text, re.DOTALL
        )
        assert found, terminal.text[-1000:]
        status = httpx.get(found[1], auth=("anyone", found[2]), timeout=60)
        assert (status.status_code, "<h1" in status.text) == (200, True)
        assert httpx.get(found[1], timeout=60).status_code == 401
        assert terminal.press_ctrl_c() == 0
        assert "Traceback" not in terminal.text
        assert terminal.leaves_nothing()
    assert list(temporary.iterdir()) == []


def test_ctrl_c_between_steps(temporary: Path) -> None:
    """Stopped half-way it prints that and exits with 130; no browser, server or folder is left."""
    with Terminal(temporary) as terminal:
        terminal.until("sees the consent banner")
        assert len(terminal.processes()) > 3  # a browser is several processes
        assert terminal.press_ctrl_c() == 130
        assert "Stopped" in terminal.text
        assert "Traceback" not in terminal.text
        assert terminal.leaves_nothing()
    assert list(temporary.iterdir()) == []
