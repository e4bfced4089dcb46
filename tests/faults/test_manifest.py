"""Sites that plugins built, audited and injected again: nothing is guessed, nothing is damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.page.parts import count
from tests.plugins.builds import files, run

if TYPE_CHECKING:
    from collections.abc import Callable

INPUTS = Path(__file__).parent / "inputs"

# The folder of inputs, the command that builds it, the folder that it builds.
BUILDS: dict[str, tuple[tuple[str, ...], str]] = {
    "config-name": (("mkdocs", "build", "-q", "-f", "mkdocs.en.yml", "-d", "site"), "site"),
    "group": (("mkdocs", "build", "-q", "-d", "site"), "site"),
    "optout-check": (("mkdocs", "build", "-q", "-d", "site"), "site"),
    "sphinx-layout": (("sphinx-build", "-q", "docs", "docs/_build/html"), "docs/_build/html"),
    "sphinx-404": (("sphinx-build", "-q", ".", "out"), "out"),
    "pelican-404": (("pelican", "content", "-s", "publishconf.py", "-o", "out", "-q"), "out"),
}


@pytest.fixture
def built(tmp_path: Path) -> Callable[[str], Path]:
    """Build one of the inputs; return the built site."""

    def build(name: str) -> Path:
        project = tmp_path / name
        shutil.copytree(INPUTS / name, project)
        command, folder = BUILDS[name]
        run(command[0], *command[1:], cwd=project).ok()
        return project / folder

    return build


def audit(site: Path, *options: str, cwd: Path | None = None) -> dict[str, Any]:
    """Run ``check`` from the folder above the site; return its JSON."""
    arguments = ["--format", "json", "--fail-on", "never", *options]
    text = run("tracknow-static", "check", site, *arguments, cwd=cwd or site.parent).ok().text
    found: dict[str, Any] = json.loads(text)
    return found


def codes(site: Path, *options: str, cwd: Path | None = None) -> list[str]:
    """Return the codes of all findings."""
    found = audit(site, *options, cwd=cwd)
    pages = [finding for page in found["pages"] for finding in page["findings"]]
    return [finding["code"] for finding in pages + found["site_findings"]]


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDS)
def test_a_fresh_build_is_clean_and_stays_as_it_is(name: str, built: Callable[[str], Path]) -> None:
    """``check`` of a plugin's own build finds nothing; ``inject`` on it changes no byte."""
    site = built(name)
    assert codes(site) == []
    assert codes(site, cwd=Path("/")) == []
    before = files(site)
    run("tracknow-static", "inject", site, cwd=site.parent).ok()
    assert files(site) == before


@pytest.mark.slow
def test_an_opted_out_page_stays_so(built: Callable[[str], Path]) -> None:
    """Its metadata are gone after the build; the manifest keeps what they decided."""
    site = built("optout-check")
    states = {page["file"]: page["state"] for page in audit(site)["pages"]}
    assert states["imprint/index.html"] == "excluded"
    run("tracknow-static", "inject", site, "--param", "partner").ok()
    assert count((site / "imprint" / "index.html").read_bytes()) == 0
    assert count((site / "index.html").read_bytes()) == 2


@pytest.mark.slow
def test_pages_shown_at_any_depth_keep_their_address(built: Callable[[str], Path]) -> None:
    """``inject`` with other options writes 404.html for the same path as the build."""
    site = built("config-name")
    run("tracknow-static", "inject", site, "--window-days", "30").ok()
    assert b'src="/project/assets/carry.' in (site / "404.html").read_bytes()


@pytest.mark.slow
def test_one_redirect_is_one_finding(tmp_path: Path) -> None:
    """A redirect page with a refresh and a script to one address is one warning."""
    shutil.copytree(INPUTS / "double", tmp_path / "double")
    run("mkdocs", "build", "-q", "-d", "site", cwd=tmp_path / "double").ok()
    assert codes(tmp_path / "double" / "site") == ["TN412"]
