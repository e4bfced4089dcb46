"""The script put into Debian's documentation packages, judged by a parser that is not ours.

usage: bench_debian_docs.py [--every N] [--packages NAME…] [--folder FOLDER]

Fetches the packages with apt-get (or takes a folder of pages), puts the script into a copy, and
counts pages where lexbor sees anything but one capture and one carry script more, the first to run
in head. Then: a second run must write nothing, and removal must give back every byte.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("python3.11-doc", "postgresql-doc-15", "git-doc", "apache2-doc")


def fetch(packages: list[str], folder: Path) -> Path:
    """Download and unpack packages; give the folder of their files."""
    debs, files = folder / "debs", folder / "files"
    debs.mkdir()
    subprocess.run(
        ["apt-get", "download", "-qq", *packages], cwd=debs, check=True, stderr=subprocess.DEVNULL
    )
    for deb in sorted(debs.iterdir()):
        subprocess.run(["dpkg", "-x", deb, files / deb.name.partition("_")[0]], check=True)
    return files


def pages_of(folder: Path) -> list[Path]:
    """Give every page that is a file of its own, in order."""
    return sorted(
        Path(base, name)
        for base, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith((".html", ".htm")) and not Path(base, name).is_symlink()
    )


def command(name: str, site: Path, *more: str) -> tuple[dict[str, object], float]:
    """Run a command of ours; give what it tells and its seconds."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tracknow_static", name, site, "--json", *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        sys.exit(f"{name}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    reported: dict[str, object] = json.loads(done.stdout)
    return reported, time.perf_counter() - started


def text_of(page: bytes) -> str | bytes:
    """Give lexbor a page without byte order mark, which it takes for text."""
    return page.removeprefix(b"\xef\xbb\xbf")


def verdict(before: bytes, after: bytes) -> str:
    """Say what an independent parser sees of the change."""
    if before == after:
        return "no script"
    tree = LexborHTMLParser(text_of(after))
    ours = tree.css("script[data-tracknow]")
    if [node.parent.tag for node in ours if node.parent] != ["head", "head"]:
        return "not in head"
    first = "data-tracknow" in tree.css("script")[0].attributes
    for node in ours:
        node.decompose()
    was = LexborHTMLParser(text_of(before)).html or ""
    # White space before the first thing in head is dropped by parsers, behind a tag it is kept.
    if "".join(was.split()) != "".join((tree.html or "").split()):
        return "damaged"
    return "fine" if first else "not first to run"


def main() -> int:
    """Run the whole thing; give 1 if a page is damaged or a byte is not given back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="judge every Nth page (default: 1)")
    parser.add_argument("--packages", nargs="+", default=list(PACKAGES))
    parser.add_argument("--folder", type=Path, help="take these pages in place of packages")
    options = parser.parse_args()
    if options.folder is None and not (shutil.which("apt-get") and shutil.which("dpkg")):
        print("needs apt-get and dpkg, or --folder")
        return 0
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as scratch:
        source = options.folder or fetch(options.packages, Path(scratch))
        site = Path(scratch, "site")
        shutil.copytree(source, site, symlinks=True)
        pages = pages_of(site)
        size = sum(page.stat().st_size for page in pages) / 1e6
        print(f"{len(pages):,} pages, {size:,.0f} MB")
        reported, seconds = command("inject", site)
        print(f"inject: {seconds:.1f} s; {reported['summary']}")
        counts: Counter[str] = Counter()
        for page in pages[:: options.every]:
            before = source / page.relative_to(site)
            if before.is_symlink():
                continue
            what = verdict(before.read_bytes(), page.read_bytes())
            counts[what] += 1
            if what == "damaged":
                print(f"  damaged: {page.relative_to(site)}")
        print(f"judged: {dict(counts)}")
        reported, seconds = command("inject", site, "--check")
        print(f"second run: {seconds:.1f} s, {reported['changed']} pages would change")
        changed = reported["changed"]
        _, seconds = command("remove", site)
        wrong = [
            page
            for page in pages
            if page.read_bytes() != (source / page.relative_to(site)).read_bytes()
        ]
        print(f"remove: {seconds:.1f} s; {len(wrong)} pages differ from the original")
    return bool(counts["damaged"] or changed or wrong)


if __name__ == "__main__":
    sys.exit(main())
