"""Where the command line finds its settings."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tracknow_static import config
from tracknow_static.cli import cli
from tracknow_static.errors import SettingsError
from tracknow_static.flags import with_settings
from tracknow_static.settings import OPTIONS


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def probe() -> click.Command:
    """Return a command with all flags, which prints the settings it got."""

    @click.command()
    @with_settings
    def show(project: config.Project) -> None:
        click.echo(repr(project))

    return show


def run(*args: str) -> str:
    """Run the probe, which must succeed."""
    result = CliRunner().invoke(probe(), args)
    assert result.exit_code == 0, result.output
    return result.output


def test_without_a_file_the_defaults_hold() -> None:
    """A folder without configuration is a normal case."""
    assert config.load({}).source == "defaults"


def test_tracknow_toml_beats_pyproject(here: Path) -> None:
    """Our own file is the more specific one."""
    (here / "pyproject.toml").write_text("[tool.tracknow]\nparam = 'far'\n")
    assert config.load({}).settings.param == "far"
    (here / "tracknow.toml").write_text("param = 'near'\n")
    assert config.load({}).settings.param == "near"


def test_a_flag_beats_the_file(here: Path) -> None:
    """What is typed last wins; the rest of the file stays."""
    (here / "tracknow.toml").write_text("param = 'near'\nwindow_days = 30\nexclude = ['a', 'b']\n")
    output = run("--param", "typed", "--exclude", "c")
    assert "param='typed'" in output
    assert "window_days=30" in output
    assert "exclude=('c',)" in output


def test_every_option_has_a_flag() -> None:
    """Each declared option is a flag, explained in the same words."""
    shown = " ".join(run("--help").split())
    for option in OPTIONS.values():
        assert f"--{option.name.replace('_', '-')}" in shown
        assert option.doc.split(",", maxsplit=1)[0][:30] in shown


def test_flags_can_switch_off(here: Path) -> None:
    """A flag that a file switches on can be switched off."""
    (here / "tracknow.toml").write_text("clean_url = true\n")
    assert "clean_url=True" in run()
    assert "clean_url=False" in run("--no-clean-url")


def test_a_bad_flag_is_a_usage_error() -> None:
    """Exit code 2 and one clear line, no traceback."""
    result = CliRunner().invoke(cli, ["check", ".", "--window-days", "0"])
    assert result.exit_code == 2
    assert "window_days: '0' is not accepted. Accepted: a whole number from 1 to 400." in (
        result.output
    )


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("tracknow.toml", "param = ", "tracknow.toml: is not TOML"),
        ("tracknow.toml", "parm = 'x'", "tracknow.toml: parm: unknown option. Did you mean param?"),
        ("tracknow.toml", "site_url = 3", "tracknow.toml: site_url: 3 is not accepted."),
        ("tracknow.toml", "site_url = 'https://[x/'", "site_url: 'https://[x/' is not accepted."),
        ("tracknow.toml", "site_url = 'https:///x'", "site_url: 'https:///x' is not accepted."),
        ("tracknow.toml", "severity = 3", "severity: 3 is not accepted."),
        ("tracknow.toml", "window_days = 0", "tracknow.toml: window_days: 0 is not accepted."),
        ("pyproject.toml", "[tool]\ntracknow = 1", "tool.tracknow: 1 is not accepted."),
    ],
)
def test_a_bad_file_is_named(here: Path, name: str, text: str, words: str) -> None:
    """The error names the file to fix."""
    (here / name).write_text(text)
    with pytest.raises(SettingsError, match=r"accepted|unknown|TOML") as caught:
        config.load({})
    assert words in str(caught.value)


def test_a_missing_file_is_named() -> None:
    """A file asked for by name must exist."""
    with pytest.raises(SettingsError, match=r"absent\.toml: cannot be read: No such file"):
        config.load({}, file=Path("absent.toml"))


def test_the_site_url_gets_its_slash(here: Path) -> None:
    """A URL prefix ends with a slash, however it was written."""
    (here / "tracknow.toml").write_text("site_url = 'https://example.com/shop'\n")
    assert config.load({}).site_url == "https://example.com/shop/"
