"""What all commands share on the command line: formats and exit codes."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from tracknow_static import exit_codes
from tracknow_static.click_options import format_option


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
