"""Writes the parts of the documents that are made from declarations in the code (`make docs`).

usage: python -m tools.write_docs
"""

from __future__ import annotations

import gzip
import html
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracknow_static import options
from tracknow_static.browser.compose import CATEGORIES, compose
from tracknow_static.cli import cli as static
from tracknow_static.exit_codes import MEANINGS
from tracknow_static.page.codes import CODES
from tracknow_static.relay.config import VARIABLES
from tracknow_static.relay.deliver.schedule import STEPS
from tracknow_static.relay.operate.cli import cli as relay
from tracknow_static.relay.operate.conditions import CODES as CONDITIONS
from tracknow_static.settings import OPTIONS, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = compose(Settings())
PROGRAMS: dict[str, click.Group] = {"tracknow-static": static, "tracknow-relay": relay}

# The members of ``window.tracknow`` that are public, and what the script writes to the console.
# A test holds both against the script's source.
API = {
    "clickId()": "The click id, or null if there is none, or none may be used yet.",
    "decorate(url)": "The URL as a string: with the click id, and as the browser asks for it, if it "
    "leads to a payment page, unchanged if it does not.",
    "consent(given)": "For a consent manager of your own: `true` when the visitor agrees, `false` "
    "when the visitor refuses or takes it back.",
    "ready": "A promise of `window.tracknow` itself, fulfilled when the stored id has been read. "
    "It is missing until the script file has run.",
}
MESSAGES = {
    "TNB1": "The id that counts is stored.",
    "TNB2": "The id is in memory only: neither the cookie nor localStorage can keep it.",
    "TNB3": "There is no id.",
    "TNB4": "The query of the address has no click id that Stripe accepts. What it says is ignored.",
    "TNB5": "This URL or form carries the id.",
    "TNB6": "This link has a reference of the merchant's own, which stays.",
    "TNB7": "Consent is refused or taken back.",
}


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(words: str) -> str:
    """Return ``words`` as Markdown for a cell: markup is escaped outside of code."""
    parts = words.split("`")
    parts[::2] = [html.escape(part, quote=False).replace("|", "\\|") for part in parts[::2]]
    return "`".join(parts)


def codes_table() -> str:
    """Return the table of finding codes in Markdown."""
    rows = (
        (
            f"`{code.name}`",
            code.severity,
            _text(code.meaning),
            _text(code.fix),
        )
        for code in CODES.values()
    )
    return _table(("code", "severity", "meaning", "what fixes it"), rows)


def consent_table() -> str:
    """Return the table of consent managers in Markdown."""
    rows = ((f"`{manager}`", f"`{category}`") for manager, category in CATEGORIES.items())
    return _table(("`consent`", "category, unless `consent_category` names one"), rows)


def schedule() -> str:
    """Return the waits before a delivery is tried again, in words."""
    units = ((3600, "h"), (60, "min"), (1, "s"))

    def in_words(seconds: float) -> str:
        size, unit = next(unit for unit in units if seconds >= unit[0])
        return f"{seconds / size:g} {unit}"

    return ", ".join(in_words(seconds) for seconds in STEPS)


def commands() -> str:
    """Return all commands of both programs in Markdown."""
    return "\n\n".join(
        section for name, program in PROGRAMS.items() for section in _program(name, program)
    )


def _program(name: str, program: click.Group) -> Iterator[str]:
    yield f"## {name}"
    yield from _command(name, program)
    for path, command in subcommands(name, program):
        yield f"### {path}"
        yield from _command(path, command)


def subcommands(path: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Yield every command below ``group`` with its full name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from subcommands(f"{path} {name}", command)


def _command(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{path} {pieces}\n```"
    yield _text(inspect.cleandoc(command.help or ""))
    own = [option for option in command.params if not _is_setting(option)]
    rows = [row for option in own if (row := _flag(option, context))]
    if rows:
        yield _table(("option", "meaning"), rows)
    if len(own) < len(command.params):
        yield (
            "Each [option](options.md) is a flag, too: `window_days` is `--window-days`. "
            "An option with several values is repeated."
        )
    if command.epilog:
        yield from _epilog(inspect.cleandoc(command.epilog))


def _is_setting(option: click.Parameter) -> bool:
    return option.name in OPTIONS


def _flag(option: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    if not isinstance(option, click.Option) or option.hidden:
        return None
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    meaning = f"{(option.help or '').rstrip('.')}."
    if isinstance(option.type, click.Choice):
        meaning += f" One of {', '.join(f'`{choice}`' for choice in option.type.choices)}."
    elif not option.is_flag:
        names += f" {option.make_metavar(context)}"
    if option.show_default and not option.is_flag and option.default not in (None, ()):
        meaning += f" Default: `{option.default}`."
    return _text(names), _text(meaning)


def _epilog(epilog: str) -> Iterator[str]:
    for part in epilog.split("\n\n"):
        if part.startswith("\b"):
            head, _, rows = part.removeprefix("\b").strip("\n").partition("\n")
            yield f"{head}\n\n```text\n{inspect.cleandoc(rows)}\n```"
        else:
            yield _text(part)


def exit_codes_table() -> str:
    """Return the table of exit codes in Markdown."""
    rows = ((f"`{code}`", _text(meaning)) for code, meaning in MEANINGS.items())
    return _table(("exit code", "meaning"), rows)


def script_size() -> str:
    """Return the size of both parts together after gzip, in bytes, rounded to hundreds."""
    parts = SCRIPT.inline or "", (SCRIPT.asset or b"").decode("ascii")
    return f"{round(len(gzip.compress(''.join(parts).encode('ascii'), 9)), -2):,}"


def deploy(name: str, language: str) -> dict[str, str]:
    """Return a file of ``sample_site/deploy`` as a block of Markdown, by its name."""
    text = (ROOT / "sample_site" / "deploy" / name).read_text(encoding="utf-8")
    return {name: f'```{language} title="{name}"\n{text}```'}


# What is made, by document and by the name of its comments.
MADE: dict[str, dict[str, str]] = {
    "README.md": {"options": options.markdown_table(OPTIONS)},
    "docs/changelog.md": {
        "changelog": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").rstrip()
    },
    "docs/explanation/browser.md": {"tag size": str(len(SCRIPT.capture_tag))},
    "docs/explanation/script-place.md": {
        "tag size": str(len(SCRIPT.capture_tag)),
        "script size": script_size(),
    },
    "docs/how-to/consent.md": {"consent managers": consent_table()},
    "docs/how-to/relay.md": {
        **deploy("tracknow-relay.env.example", "ini"),
        **deploy("Dockerfile", "dockerfile"),
        **deploy("passenger_wsgi.py", "python"),
        **deploy("pythonanywhere_wsgi.py", "python"),
    },
    "docs/how-to/reverse-proxy.md": {
        **deploy("Caddyfile", "text"),
        **deploy("nginx.conf", "nginx"),
    },
    "docs/how-to/systemd.md": deploy("tracknow-relay.service", "ini"),
    "docs/reference/codes.md": {"codes": codes_table()},
    "docs/reference/commands.md": {"commands": commands()},
    "docs/reference/exit-codes.md": {"exit codes": exit_codes_table()},
    "docs/reference/javascript.md": {
        "api": _table(
            ("member", "meaning"), ((f"`{name}`", meaning) for name, meaning in API.items())
        ),
        "debug": _table(
            ("message", "meaning"), ((f"`{code}`", meaning) for code, meaning in MESSAGES.items())
        ),
    },
    "docs/reference/options.md": {"options": options.markdown_table(OPTIONS)},
    "docs/reference/relay.md": {
        "conditions": _table(
            ("code", "when"), ((f"`{code}`", meaning) for code, meaning in CONDITIONS.items())
        ),
        "relay schedule": schedule(),
    },
    "docs/reference/variables.md": {
        "relay variables": options.markdown_table(VARIABLES, noun="variable")
    },
}


def with_content(text: str, name: str, content: str) -> str:
    """Return ``text`` with ``content`` between the two comments called ``name``."""
    pattern = re.compile(rf"(<!-- {name} -->(\n?)).*?(<!-- /{name} -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{content}{match[2]}{match[3]}", text)


def written(document: str) -> str:
    """Return a document as it should be."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for name, content in MADE[document].items():
        text = with_content(text, name, content)
    return text


if __name__ == "__main__":
    for document in MADE:
        (ROOT / document).write_text(written(document), encoding="utf-8")
