"""One pass over a built site: what is done, what is left alone, what is reported."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.page.parts import (
    ASSET_NAME,
    PAGE,
    SCRIPT,
    SETTINGS,
    TAGS,
    make_site,
    process_site,
    transform,
)
from tracknow_static.errors import SiteError
from tracknow_static.page import writing
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from tracknow_static.page.report import SiteReport

LINK = b"<!doctype html><head><meta charset=utf-8></head>\n<a href=https://buy.stripe.com/test_1>"


def inject(site: Path, settings: Settings = SETTINGS, **more: object) -> SiteReport:
    """Pass over a site with the script made by hand."""
    return process_site(site, settings, **more)  # type: ignore[arg-type]


def state(site: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return inode, time and bytes of every file."""
    return {
        str(path.relative_to(site)): (
            path.stat().st_ino,
            path.stat().st_mtime_ns,
            path.read_bytes(),
        )
        for path in site.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_page_carries_the_script(tmp_path: Path, jobs: int) -> None:
    """Each page gets one insertion whose URL leads from its depth to the asset; nothing else."""
    made = make_site(tmp_path, 700)
    (tmp_path / "data.json").write_text("{}")
    report = inject(tmp_path, jobs=jobs)
    for path, before in made.items():
        tags = SCRIPT.tags("../" * path.count("/"))
        assert (tmp_path / path).read_bytes() == before.replace(b"utf-8>", b"utf-8>" + tags)
    assert {path.name for path in tmp_path.rglob("*")} == {
        *(Path(path).name for path in made),
        *("sub", "assets", "data.json", ASSET_NAME),
    }
    assert (report.pages, report.changed, report.unchanged) == (700, 700, 0)
    assert report.summary() == "tracknow: 700 pages carry the script"


def test_second_run_writes_nothing(tmp_path: Path) -> None:
    """A pass over a site that is as it should be leaves inodes and times alone."""
    make_site(tmp_path)
    inject(tmp_path)
    before = state(tmp_path)
    report = inject(tmp_path)
    assert state(tmp_path) == before
    assert report.clean
    assert (report.pages, report.changed) == (5, 0)


def test_remove_is_the_exact_inverse(tmp_path: Path) -> None:
    """Removal gives back every byte, and takes the script's file and its folder away."""
    made = make_site(tmp_path)
    inject(tmp_path)
    report = process_site(tmp_path, removing=True)
    assert {path: content for path, (_, _, content) in state(tmp_path).items()} == made
    assert not (tmp_path / "assets").exists()
    assert report.summary() == "tracknow: 5 pages lost the script"


def test_old_assets_do_not_pile_up(tmp_path: Path) -> None:
    """A new version takes the old file away, wherever it was; what others made stays."""
    make_site(tmp_path)
    old = replace(SCRIPT, asset=b"old", asset_path="js/carry.cba06b57.js")
    process_site(tmp_path, script=old)
    foreign = tmp_path / "js" / "carry.00000000.js"
    foreign.write_bytes(b"not ours")
    report = inject(tmp_path)
    assert report.old_assets == ["js/carry.cba06b57.js"]
    assert [path.name for path in (tmp_path / "js").iterdir()] == [foreign.name]
    assert b"cba06b57" not in (tmp_path / "p0.html").read_bytes()


def test_check_changes_nothing(tmp_path: Path) -> None:
    """With ``check`` the report lists what would change, and no file does."""
    make_site(tmp_path)
    before = state(tmp_path)
    report = inject(tmp_path, check=True)
    assert state(tmp_path) == before
    assert not report.clean
    assert report.summary() == "tracknow: 5 of 5 pages would change"


def test_excluded_and_opted_out(tmp_path: Path) -> None:
    """An excluded page carries no script, and loses the one it had."""
    made = make_site(tmp_path)
    inject(tmp_path)
    settings = Settings.from_mapping({"exclude": ["sub/p1.html"]})
    report = inject(tmp_path, settings, opted_out=["p0.html"])
    for path in ("p0.html", "sub/p1.html"):
        assert (tmp_path / path).read_bytes() == made[path]
    assert report.summary() == "tracknow: 3 pages carry the script (2 excluded)"


def test_page_served_at_any_depth(tmp_path: Path) -> None:
    """404.html names the asset from the root of the site, also under a sub-path."""
    (tmp_path / "404.html").write_bytes(PAGE)
    inject(tmp_path, root_url="https://example.com/shop/")
    assert b'src="https://example.com/shop/assets/' in (tmp_path / "404.html").read_bytes()
    inject(tmp_path)
    assert b'src="/assets/' in (tmp_path / "404.html").read_bytes()


def test_report_counts_and_findings(tmp_path: Path) -> None:
    """The last line counts what happened; each finding has its place."""
    make_site(tmp_path, 2)
    (tmp_path / "buy.html").write_bytes(LINK)
    (tmp_path / "part.html").write_bytes(b"<p>part</p>")
    (tmp_path / "x.xhtml").write_bytes(b"<html xmlns='http://www.w3.org/1999/xhtml'/>")
    report = inject(tmp_path)
    assert report.summary() == (
        "tracknow: 3 pages carry the script (2 skipped: 1 XHTML, 1 fragment); "
        "1 payment link on 1 page"
    )
    found = [str(finding) for finding in report.findings if finding.code == "TN101"]
    assert [text[:14] + text[-7:] for text in found] == ["buy.html:2: pa[TN101]"]


def test_lines_are_those_of_the_written_page(tmp_path: Path) -> None:
    """With a script of several lines in the page a finding still names the line to go to."""
    (tmp_path / "buy.html").write_bytes(LINK)
    inline = replace(SCRIPT, inline="\n\n", asset=None)
    report = process_site(tmp_path, script=inline)
    (line,) = [finding.line for finding in report.findings]
    assert b"test_1" in (tmp_path / "buy.html").read_bytes().split(b"\n")[line - 1]


def test_links_to_sources_are_cut_loose(tmp_path: Path) -> None:
    """A page that is a hard or a symbolic link changes; the author's file never does."""
    site, source = tmp_path / "site", tmp_path / "source"
    made = make_site(source)
    (site / "sub").mkdir(parents=True)
    for number, path in enumerate(sorted(made)):
        if number % 2:
            (site / path).hardlink_to(source / path)
        else:
            (site / path).symlink_to(source / path)
    before = state(source)
    assert inject(site).changed == 5
    assert state(source) == before
    for path in made:
        assert TAGS[:20] in (site / path).read_bytes()
        assert not (site / path).is_symlink()


def test_hard_linked_pages_of_one_site(tmp_path: Path) -> None:
    """Two names of one page become two pages with their own URLs."""
    make_site(tmp_path, 1)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "same.html").hardlink_to(tmp_path / "p0.html")
    inject(tmp_path)
    assert b'"assets/' in (tmp_path / "p0.html").read_bytes()
    assert b'"../assets/' in (tmp_path / "sub" / "same.html").read_bytes()


def test_open_page_is_not_written_to(tmp_path: Path) -> None:
    """A server that has a page open goes on to read the page it opened."""
    make_site(tmp_path, 40)
    with (tmp_path / "p0.html").open("rb") as served:
        inject(tmp_path)
        assert served.read() == PAGE % 0


def test_symlinks_within_the_site(tmp_path: Path) -> None:
    """A link to a page of the same folder stays a link; loops and dangling links are no pages."""
    make_site(tmp_path, 1)
    (tmp_path / "alias.html").symlink_to("p0.html")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.html").symlink_to("self.html")
    (tmp_path / "gone.html").symlink_to("nowhere.html")
    (tmp_path / "folder.html").mkdir()
    report = inject(tmp_path)
    assert (report.pages, report.failures) == (1, [])
    assert (tmp_path / "alias.html").readlink() == Path("p0.html")


def test_asset_folder_that_leads_out_of_the_site(tmp_path: Path) -> None:
    """No file is put into a source folder through a linked folder; the pages stay as they were."""
    site, source = tmp_path / "site", tmp_path / "source"
    source.mkdir()
    make_site(site)
    (site / "assets").symlink_to(source)
    before = state(site)
    (failure,) = inject(site).failures
    assert "a link that leads out of the site; no page was changed" in str(failure)
    assert state(site) == before
    assert list(source.iterdir()) == []


def test_mode_bits_are_kept(tmp_path: Path) -> None:
    """A page keeps its mode, whatever the page before it had."""
    made = make_site(tmp_path, 9)
    modes = [0o644, 0o600, 0o444, 0o755, 0o640]
    for number, path in enumerate(made):
        (tmp_path / path).chmod(modes[number % 5])
    inject(tmp_path)
    for number, path in enumerate(made):
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == modes[number % 5]


def test_shrinking_page_leaves_no_rest(tmp_path: Path) -> None:
    """A short page that follows a long one is short."""
    (tmp_path / "a.html").write_bytes(PAGE + b"x" * 100_000)
    (tmp_path / "b.html").write_bytes(PAGE)
    inject(tmp_path)
    assert (tmp_path / "b.html").read_bytes() == transform(PAGE).page


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe.html",
        b"new\nline.html",
        b"sp ace & 'quote'.HTM",
        "ж表.html".encode(),
        b"-rf.html",
    ],
)
def test_odd_names(tmp_path: Path, name: bytes) -> None:
    """Any name that a file system takes is a page's name."""
    page = tmp_path / os.fsdecode(name)
    page.write_bytes(LINK)
    report = inject(tmp_path)
    assert (report.pages, report.failures) == (1, [])
    assert all(str(finding).encode() for finding in report.findings)
    assert TAGS in page.read_bytes()


def test_page_of_40_megabytes(tmp_path: Path) -> None:
    """A page of 40 MB is read for its links and written like any other."""
    row = b"<p><a href=/x>" + b"word " * 400 + b"</a>\n"
    page = b"<!doctype html><head><meta charset=utf-8></head>" + row * (40_000_000 // len(row))
    (tmp_path / "big.html").write_bytes(page + LINK)
    report = inject(tmp_path)
    assert report.links == 1
    assert (tmp_path / "big.html").read_bytes() == page.replace(b"utf-8>", b"utf-8>" + TAGS) + LINK


def test_missing_folder() -> None:
    """A folder that is not there is an error in words."""
    with pytest.raises(SiteError, match=r"no such folder\. Build the site first"):
        inject(Path("/nonexistent/site"))


def test_what_killed_runs_left_is_cleared(tmp_path: Path) -> None:
    """A temporary file of a process that is gone goes; one of a living process stays."""
    make_site(tmp_path)
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    left = tmp_path / f".tracknow-{int(gone.stdout)}-0.tmp"
    living = tmp_path / f".tracknow-{os.getppid()}-0.tmp"
    left.write_bytes(b"x")
    living.write_bytes(b"x")
    inject(tmp_path)
    assert not left.exists()
    assert living.exists()


@pytest.mark.parametrize("answer", [None, errno.EINVAL, errno.EXDEV])
def test_file_system_that_cannot_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int | None
) -> None:
    """Where two files cannot be exchanged in one step a page is replaced in one, all the same."""
    made = make_site(tmp_path)
    exchange = None if answer is None else lambda _one, _other: answer
    monkeypatch.setattr(writing, "_exchange", exchange)
    source = tmp_path / "p0.html"
    with source.open("rb") as served:
        assert inject(tmp_path).changed == 5
        assert served.read() == made["p0.html"]
    assert TAGS in source.read_bytes()
    assert list(tmp_path.rglob(".tracknow-*")) == []
