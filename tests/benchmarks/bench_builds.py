"""What the plugin costs a build of 1,000 pages, in MkDocs (Material) and in Pelican.

Builds with and without the plugin alternate, each in a process of its own and into a folder of its
own. Two measures, because wall times of whole builds scatter by more than the plugin costs: the
difference of the medians, and the time spent inside the plugin's own functions during those builds
(by the clock, and in processor time, which a busy machine disturbs less).
The same for a rebuild of `mkdocs serve` after one page was edited.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

GOAL = 0.01  # of the build's wall time

# Runs one build in this process and prints, as JSON, its wall time and the plugin's share of it.
TIMED = """
import functools, json, sys, time
spent = [0.0, 0.0]

def now():
    return time.perf_counter(), time.process_time()

def since(started):
    return [after - before for after, before in zip(now(), started)]

def timed(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        started = now()
        try:
            return function(*args, **kwargs)
        finally:
            spent[:] = [sum(pair) for pair in zip(spent, since(started))]
    return inner
"""
MKDOCS = (
    TIMED
    + """
import logging
import mkdocs_tracknow
from mkdocs.commands.build import build
from mkdocs.config import load_config
hooks = [name for name in vars(mkdocs_tracknow.TracknowPlugin) if name.startswith("on_")]
for name in hooks + ["load_config"]:
    setattr(mkdocs_tracknow.TracknowPlugin, name, timed(getattr(mkdocs_tracknow.TracknowPlugin, name)))
logging.disable()
config_file, site_dir = sys.argv[1:]

def once():
    spent[:] = 0.0, 0.0
    started = now()
    config = load_config(config_file, site_dir=site_dir)
    config.plugins.on_startup(command="serve", dirty=False)
    build(config)
    return *since(started), *spent

first = once()
with open("docs/section-0/page-0.md", "a") as page:
    page.write("edited\\n")
print(json.dumps([first, once()]))
"""
)
PELICAN = (
    TIMED
    + """
import logging
import pelican
import pelican.plugins.tracknow as plugin
for name in ("_check", "_begin", "_finish"):
    setattr(plugin, name, timed(getattr(plugin, name)))
logging.disable()
settings, output = sys.argv[1:]
started = now()
pelican.main(["-s", settings, "-o", output, "-q"])
print("\\n" + json.dumps([[*since(started), *spent]]))
"""
)

TEXT = "The kiln was lit before dawn, and nobody spoke until the first cup had been poured. " * 8
LINK = "https://buy.stripe.com/3cs00"


def _pages(number: int) -> list[str]:
    """Give page bodies in Markdown; one in ten sells something."""
    bodies = []
    for index in range(number):
        parts = [f"## Part {part}\n\n{TEXT}\n" for part in range(6)]
        if index % 10 == 0:
            parts.append(f"[Buy number {index}]({LINK}{index:04})\n")
        bodies.append("\n".join(parts))
    return bodies


def _write_mkdocs(folder: Path, number: int) -> None:
    docs = folder / "docs"
    docs.mkdir(parents=True)
    (docs / "index.md").write_text("# Shop\n")
    for index, body in enumerate(_pages(number - 1)):
        page = docs / f"section-{index // 40}" / f"page-{index}.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text(f"# Page {index}\n\n{body}")
    for name, plugins in (("plain", "[]"), ("ours", "[tracknow]")):
        # As Material advises for sites of this size: no page carries the menu of all others.
        theme = "theme: {name: material, font: false, features: [navigation.prune]}"
        (folder / f"{name}.yml").write_text(f"site_name: Shop\n{theme}\nplugins: {plugins}\n")


def _write_pelican(folder: Path, number: int) -> None:
    content = folder / "content"
    content.mkdir(parents=True)
    for index, body in enumerate(_pages(number)):
        head = f"Title: Article {index}\nDate: 2026-01-01 00:00\nSlug: article-{index}\n\n"
        (content / f"article-{index}.md").write_text(head + body)
    for name, plugins in (("plain", []), ("ours", ["tracknow"])):
        settings = {
            "SITENAME": "Shop",
            "PATH": "content",
            "TIMEZONE": "UTC",
            "FEED_ALL_ATOM": None,
            "CATEGORY_FEED_ATOM": None,
            "PLUGINS": plugins,
        }
        lines = "\n".join(f"{key} = {value!r}" for key, value in settings.items())
        (folder / f"{name}.py").write_text(lines)


def _build(folder: Path, program: str, config: str) -> list[list[float]]:
    output = folder / "output"
    shutil.rmtree(output, ignore_errors=True)
    ran = subprocess.run(
        [sys.executable, "-c", program, config, str(output)],
        cwd=folder,
        env={**os.environ, "DISABLE_MKDOCS_2_WARNING": "true"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    measured: list[list[float]] = json.loads(ran.stdout.strip().splitlines()[-1])
    return measured


def _compare(folder: Path, program: str, suffix: str, rounds: int, names: list[str]) -> bool:
    """Alternate builds and print one line for each of the things measured; say if all are good."""
    plain: list[list[list[float]]] = []
    ours: list[list[list[float]]] = []
    for number in range(rounds):
        pair = [(plain, f"plain{suffix}"), (ours, f"ours{suffix}")]
        for results, config in pair if number % 2 else reversed(pair):
            results.append(_build(folder, program, config))
    good = True
    for index, name in enumerate(names):
        without = statistics.median(run[index][0] for run in plain)
        with_it = statistics.median(run[index][0] for run in ours)
        inside = statistics.median(run[index][2] for run in ours)
        share = statistics.median(run[index][2] / run[index][0] for run in ours)
        of_processor = statistics.median(run[index][3] / run[index][1] for run in ours)
        times = [run[index][0] for run in plain]
        scatter = f"{(max(times) - min(times)) / without:.1%}" if rounds > 1 else "an unknown share"
        good = good and share <= GOAL
        print(
            f"{name:<26} {without:7.2f} s without, {with_it:7.2f} s with "
            f"({(with_it - without) / without:+.1%}; builds alike scatter by {scatter})"
            f"   inside the plugin {inside * 1000:6.0f} ms = {share:.2%}"
            f" ({of_processor:.2%} of processor time)",
            flush=True,
        )
    return good


def main() -> int:
    """Measure, print, and give 1 if the plugin's own time exceeds the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=1000, help="pages of each site")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of builds")
    options = parser.parse_args()
    print(f"{options.pages:,} pages, {options.rounds} pairs of builds, medians; goal {GOAL:.0%}")
    with tempfile.TemporaryDirectory(prefix="bench-builds-") as scratch:
        mkdocs, pelican = Path(scratch, "mkdocs"), Path(scratch, "pelican")
        _write_mkdocs(mkdocs, options.pages)
        _write_pelican(pelican, options.pages)
        names = ["MkDocs, Material: build", "MkDocs, Material: rebuild"]
        good = _compare(mkdocs, MKDOCS, ".yml", options.rounds, names)
        good &= _compare(pelican, PELICAN, ".py", options.rounds, ["Pelican: build"])
    print("goal met" if good else "GOAL MISSED")
    return not good


if __name__ == "__main__":
    sys.exit(main())
