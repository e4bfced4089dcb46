"""Libraries of npm in pinned versions, as a merchant's page has them: one file, or a bundle."""

from __future__ import annotations

import fcntl
import subprocess
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from tools.engines import npm
from tools.minify import node

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ESBUILD = "esbuild@0.28.2"


@cache
def library(package: str, version: str, file: str) -> bytes:
    """Return a file of a package, which npm fetches the first time."""
    with _locked():
        return npm.read(package, version, file)


@cache
def bundle(packages: tuple[str, ...], source: str, *, for_node: bool = False) -> bytes:
    """Return a module and all that it imports as one script, in the form for development.

    ``packages``: ``name@version`` of whatever the module imports. Libraries report more of what is
    wrong in that form. Raises ``subprocess.CalledProcessError``.
    """
    target = "--platform=node" if for_node else "--format=iife"
    options = ("--bundle", target, "--conditions=development", "--charset=utf8")
    mode = '--define:process.env.NODE_ENV="development"'
    # What Vue asks of a bundler.
    vue = [
        f"--define:__VUE_{flag}__={value}"
        for flag, value in (
            ("OPTIONS_API", "true"),
            ("PROD_DEVTOOLS", "false"),
            ("PROD_HYDRATION_MISMATCH_DETAILS", "true"),
        )
    ]
    program = "node_modules/esbuild/bin/esbuild"
    return _run([node(), program, *options, mode, *vue], _installed(packages), source)


def printed(packages: tuple[str, ...], source: str) -> str:
    """Return what a module prints that node runs beside these packages."""
    script = bundle(packages, source, for_node=True)
    return _run([node(), "-"], npm.FOLDER, script.decode()).decode()


def compiled(packages: tuple[str, ...], source: str) -> str:
    """Return what a module prints that node runs as it is, for compilers that are no bundle."""
    return _run([node(), "--input-type=module"], _installed(packages), source).decode()


def _installed(packages: tuple[str, ...]) -> Path:
    """Return a folder whose ``node_modules`` holds these packages and what they need."""
    folder = npm.FOLDER / "bundles" / "+".join(packages).replace("/", "+")
    with _locked():
        # What npm writes last.
        if not (folder / "node_modules" / ".package-lock.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            npm.install(folder, _ESBUILD, *packages)
    return folder


def _run(command: list[str], folder: Path, source: str) -> bytes:
    done = subprocess.run(
        command, cwd=folder, input=source.encode(), check=True, capture_output=True, timeout=120
    )
    return done.stdout


@contextmanager
def _locked() -> Iterator[None]:
    """Let one process at a time fetch: several test runners want the same packages at once."""
    npm.FOLDER.mkdir(parents=True, exist_ok=True)
    with (npm.FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
