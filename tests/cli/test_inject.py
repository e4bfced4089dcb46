"""``tracknow-static inject`` and ``remove`` in a terminal and in a script."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.page.parts import count
from tracknow_static import cli
from tracknow_static.browser.compose import compose
from tracknow_static.page.commands import inject, remove
from tracknow_static.relay.operate import cli as relay_cli
from tracknow_static.settings import OPTIONS, Settings

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
PAGE = b"<!doctype html><head><meta charset=utf-8></head>\n"
LINK = PAGE + b"<a href=https://buy.stripe.com/test_1>"


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work beside a small built site, ``public``."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "public"
    (folder / "sub").mkdir(parents=True)
    (folder / "index.html").write_bytes(PAGE)
    (folder / "sub" / "buy.html").write_bytes(LINK)
    return folder


def run(*args: str) -> tuple[int, str, str]:
    """Run the command line in a process of its own; return its exit code and output."""
    command = [sys.executable, "-m", "tracknow_static", *args]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    return done.returncode, done.stdout, done.stderr


def test_inject_and_remove(site: Path) -> None:
    """One command puts the script in, the other takes it out; each ends with one line."""
    code, out, err = run("inject", "public")
    assert (code, err) == (0, "")
    finding, summary = out.splitlines()
    assert re.fullmatch(r"public/sub/buy\.html:2: payment link of .+ \[TN101\]", finding)
    assert summary == "tracknow: 2 pages carry the script; 1 payment link on 1 page"
    assert count((site / "index.html").read_bytes()) == 2
    asset = compose(Settings()).asset_path
    assert asset is not None
    assert (site / asset).is_file()
    assert run("remove", "public")[:2] == (0, "tracknow: 2 pages lost the script\n")
    assert (site / "index.html").read_bytes() == PAGE
    assert sorted(path.name for path in site.rglob("*")) == ["buy.html", "index.html", "sub"]


def test_a_file_name_cannot_fake_a_line(site: Path) -> None:
    """A finding is one line, and nothing in it steers a terminal."""
    (site / "a\nb\x1b[2J.html").write_bytes(LINK)
    lines = run("inject", "public")[1].splitlines()
    assert lines[0].startswith(
        "public/a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[2J.html:2:"
    )
    assert len(lines) == 2


def test_check(site: Path) -> None:
    """``--check`` writes nothing and exits 1 exactly when something would change."""
    assert run("inject", "public", "--check")[0] == 1
    assert (site / "index.html").read_bytes() == PAGE
    run("inject", "public")
    assert run("inject", "public", "--check")[0] == 0
    assert run("remove", "public", "--check")[0] == 1
    (site / "late.html").write_bytes(PAGE)
    code, out, _ = run("inject", "public", "--check", "--quiet")
    assert code == 1
    assert "1 of 3" not in out


def test_json() -> None:
    """``--json`` prints everything as one object, and nothing else."""
    code, out, err = run("inject", "public", "--json", "--jobs", "2")
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert (report["pages"], report["changed"], report["links"], report["clean"]) == (
        2,
        2,
        1,
        False,
    )
    assert report["csp_hash"] == compose(Settings()).csp_hash
    assert [(item["code"], item["file"], item["line"]) for item in report["findings"]] == [
        ("TN101", "sub/buy.html", 2)
    ]


def test_csp_on_request() -> None:
    """``--csp`` prints the source that a policy needs; without it the log does not."""
    source = f"script-src: '{compose(Settings()).csp_hash}'"
    assert source not in run("inject", "public")[1]
    assert source in run("inject", "public", "--csp")[1]


def test_finding_that_is_an_error() -> None:
    """A finding of severity error makes the exit code 1, when the work is done."""
    code, out, _ = run("inject", "public", "--test-links", "error")
    assert code == 1
    assert "2 pages carry the script" in out


def test_file_that_fails(site: Path) -> None:
    """A file that fails is named, the rest is done, the exit code is 3."""
    (site / "sub" / "long.html").write_bytes(PAGE + b"x" * 200_000)
    command = f"ulimit -f 100; exec {sys.executable} -m tracknow_static inject public"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 3
    assert done.stderr == "public/sub/long.html: File too large\n"
    assert done.stdout.endswith(
        "2 pages carry the script; 1 payment link on 1 page; 1 file failed\n"
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["inject", "nowhere"], "Directory 'nowhere' does not exist"),
        (["inject"], "Missing argument 'SITE_DIR'"),
        (["inject", "public", "--window-days", "0"], "window_days: '0' is not accepted"),
        (["inject", "public", "--jobs", "0"], "'--jobs': 0 is not in the range"),
        (["remove", "public/index.html"], "is a file"),
        (["injekt"], "No such command 'injekt'"),
    ],
)
def test_usage_errors(args: list[str], words: str) -> None:
    """A mistake on the command line is exit code 2 and a sentence, never a traceback."""
    code, _, err = run(*args)
    assert code == 2
    assert words in err
    assert "Traceback" not in err


def test_settings_from_the_file(site: Path) -> None:
    """The command reads ``tracknow.toml`` beside it; ``enabled`` switches it off."""
    Path("tracknow.toml").write_text("exclude = ['sub/**']\n")
    assert "1 page carries the script (1 excluded)" in run("inject", "public")[1]
    assert "switched off" in run("inject", "public", "--no-enabled")[1]


def test_site_url_is_for_pages_at_any_depth(site: Path) -> None:
    """404.html names the asset by the path that the site is served under."""
    (site / "404.html").write_bytes(PAGE)
    run("inject", "public", "--site-url", "https://example.com/shop")
    assert b'src="/shop/assets/' in (site / "404.html").read_bytes()


def test_folder_without_pages(site: Path, tmp_path: Path) -> None:
    """A folder without a page is an error, for the wrong folder is an easy mistake."""
    (tmp_path / "empty").mkdir()
    code, out, err = run("inject", "empty")
    assert (code, out) == (1, "")
    assert err == "tracknow: empty: no HTML page found; is it the folder that the build writes?\n"
    assert list((tmp_path / "empty").iterdir()) == []


def test_folder_whose_pages_cannot_carry_the_script(site: Path, tmp_path: Path) -> None:
    """Where no page takes the script, no script file is written, and the exit code is not 0."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.html").write_bytes(b"<p>fragment</p>")
    code, _, err = run("inject", "parts")
    assert code == 1
    assert "no page can carry the script" in err
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["a.html"]


def test_switched_off_is_json_when_asked(site: Path) -> None:
    """With --json standard output is one JSON object, also when nothing is done."""
    code, out, err = run("inject", "public", "--json", "--no-enabled")
    assert code == 0
    assert json.loads(out)["changed"] == 0
    assert "switched off" in err


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_progress_and_interrupt_on_a_terminal(site: Path, jobs: str) -> None:
    """A terminal shows progress; Ctrl-C ends with 130, whole pages and one sentence."""
    code, shown = 0, b""
    # On a busy machine the command may be done before Ctrl-C reaches it: then with more pages.
    for pages in (3_000, 12_000, 48_000):
        for number in range(pages):
            (site / f"p{number}.html").write_bytes(PAGE)
        code, shown = interrupt_inject("--jobs", jobs)
        if code:
            break
    assert code == 130
    assert b"interrupted; every page is whole" in shown
    assert b"Traceback" not in shown
    assert {count(path.read_bytes()) for path in site.rglob("*.html")} <= {0, 2}
    assert list(site.rglob(".tracknow-*")) == []


def interrupt_inject(*args: str) -> tuple[int, bytes]:
    """Press Ctrl-C when the first page is counted; return the exit code and what was shown.

    It returns when no process of the command holds the terminal any more.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tracknow_static", "inject", "public", *args],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    os.close(theirs)
    shown, pressed = b"", False
    with os.fdopen(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        # Linux: reading fails when the other side of the terminal is closed.
        while more := terminal.read(1000):
            shown += more
            if not pressed and re.search(rb"tracknow.+ [1-9]\d*/\d+", shown):
                os.killpg(process.pid, signal.SIGINT)
                pressed = True
    return process.wait(60), shown


def test_missing_dependency_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command whose extra is not installed names what to install; the others work."""
    monkeypatch.setitem(sys.modules, "tracknow_static.account.cli", None)
    result = CliRunner().invoke(cli.cli, ["stripe", "setup", "--dry-run"])
    assert result.exit_code == 2
    assert "pip install --upgrade 'tracknow-static[stripe]'" in result.output
    listing = CliRunner().invoke(cli.cli, ["--help"])
    assert listing.exit_code == 0
    assert "inject" in listing.output


def test_dependency_missed_late_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command imports only when it runs is named like the rest."""
    monkeypatch.setitem(sys.modules, "tracknow_static.probe.client", None)
    result = CliRunner().invoke(cli.cli, ["probe", "http://127.0.0.1:1/"])
    assert result.exit_code == 2
    assert "pip install --upgrade 'tracknow-static[probe]'" in result.output


def test_the_relays_commands_are_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the relay's packages each of its commands names the extra."""
    monkeypatch.setitem(sys.modules, "tracknow_static.relay.operate.run", None)
    result = CliRunner().invoke(relay_cli.cli, ["serve"])
    assert result.exit_code == 2
    assert "pip install --upgrade 'tracknow-static[relay]'" in result.output


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_numbers_are_numbers(number: str) -> None:
    """What no calculation can use is refused by name."""
    result = CliRunner().invoke(relay_cli.cli, ["purge", "--delivered-days", number])
    assert result.exit_code == 2
    assert f"'--delivered-days': '{number}' is not a number" in result.output


@pytest.mark.parametrize("command", [inject, remove], ids=["inject", "remove"])
def test_help_documents_exit_codes(command: object) -> None:
    """``--help`` explains each exit code."""
    name = "inject" if command is inject else "remove"
    shown = CliRunner().invoke(cli.cli, [name, "--help"]).output
    assert {"0", "1", "2", "3", "130"} <= set(re.findall(r"^ +(\d+)  ", shown, re.MULTILINE))


def test_readme_and_help_know_the_same_options() -> None:
    """Every option of the README's table is a flag of inject, and every setting's flag is there."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("<!-- options -->")[2].partition("<!-- /options -->")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    flags = {parameter.name for parameter in inject.params}
    assert named == set(OPTIONS)
    assert named <= flags
