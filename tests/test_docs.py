"""What the documents say is what the code does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from tools.write_docs import MADE, written
from tracknow_static.cli import cli as static
from tracknow_static.relay.operate.cli import cli as relay

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {"tracknow-static": static, "tracknow-relay": relay}


@pytest.mark.parametrize("document", MADE)
def test_what_is_made_from_the_code_is_up_to_date(document: str) -> None:
    """Tables of options, codes and variables are those of the declarations (`make docs`)."""
    assert (ROOT / document).read_text(encoding="utf-8") == written(document)


def _called() -> Iterator[tuple[str, list[str]]]:
    """Give every command line of ours that stands as code in a document."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
        pattern = r"(?<!install )(?<!\")(tracknow-(?:static|relay) [a-z][^`\n]*)"
        for line in re.findall(pattern, "\n".join(code)):
            words = re.split(r"\s#|&&|\s{3}|[|;)\"'\]]", line)[0]
            yield document.name, shlex.split(words)


CALLED = list(_called())


@pytest.mark.parametrize(("document", "words"), CALLED, ids=[" ".join(w) for _, w in CALLED])
def test_a_quoted_command_exists(document: str, words: list[str]) -> None:
    """Each command line in a document names a command and options that there are."""
    command: click.Command = COMMANDS[words[0]]
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"{document}: {' '.join(words)}"
        command, rest = found, rest[1:]
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    used = {word.partition("=")[0] for word in rest if word.startswith("--")}
    assert used <= known | {"--help"}, f"{document}: {' '.join(words)}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    """No command has to be found by chance."""
    text = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    group = COMMANDS[name]
    for command in group.list_commands(click.Context(group)):
        assert f"{name} {command}" in text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link and picture is there."""
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target
