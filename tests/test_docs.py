"""What the README says is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from tools.write_docs import options_table

README = Path(__file__).resolve().parent.parent / "README.md"


def test_the_readme_lists_every_option() -> None:
    """The table of options is made from the declaration, and is up to date (`make docs`)."""
    text = README.read_text(encoding="utf-8")
    shown = re.search(r"<!-- options -->\n(.*?)\n<!-- /options -->", text, re.DOTALL)
    assert shown is not None
    assert shown.group(1) == options_table()
