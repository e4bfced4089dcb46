"""Writes the parts of the documents that are made from declarations in the code (`make docs`)."""

from __future__ import annotations

import re
from pathlib import Path

from tracknow_static import options
from tracknow_static.audit.codes import CODES
from tracknow_static.relay.config import VARIABLES
from tracknow_static.relay.deliver.schedule import STEPS
from tracknow_static.settings import OPTIONS

_ROOT = Path(__file__).resolve().parent.parent


def codes_table() -> str:
    """Give the table of finding codes in Markdown, without a final newline."""
    rows = [
        f"| `{code.name}` | {'info' if code.severity == 'note' else code.severity} "
        f"| {code.meaning} | {code.remedy} |"
        for code in CODES.values()
    ]
    return "\n".join(
        ["| code | severity | meaning | what mends it |", "| --- | --- | --- | --- |", *rows]
    )


def schedule() -> str:
    """Give the waits before a delivery is tried again, in words."""
    units = ((3600, "h"), (60, "min"), (1, "s"))

    def shown(seconds: float) -> str:
        size, unit = next(one for one in units if seconds >= one[0])
        return f"{seconds / size:g} {unit}"

    return ", ".join(shown(one) for one in STEPS)


# What is made, by document and by the name of its comments.
MADE: dict[str, dict[str, str]] = {
    "README.md": {"options": options.markdown_table(OPTIONS)},
    "docs/codes.md": {"codes": codes_table()},
    "docs/relay.md": {
        "relay variables": options.markdown_table(VARIABLES, noun="variable"),
        "relay schedule": schedule(),
    },
}


def replaced(text: str, name: str, content: str) -> str:
    """Give ``text`` with ``content`` between the two comments called ``name``."""
    pattern = re.compile(rf"(<!-- {name} -->(\n?)).*?(<!-- /{name} -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{content}{match[2]}{match[3]}", text)


def written(document: str) -> str:
    """Give a document as it should be."""
    text = (_ROOT / document).read_text(encoding="utf-8")
    for name, content in MADE[document].items():
        text = replaced(text, name, content.rstrip("\n"))
    return text


if __name__ == "__main__":
    for document in MADE:
        (_ROOT / document).write_text(written(document), encoding="utf-8")
