"""Prepare the newest Python on this machine: `make test` tests the wheel with it, too.

`make test` runs with the Python of the virtual environment (3.11 on today's Debian). This finds
the newest one that is installed beside it and gives it the package's dependencies. Without one,
or when a dependency has no wheel for it yet, the tests use the first Python alone.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
# Beside the environment that runs this, so `make clean` removes it.
FOLDER = Path(sys.prefix, "newest")
_STAMP = FOLDER / "requirements.json"
_PINNED = ROOT / "tools" / "constraints.txt"
_PROBE = "import sys, ensurepip, venv; print(*sys.version_info[:2], sys.version_info.releaselevel)"


def find() -> Path | None:
    """Return the newest released Python that is newer than this one; None if there is none."""
    found = {}
    for candidate in _candidates():
        # Not every name on PATH is a Python that starts: pyenv's shims start a selected one only.
        probe = subprocess.run(
            [candidate, "-c", _PROBE], capture_output=True, text=True, check=False
        )
        if probe.returncode == 0:
            major, minor, level = probe.stdout.split()
            if level == "final":
                found[int(major), int(minor)] = candidate
    newest = max(found, default=(0, 0))
    return found[newest] if newest > sys.version_info[:2] else None


def prepared() -> Path | None:
    """Return the environment's Python if :func:`prepare` succeeded for today's requirements."""
    python = FOLDER / "bin" / "python"
    done = _STAMP.is_file() and _STAMP.read_text() == _requirements()
    return python if done and python.exists() else None


def prepare(python: Path) -> None:
    """Make an environment that holds the package's dependencies, and not the package.

    Raises ``subprocess.CalledProcessError`` when they cannot be installed.
    """
    shutil.rmtree(FOLDER, ignore_errors=True)
    subprocess.run([python, "-m", "venv", "--without-pip", FOLDER], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(FOLDER / "bin" / "python")]
    install = ["install", "--prefer-binary", "--constraint", str(_PINNED), f"{ROOT}[all]"]
    for command in (install, ["uninstall", "--yes", "tracknow-static"]):
        subprocess.run([*pip, *command], check=True, capture_output=True, text=True)
    _STAMP.write_text(_requirements())


def _candidates() -> Iterator[Path]:
    names = [f"python3.{minor}" for minor in range(sys.version_info.minor + 1, 40)]
    found = [shutil.which(name) for name in names]
    yield from (Path(path) for path in found if path)
    home = Path.home()
    for pattern in (
        ".pyenv/versions/3.*/bin/python3",
        ".local/share/uv/python/cpython-3.*/bin/python3",
    ):
        yield from sorted(home.glob(pattern))


def _requirements() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = _PINNED.read_text(encoding="utf-8")
    return json.dumps([project["dependencies"], project["optional-dependencies"], pinned])


def main() -> None:
    """Prepare the newest Python, or print why the tests use one Python only."""
    this = ".".join(map(str, sys.version_info[:2]))
    python = find()
    if python is None:
        print(f"· no Python newer than {this} is installed: the tests use {this} alone")
    elif prepared() is None:
        print(f"· preparing {python} (the wheel is tested with the newest Python, too)", flush=True)
        try:
            prepare(python)
        except subprocess.CalledProcessError as error:
            print(error.stderr, file=sys.stderr)
            print(f"· its packages cannot be installed: the tests use {this} alone")


if __name__ == "__main__":
    main()
