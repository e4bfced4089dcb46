"""`tracknow-static edge`: what it prints, writes and refuses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tracknow_static.cli import cli
from tracknow_static.edge.files import HOSTS, outdated, render
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(*arguments: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(cli, ["edge", *map(str, arguments)])


@pytest.mark.parametrize("host", HOSTS)
def test_the_same_options_give_the_same_bytes(host: str) -> None:
    """What is printed is what is rendered, each time."""
    done = run(host, "--window-days", "30")
    assert done.exit_code == 0, done.output
    assert done.output == "\n".join(file.text for file in render(host, Settings(window_days=30)))


@pytest.mark.parametrize("host", HOSTS)
def test_files_are_written_where_the_host_looks(host: str, tmp_path: Path) -> None:
    """--write makes the folders, and a second run with other options replaces the files."""
    for days in (30, 60):
        done = run(host, "--write", tmp_path, "--window-days", str(days))
        assert done.exit_code == 0, done.output
        for file in render(host, Settings(window_days=days)):
            assert (tmp_path / file.path).read_text() == file.text
            assert f"wrote {tmp_path / file.path}" in done.output


def test_a_file_of_somebody_else_stays(tmp_path: Path) -> None:
    """A middleware that the merchant wrote is never replaced, and the error says what to do."""
    own = tmp_path / "middleware.js"
    own.write_text("export default () => {};\n")
    done = run("vercel", "--write", tmp_path)
    assert done.exit_code == 2
    assert f"{own} exists and was not made by this command" in done.output
    assert own.read_text() == "export default () => {};\n"


def test_no_file_is_half_written(tmp_path: Path) -> None:
    """With two files of which one is somebody else's, none is written."""
    (tmp_path / "tracknow-server.conf").write_text("# mine\n")
    assert run("nginx", "--write", tmp_path).exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tracknow-server.conf"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The system's reason is shown without a traceback."""
    (tmp_path / "functions").write_text("a file where a folder belongs")
    done = run("cloudflare", "--write", tmp_path)
    assert done.exit_code == 3
    assert f"{tmp_path / 'functions' / '_middleware.js'}: {os.strerror(17)}" in done.output


def test_consent_is_refused() -> None:
    """The server sends the cookie before the visitor has decided."""
    done = run("netlify", "--consent", "klaro")
    assert done.exit_code == 2
    assert "consent: 'klaro' does not go with an edge cookie" in done.output


def test_files_that_the_options_have_outgrown_are_found(tmp_path: Path) -> None:
    """Other options make a file outdated; one without our marker is passed over."""
    for host in HOSTS:
        assert run(host, "--write", tmp_path).exit_code == 0
    (tmp_path / "middleware.js").write_text("// somebody else's\n")
    assert list(outdated(tmp_path, Settings())) == []
    found = {host for host, _ in outdated(tmp_path, Settings(window_days=30))}
    assert found == set(HOSTS) - {"vercel"}
    assert {host for host, _ in outdated(tmp_path, Settings(consent="klaro"))} == found


def test_check_finds_a_file_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built with other options than the edge file was made with: an error that names the file."""
    monkeypatch.chdir(tmp_path)
    site = tmp_path / "public"
    site.mkdir()
    (site / "index.html").write_text("<!doctype html><meta charset=utf-8><title>Shop</title>")
    runner = CliRunner()
    assert run("netlify", "--write", tmp_path).exit_code == 0
    assert runner.invoke(cli, ["inject", str(site)]).exit_code == 0
    assert runner.invoke(cli, ["check", str(site)]).exit_code == 0
    assert runner.invoke(cli, ["inject", str(site), "--window-days", "30"]).exit_code == 0
    done = runner.invoke(cli, ["check", str(site)])
    assert done.exit_code == 1
    assert "netlify/edge-functions/tracknow.js:1: error TN442" in done.output
