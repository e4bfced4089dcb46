"""Help texts, option texts and messages use the plain words that ``wording.py`` asks for."""

from __future__ import annotations

import pytest

from tests.help_texts import COMMANDS, help_text
from tests.wording import avoided_words
from tracknow_static import exit_codes
from tracknow_static.page.codes import CODES
from tracknow_static.relay.config import VARIABLES
from tracknow_static.settings import OPTIONS


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
