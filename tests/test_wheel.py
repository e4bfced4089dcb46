"""What users install is the wheel: its contents, and builds made with it alone."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from email.parser import Parser
from pathlib import Path

import httpx
import pytest

import tracknow_static
from tests.events import CONTENT_TYPE, SECRET, encode, purchase, sign
from tools import newest_python

pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).resolve().parent.parent
LINK = "https://buy.stripe.com/3cs00example"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(ROOT),
    ]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    """Return the names of the wheel's files."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


class Installed:
    """A virtual environment of one Python that holds the wheel, with its dependencies behind it.

    A path file adds the folder with the dependencies without reading the path files in it, so the
    source tree, which is installed there in editable form, stays out of sight.
    """

    def __init__(self, folder: Path, wheel: Path, base: Path) -> None:
        self.folder = folder / "environment"
        subprocess.run([base, "-m", "venv", "--without-pip", self.folder], check=True)
        self.python = self.folder / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--no-index", "--no-compile", wheel], check=True)
        purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
        behind = subprocess.run([base, "-c", purelib], check=True, capture_output=True, text=True)
        (packages,) = self.folder.glob("lib/python*/site-packages")
        (packages / "behind.pth").write_text(behind.stdout)

    def environment(self, **more: str) -> dict[str, str]:
        """Return an environment without traces of the source tree or a relay's settings."""
        ours = ("PYTHON", "TRACKNOW_", "STRIPE_")
        rest = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {**rest, "DISABLE_MKDOCS_2_WARNING": "true", **more}

    def run(self, *arguments: str | Path, cwd: Path, **environment: str) -> str:
        """Run Python with the given arguments, away from the source tree; return its output."""
        ran = subprocess.run(
            [self.python, "-B", *arguments],
            cwd=cwd,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout


@pytest.fixture(scope="module", params=["this", "newest"])
def installed(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    """Install the wheel for this Python, and for the newest one on this machine."""
    python = Path(sys.executable) if request.param == "this" else newest_python.prepared()
    if python is None:
        pytest.skip("no newer Python is prepared: python -m tools.newest_python")
    return Installed(tmp_path_factory.mktemp("installed"), wheel, python)


def test_the_wheel_holds_every_module_and_script(names: list[str]) -> None:
    """Each Python file of the packages is in it, and each minified script, and nothing else."""
    sources = {
        path.relative_to(base).as_posix()
        for base, package in (
            (ROOT, "tracknow_static"),
            (ROOT / "plugins", "mkdocs_tracknow"),
            (ROOT / "plugins", "pelican"),
            (ROOT / "plugins", "sphinx_tracknow"),
        )
        for path in (base / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    assert {name for name in names if ".dist-info/" not in name} == sources
    assert any(name.startswith("tracknow_static/browser/dist/") for name in names)


def test_the_wheel_is_typed_and_licensed(names: list[str]) -> None:
    """Type checkers see the types of all four packages; the licence is inside."""
    typed = {name.removesuffix("/py.typed") for name in names if name.endswith("/py.typed")}
    assert typed == {
        "tracknow_static",
        "mkdocs_tracknow",
        "pelican/plugins/tracknow",
        "sphinx_tracknow",
    }
    assert any(re.search(r"\.dist-info/licenses/LICENSE$", name) for name in names)


def test_pelicans_namespace_stays_a_namespace(names: list[str]) -> None:
    """A module above the plugin would hide Pelican itself."""
    assert "pelican/plugins/tracknow/__init__.py" in names
    assert not {"pelican/__init__.py", "pelican/plugins/__init__.py"} & set(names)


def test_nobody_installs_what_they_do_not_use(wheel: Path) -> None:
    """Without an extra come the parser, the command line and no generator, server or database."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    requirements = metadata.get_all("Requires-Dist") or []
    always = {re.split(r"[ <>=!~\[;]", text)[0] for text in requirements if "extra ==" not in text}
    assert always == {"ada-url", "click", "lxml", "pathspec"}
    extras = {"mkdocs", "pelican", "sphinx", "relay", "postgres", "stripe", "all"}
    assert extras <= set(metadata.get_all("Provides-Extra") or [])


def test_the_command_runs_from_the_wheel(installed: Installed, tmp_path: Path) -> None:
    """``tracknow-static --version`` prints the version, and comes from the wheel."""
    script = installed.folder / "bin" / "tracknow-static"
    output = installed.run(script, "--version", cwd=tmp_path)
    assert output.split() == ["tracknow-static,", "version", tracknow_static.__version__]
    where = installed.run("-c", "import tracknow_static as t; print(t.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.folder)


def check_page(page: Path, folder: Path) -> None:
    """Assert that a page carries the script, and that the file it names exists."""
    text = page.read_text(encoding="utf-8")
    (source,) = re.findall(r'<script data-tracknow[^>]* src="?([^" >]+)', text)
    assert (page.parent / source).resolve().is_relative_to(folder.resolve())
    assert (page.parent / source).read_text(encoding="utf-8")


def test_mkdocs_builds_with_the_wheel(installed: Installed, tmp_path: Path) -> None:
    """MkDocs finds the plugin by its entry point."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text(f"[Buy]({LINK})")
    (tmp_path / "mkdocs.yml").write_text("site_name: Shop\nplugins: [tracknow]\n")
    output = installed.run("-m", "mkdocs", "build", "--strict", cwd=tmp_path)
    assert "tracknow: 2 pages carry the script; 1 payment link on 1 page" in output
    check_page(tmp_path / "site/index.html", tmp_path / "site")


def test_pelican_builds_with_the_wheel(installed: Installed, tmp_path: Path) -> None:
    """Pelican finds the plugin by its namespace."""
    (tmp_path / "content").mkdir()
    (tmp_path / "content/one.md").write_text(f"Title: One\nDate: 2026-01-02\n\n[Buy]({LINK})")
    (tmp_path / "pelicanconf.py").write_text("PATH = 'content'\nPLUGINS = ['tracknow']\n")
    output = installed.run("-m", "pelican", cwd=tmp_path)
    assert "pages carry the script" in output
    check_page(tmp_path / "output/one.html", tmp_path / "output")


def test_sphinx_builds_with_the_wheel(installed: Installed, tmp_path: Path) -> None:
    """Sphinx finds the extension by its module."""
    (tmp_path / "conf.py").write_text("extensions = ['sphinx_tracknow']\nhtml_theme = 'basic'\n")
    (tmp_path / "index.rst").write_text(f"Shop\n====\n\n`Buy <{LINK}>`_\n")
    output = installed.run("-m", "sphinx", "-W", ".", "built", cwd=tmp_path)
    assert "pages carry the script; 1 payment link on 1 page" in output
    check_page(tmp_path / "built/index.html", tmp_path / "built")


def test_the_relay_runs_from_the_wheel(installed: Installed, tmp_path: Path) -> None:
    """``tracknow-relay serve`` stores a signed event, and ``list`` shows it."""
    relay = str(installed.folder / "bin" / "tracknow-relay")
    settings = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "TRACKNOW_NAMESPACE": "acme",
        "TRACKNOW_RELAY_DATABASE": f"sqlite:///{tmp_path / 'relay.sqlite3'}",
    }
    process = subprocess.Popen(
        [installed.python, "-B", relay, "serve", "--no-deliver", "--bind", "127.0.0.1:0"],
        env=installed.environment(**settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr as log:
        try:
            url = next(
                found[1] for line in log if (found := re.search(r"webhook at (http\S+)", line))
            )
            body = encode(purchase(1))
            headers = {"Content-Type": CONTENT_TYPE, "Stripe-Signature": sign(body)}
            _wait_for(url, process)
            assert httpx.post(url, content=body, headers=headers, timeout=30).status_code == 200
            process.send_signal(signal.SIGTERM)
            log.read()
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
    shown = installed.run(relay, "list", "--json", cwd=tmp_path, **settings)
    assert "evt_1" in shown


def _wait_for(url: str, process: subprocess.Popen[str]) -> None:
    """Return when something answers at a URL; the test's time-out ends the wait."""
    while process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url, timeout=30)
            return
        time.sleep(0.05)
    raise AssertionError(f"the relay ended with {process.returncode}")
