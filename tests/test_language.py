"""Help texts, option texts and messages use the plain words that ``wording.py`` asks for."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.help_texts import COMMANDS, help_text
from tests.wording import avoided_words
from tracknow_static import exit_codes
from tracknow_static.page.codes import CODES
from tracknow_static.relay.config import VARIABLES
from tracknow_static.settings import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path for folder in ("tracknow_static", "plugins") for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_in_plain_words(name: str) -> None:
    """No command's ``--help`` uses a word of the list."""
    assert avoided_words(help_text(name)) == []


def test_declared_texts_are_in_plain_words() -> None:
    """Options, variables, finding codes and exit codes use no word of the list."""
    texts = [
        *(f"{option.doc} {option.accepts}" for option in OPTIONS.values()),
        *(f"{variable.doc} {variable.accepts}" for variable in VARIABLES.values()),
        *(f"{code.meaning} {code.fix}" for code in CODES.values()),
        *exit_codes.MEANINGS.values(),
    ]
    assert avoided_words("\n".join(texts)) == []


def messages(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every string in a module that holds a space."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_messages_are_in_plain_words(path: Path) -> None:
    """No message, log line or docstring of a module uses a word of the list."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {words}"
        for line, text in messages(path.read_text(encoding="utf-8"))
        for words in avoided_words(text)
    ]
    assert found == []
