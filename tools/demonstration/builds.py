"""The two sample shops, built by their generators as their owners would build them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLES = ROOT / "sample_site"
BIN = Path(sys.executable).parent


def build_mkdocs(target: Path) -> str:
    """Build Morrow Coffee with MkDocs and Material; return the plugin's line of the log."""
    return _build(
        [str(BIN / "mkdocs"), "build", "--clean", "-f", str(SAMPLES / "mkdocs" / "mkdocs.yml")],
        ["-d", str(target)],
    )


def build_pelican(target: Path) -> str:
    """Build Tidewater Press with Pelican; return the plugin's line of the log."""
    folder = SAMPLES / "pelican"
    return _build(
        [str(BIN / "pelican"), str(folder / "content"), "-s", str(folder / "pelicanconf.py")],
        ["-o", str(target)],
    )


def _build(command: list[str], more: list[str]) -> str:
    done = subprocess.run(
        [*command, *more],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        # Wide enough that no log breaks its lines.
        env={**os.environ, "COLUMNS": "400", "NO_MKDOCS_2_WARNING": "true"},
    )
    log = done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{log}")
    lines = [line.partition("tracknow: ")[2].strip() for line in log.splitlines()]
    return next((line for line in lines if "carry the script" in line), "built")
