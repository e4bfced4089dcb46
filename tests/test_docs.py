"""What the documents say is what the program does."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from mkdocs.utils.yaml import yaml_load

from tests.wording import avoided_words
from tools.write_docs import API, MADE, MESSAGES, PROGRAMS, subcommands, written
from tracknow_static.config import load
from tracknow_static.page.codes import CODES
from tracknow_static.relay.config import VARIABLES
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
DEPLOY = ROOT / "sample_site" / "deploy"
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    DEPLOY / "README.md",
    *sorted(DOCS.rglob("*.md")),
]
# The documents show these files as they are.
DEPLOY_FILES = [
    file for file in sorted(DEPLOY.iterdir()) if file.suffix != ".md" and file.is_file()
]
BIN = Path(sys.executable).parent
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "NO_MKDOCS_2_WARNING": "true",
}


def _name(document: object) -> str:
    return str(document.relative_to(ROOT)) if isinstance(document, Path) else str(document)


@pytest.mark.parametrize("document", MADE)
def test_what_is_made_from_the_code_is_up_to_date(document: str) -> None:
    """Generated tables are those of the declarations (`make docs`)."""
    assert (ROOT / document).read_text(encoding="utf-8") == written(document)


def _called() -> Iterator[tuple[str, list[str]]]:
    """Yield every command line of ours that a document quotes as code."""
    start = r"(?:(?<=bin/)|(?<![/\w\"-]))(?<!install )(?<!-g )"
    for document in DOCUMENTS:
        if document.name == "commands.md":
            continue  # made from the commands
        text = document.read_text(encoding="utf-8")
        code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
        pattern = start + r"(tracknow-(?:static|relay) [a-z-][^`\n]*)"
        for line in re.findall(pattern, "\n".join(code)):
            words = re.split(r"\s#|&&|\s{3}|[|;)\"'\]…]", line)[0]
            yield _name(document), shlex.split(words)


CALLED = list(_called())


@pytest.mark.parametrize(("document", "words"), CALLED, ids=[" ".join(w) for _, w in CALLED])
def test_a_quoted_command_exists(document: str, words: list[str]) -> None:
    """Each command line in a document names a command and options that exist."""
    command: click.Command = PROGRAMS[words[0]]
    known, rest = _options(command), words[1:]
    if "--env-file" in rest[:1]:
        rest = rest[2:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"{document}: {' '.join(words)}"
        command, rest = found, rest[1:]
        known = _options(command)
    used = {word.partition("=")[0] for word in rest if word.startswith("--")}
    assert used <= known, f"{document}: {' '.join(words)}"


def _options(command: click.Command) -> set[str]:
    declared = (
        name for option in command.params for name in (*option.opts, *option.secondary_opts)
    )
    return {*declared, "--help"}


def _examples(language: str) -> Iterator[tuple[str, str]]:
    """Yield every block of code in ``language``, with its document."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL):
            yield _name(document), block


def test_examples_of_mkdocs_yml_are_accepted() -> None:
    """The options in each example for MkDocs exist and have values that are accepted."""
    given = [
        plugin["tracknow"]
        for _, block in _examples("yaml")
        if "plugins:" in block
        for plugin in _mapping(yaml_load(block)).get("plugins", ())
        if isinstance(plugin, dict) and "tracknow" in plugin
    ]
    assert len(given) > 5
    for options in given:
        Settings.from_mapping(options)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def test_examples_of_python_configurations_are_accepted() -> None:
    """The options in each example for Pelican or Sphinx exist and have accepted values."""
    given = 0
    for _, block in _examples("python"):
        names: dict[str, Any] = {}
        exec(block, names)
        for name in {"TRACKNOW", "tracknow"} & names.keys():
            Settings.from_mapping(names[name])
            given += 1
    assert given > 1


def test_examples_of_tracknow_toml_are_accepted(tmp_path: Path) -> None:
    """The options and codes in each example of tracknow.toml exist."""
    file = tmp_path / "tracknow.toml"
    blocks = [block for _, block in _examples("toml") if "netlify.toml" not in block]
    assert len(blocks) > 1
    for block in blocks:
        file.write_text(block, encoding="utf-8")
        assert load({}, file=file).severity.keys() <= CODES.keys()


def test_variables_in_the_documents_exist() -> None:
    """No document names a variable of the relay that does not exist."""
    known = set(VARIABLES)
    known |= {f"{name}_FILE" for name in known}
    for document in DOCUMENTS:
        named = set(re.findall(r"TRACKNOW_RELAY_\w+", document.read_text(encoding="utf-8")))
        assert named <= known, document


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_is_documented(program: str) -> None:
    """A reader of the pages, the generated reference aside, meets every command."""
    pages = (page for page in DOCUMENTS if page.name != "commands.md")
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    for path, _ in subcommands(program, PROGRAMS[program]):
        assert path in text, path


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link and picture is there."""
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_files_of_the_source_exist(document: Path) -> None:
    """Every file or folder of the source that a document names is there."""
    ours = r"`((?:tests|tools|sample_site|tracknow_static|plugins|docs)/[\w./-]+)`"
    for named in re.findall(ours, document.read_text(encoding="utf-8")):
        assert (ROOT / named).exists(), named


@pytest.mark.parametrize("document", [*DOCUMENTS, *DEPLOY_FILES], ids=_name)
def test_words_are_plain(document: Path) -> None:
    """No document uses a word of the list in wording.py."""
    text = document.read_text(encoding="utf-8")
    for made in MADE.get(_name(document), ()):
        # What comes from the code is held against the list where it is declared.
        text = re.sub(rf"<!-- {made} -->.*?<!-- /{made} -->", "", text, flags=re.DOTALL)
    assert avoided_words(text) == []


def test_readme_is_short() -> None:
    """The README is read in one sitting."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160


def test_the_javascript_api_is_documented() -> None:
    """The public members of window.tracknow and its console messages are those of the script."""
    sources = (ROOT / "tracknow_static" / "browser" / "src").rglob("*.js")
    script = "".join(source.read_text(encoding="utf-8") for source in sources)
    members = set(re.findall(r"\bapi\.(\w\w+) = ", script))
    assert members == {re.split(r"\W", member)[0] for member in API}
    codes = "".join(re.findall(r"\blog\(([^;]+)", script))
    assert {f"TNB{code}" for code in re.findall(r"\b\d\b", codes)} == set(MESSAGES)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = ["mkdocs", "build", "--strict", "--config-file", str(ROOT / "mkdocs.yml")]
    command += ["--site-dir", str(folder)]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return folder


def test_our_check_finds_nothing_in_the_documentation(site: Path) -> None:
    """The documentation is a real site: each page carries the script, and none leads to Stripe."""
    command = ["tracknow-static", "check", str(site), "--fail-on", "warning"]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, cwd=site.parent)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    pages = [*site.rglob("*.html")]
    assert len(pages) > len([*DOCS.rglob("*.md")])
    assert all(page.read_bytes().count(b"<script data-tracknow>") == 1 for page in pages)


def test_the_manifest_is_documented(site: Path) -> None:
    """The table of the manifest has a row for each key of a real one, and no other."""
    manifest = json.loads((site / "assets" / "tracknow.json").read_text(encoding="utf-8"))
    table = (DOCS / "reference" / "manifest.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert documented == manifest.keys()


def test_the_documentation_asks_no_other_host(site: Path) -> None:
    """A page of the documentation loads nothing from elsewhere."""
    loaded = (
        r"<(?:script|img|iframe|link rel=\"stylesheet\")[^>]*?(?:src|href)=\"?(https?://[^\"> ]+)"
    )
    for page in site.rglob("*.html"):
        assert re.findall(loaded, page.read_text(encoding="utf-8")) == [], page


# What needs a network, another environment or a browser; a person does it.
SKIPPED = ("python3 -m venv", ". .venv/bin/activate", "pip install", "mkdocs serve")
MARK = "--- end of a block"


def test_the_tutorial_works(tmp_path: Path) -> None:
    """The tutorial's commands, in order, print what it shows after each."""
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    script = "exec 2>&1\n"
    shown: list[tuple[int, str]] = []
    for kind, block in re.findall(r"```(sh|text)\n(.*?)```", text, re.DOTALL):
        if kind == "text":
            shown.append((script.count(MARK) - 1, block.rstrip("\n")))
            continue
        lines = (line for line in block.splitlines() if not line.startswith(SKIPPED))
        script += "\n".join((*lines, f"echo '{MARK}'\n"))
    command = ["bash", "-c", script]
    ran = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, cwd=tmp_path)
    outputs = ran.stdout.split(MARK)
    assert len(shown) == 5
    for number, block in shown:
        assert block in outputs[number], outputs[number]
