"""What all commands share on the command line: formats, exit codes, imports, interruptions."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import NoReturn

import click
import pytest
from click.testing import CliRunner

from tests.help_texts import COMMANDS, help_text
from tracknow_static import exit_codes
from tracknow_static.cli import cli
from tracknow_static.click_options import format_option
from tracknow_static.errors import AccountError, SettingsError, SiteError, TracknowError
from tracknow_static.lazy_group import LazyGroup, Place


@click.command(epilog=exit_codes.epilog(exit_codes.FAILED, attention="a page has no script"))
@format_option("github")
def report(output_format: str) -> None:
    """Print the chosen format."""
    click.echo(output_format)


@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        ([], "text"),
        (["--json"], "json"),
        (["--format", "github"], "github"),
        (["--format", "json", "--json"], "json"),
    ],
)
def test_json_is_the_short_form_of_a_format(arguments: list[str], chosen: str) -> None:
    """``--json`` means ``--format json``; without either, people read the output."""
    assert CliRunner().invoke(report, arguments).output == f"{chosen}\n"


def test_two_formats_are_refused() -> None:
    """``--json`` with another format is a mistake, whatever comes first."""
    for arguments in (["--json", "--format", "github"], ["--format", "text", "--json"]):
        result = CliRunner().invoke(report, arguments)
        assert result.exit_code == exit_codes.MISUSE
        assert "--json and --format" in result.output


def test_help_lists_the_codes_that_the_command_can_return() -> None:
    """The end of ``--help`` names each code once, with the command's own meaning of 1."""
    text = CliRunner().invoke(report, ["--help"]).output
    codes = [line.split()[0] for line in text.partition("Exit codes:")[2].splitlines() if line]
    assert codes == ["0", "1", "2", "3"]
    assert "a page has no script" in text


@pytest.mark.parametrize(
    "name", [name for name, found in COMMANDS.items() if not isinstance(found, click.Group)]
)
def test_codes_and_formats_are_the_same_everywhere(name: str) -> None:
    """Each command lists its codes, each code with its one meaning; --json is never alone."""
    text = help_text(name)
    listed = re.findall(r"^ +(\d+) +(.*)$", text.partition("Exit codes:")[2], re.MULTILINE)
    codes = {int(code): meaning for code, meaning in listed}
    assert {exit_codes.DONE, exit_codes.MISUSE} <= set(codes)
    codes.pop(exit_codes.ATTENTION, None)
    assert codes == {code: exit_codes.MEANINGS[code] for code in codes}
    assert ("--json" in text) == ("--format [text|json" in text)


IMPORTED = """
import sys
from tracknow_static.cli import cli
try:
    cli.main(sys.argv[1:])
except SystemExit:
    pass
print("imported", *sorted(set(sys.modules)))
"""


def imported(*arguments: str) -> set[str]:
    """Return the modules that a command line has imported when it ends."""
    command = [sys.executable, "-c", IMPORTED, *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout
    return set(output.splitlines()[-1].split()[1:])


def test_help_imports_no_command() -> None:
    """The list of commands costs little more than click itself."""
    ours = {name for name in imported("--help") if name.startswith("tracknow_static")}
    assert ours == {
        "tracknow_static",
        *(f"tracknow_static.{name}" for name in ("cli", "errors", "exit_codes", "lazy_group")),
    }


@pytest.mark.parametrize(
    ("command", "unused"),
    [
        ("inject", {"lxml", "stripe", "rich", "jinja2"}),
        ("check", {"lxml", "stripe", "rich", "jinja2", "tracknow_static.account"}),
        ("stripe", {"lxml", "stripe", "rich", "ada_url", "tracknow_static.settings"}),
    ],
)
def test_help_of_a_command_imports_no_library(command: str, unused: set[str]) -> None:
    """What only the work itself needs is imported when it begins."""
    assert not imported(command, "--help") & unused


def test_the_list_shows_what_the_commands_show_themselves() -> None:
    """Each line of ``--help`` names a command that exists, in a sentence that is not cut."""
    group = cli
    assert isinstance(group, LazyGroup)
    listed = CliRunner().invoke(group, ["--help"], terminal_width=200).output
    for name, place in group.places.items():
        assert f"{name} " in listed
        assert place.help in listed
        assert place.help.endswith(".")
        found = group.get_command(click.Context(group), name)
        assert found is not None
        assert found.name == name


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError(["a is wrong", "b is wrong"], where="here"), exit_codes.MISUSE),
        (SiteError("no folder"), exit_codes.MISUSE),
        (TracknowError("no database"), exit_codes.FAILED),
        (AccountError("twice", exit_codes.CONFLICT), exit_codes.CONFLICT),
    ],
)
def test_an_error_for_the_user_ends_with_its_code(
    error: TracknowError, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its lines is printed as an error; there is no traceback."""
    result = CliRunner().invoke(group_that_raises(error, monkeypatch), ["fail"])
    assert result.exit_code == code
    assert result.stderr.splitlines() == [f"Error: {line}" for line in str(error).splitlines()]


def test_an_interruption_has_a_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is neither a mistake nor a finding."""
    result = CliRunner().invoke(group_that_raises(KeyboardInterrupt(), monkeypatch), ["fail"])
    assert result.exit_code == exit_codes.INTERRUPTED


def group_that_raises(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> LazyGroup:
    """Return a group whose only command raises ``error``."""

    @click.command()
    def fail() -> NoReturn:
        raise error

    monkeypatch.setattr(sys.modules[__name__], "fail", fail, raising=False)
    return LazyGroup("program", places={"fail": Place(__name__, "Fail.")})
