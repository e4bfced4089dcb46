"""Writes the parts of README.md that are made from declarations in the code (`make docs`)."""

from __future__ import annotations

import re
from pathlib import Path

from tracknow_static.settings import OPTIONS, Option

README = Path(__file__).resolve().parent.parent / "README.md"


def _cell(option: Option) -> str:
    if option.kind == "list":
        return "none"
    if option.default is None:
        return "none"
    return f"`{str(option.default).lower() if option.kind == 'flag' else option.default}`"


def options_table() -> str:
    """Give the table of options in Markdown, without a final newline."""
    rows = [
        f"| `{option.name}` | {_cell(option)} | {option.doc} Accepts {option.accepts}. |"
        for option in OPTIONS.values()
    ]
    return "\n".join(["| option | default | meaning |", "| --- | --- | --- |", *rows])


def replaced(text: str, name: str, content: str) -> str:
    """Give ``text`` with ``content`` between the two comments called ``name``."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


if __name__ == "__main__":
    README.write_text(
        replaced(README.read_text(encoding="utf-8"), "options", options_table()), encoding="utf-8"
    )
