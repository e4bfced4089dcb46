"""Real builds in processes of their own, and what must hold between two of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tracknow_static.browser.compose import compose
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

BIN = Path(sys.executable).parent
LIVE = "https://buy.stripe.com/3cs00example"
TEST = "https://buy.stripe.com/test_3cs00example"

ENVIRONMENT = {
    **os.environ,
    "SOURCE_DATE_EPOCH": "1767225600",  # some generators write the time of the build into pages
    "NO_COLOR": "1",
    # What Python compiles is kept, and not beside the sources of a site.
    "PYTHONPYCACHEPREFIX": str(Path(__file__).resolve().parents[2] / ".work" / "pycache"),
    "DISABLE_MKDOCS_2_WARNING": "true",
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
}


class Ran:
    """A command that has ended: its exit code and all that it printed."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.code = process.returncode
        self.text = process.stdout

    def ok(self) -> Ran:
        """Insist that it went well."""
        assert self.code == 0, self.text
        return self


def run(tool: str, *arguments: str | Path, cwd: Path | None = None, **environment: str) -> Ran:
    """Run an installed command as its users do, and wait for its end."""
    return Ran(
        subprocess.run(
            [BIN / tool, *(os.fspath(argument) for argument in arguments)],
            cwd=cwd,
            env=ENVIRONMENT | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=100,
            check=False,
        )
    )


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write text files by their paths inside ``folder``."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def write_yaml(path: Path, content: object) -> None:
    """Write a configuration file."""
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def files(folder: Path) -> dict[str, bytes]:
    """Return every file of a built site, by its path inside it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def tag(path: str, settings: Settings, root: str = "/") -> bytes:
    """Return the insertion that the page at ``path`` of a site must carry."""
    anywhere = path.rpartition("/")[2] == "404.html"
    return compose(settings).tags(root if anywhere else "../" * path.count("/"))


def assert_only_added(
    plain: Path,
    ours: Path,
    settings: Settings | None = None,
    *,
    root: str = "/",
    without: Collection[str] = (),
    differing: Collection[str] = (),
) -> list[str]:
    """Insist that two builds differ by the insertion in each page, the script file and the manifest.

    ``root`` is the path that the site is served under, ``without`` names the pages that are to
    carry nothing, ``differing`` files that two builds never make alike. Gives the pages' paths.
    """
    settings = settings or Settings()
    before, after = files(plain), files(ours)
    script = compose(settings)
    asset = {} if script.asset_path is None else {script.asset_path: script.asset}
    manifest = f"{settings.asset_dir}/tracknow.json"
    assert sorted(after) == sorted({*before, *asset, manifest})
    assert json.loads(after.pop(manifest))["settings"]["param"] == settings.param
    for path, content in asset.items():
        assert after.pop(path) == content
    pages = [path for path in before if path.endswith((".html", ".htm")) and path not in without]
    for path, old in before.items():
        if path in pages:
            insertion = tag(path, settings, root)
            assert after[path].count(insertion) == 1, path
            assert after[path].replace(insertion, b"") == old, path
        elif path not in differing:
            assert after[path] == old, path
    assert set(without) <= before.keys()
    return pages
