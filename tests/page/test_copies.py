"""Compressed copies beside pages, and files that are pages without being called so."""

from __future__ import annotations

import gzip
import json
import sys
from typing import TYPE_CHECKING

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from tests.page.parts import PAGE, TAGS, process_site, state
from tracknow_static.page.copies import compress, decompress

if TYPE_CHECKING:
    from pathlib import Path

    from tracknow_static.page.report import SiteReport

LINK = b'<!doctype html><head><meta charset=utf-8></head><a href="https://buy.stripe.com/1">'
ENCODERS = {".gz": gzip.compress, ".br": brotli.compress, ".zst": zstandard.compress}


def codes(report: SiteReport) -> list[str]:
    """Return the codes of a report's findings."""
    return [found.code for found in report.findings]


@pytest.mark.parametrize("suffix", ENCODERS)
def test_copies_follow(tmp_path: Path, suffix: str) -> None:
    """A copy gets the page's new content, once; removal gives its old content back."""
    copy = tmp_path / f"a.html{suffix}"
    (tmp_path / "a.html").write_bytes(PAGE)
    copy.write_bytes(ENCODERS[suffix](PAGE))
    assert process_site(tmp_path).copies_changed == 1
    assert decompress(copy.read_bytes(), suffix) == (tmp_path / "a.html").read_bytes()
    assert TAGS in (tmp_path / "a.html").read_bytes()
    assert copy.stat().st_mtime_ns >= (tmp_path / "a.html").stat().st_mtime_ns
    before = state(copy)
    assert process_site(tmp_path).clean
    assert state(copy) == before
    process_site(tmp_path, removing=True)
    assert decompress(copy.read_bytes(), suffix) == PAGE


def test_a_copy_that_an_earlier_pass_left_behind(tmp_path: Path) -> None:
    """A copy made of the page without the script is refreshed, though the page is current."""
    (tmp_path / "a.html").write_bytes(PAGE)
    process_site(tmp_path)
    (tmp_path / "a.html.gz").write_bytes(gzip.compress(PAGE))
    assert not process_site(tmp_path, check=True).clean
    assert gzip.decompress((tmp_path / "a.html.gz").read_bytes()) == PAGE
    process_site(tmp_path)
    assert TAGS in gzip.decompress((tmp_path / "a.html.gz").read_bytes())


@pytest.mark.parametrize(
    "content", [gzip.compress(b"another page", mtime=0), b"no gzip at all", b""]
)
def test_a_copy_of_something_else(tmp_path: Path, content: bytes) -> None:
    """It stays as it is and is reported."""
    (tmp_path / "a.html").write_bytes(PAGE)
    (tmp_path / "a.html.gz").write_bytes(content)
    assert codes(process_site(tmp_path)) == ["TN502"]
    assert (tmp_path / "a.html.gz").read_bytes() == content


def test_a_format_without_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the module is missing, the stale copy is an error that names it."""
    (tmp_path / "a.html").write_bytes(PAGE)
    (tmp_path / "a.html.br").write_bytes(brotli.compress(PAGE))
    monkeypatch.setitem(sys.modules, "brotli", None)
    report = process_site(tmp_path)
    (found,) = report.findings
    assert (found.code, found.severity, found.file) == ("TN501", "error", "a.html.br")
    assert "brotli" in found.message


def test_the_same_content_gives_the_same_copy() -> None:
    """No time of the build is in it."""
    assert all(compress(PAGE, suffix) == compress(PAGE, suffix) for suffix in ENCODERS)


def test_gzip_data_under_a_pages_name(tmp_path: Path) -> None:
    """It is called what it is, and not touched."""
    (tmp_path / "a.html").write_bytes(gzip.compress(PAGE))
    (tmp_path / "b.html").write_bytes(PAGE)
    assert process_site(tmp_path).skipped == {"gzip data": 1}
    assert gzip.decompress((tmp_path / "a.html").read_bytes()) == PAGE


def test_other_words_for_what_is_no_document(tmp_path: Path) -> None:
    """An empty file and a verification file are no fragments to fix: no finding."""
    (tmp_path / "a.html").write_bytes(PAGE)
    (tmp_path / "empty.html").write_bytes(b"\n")
    (tmp_path / "google1234.html").write_bytes(b"google-site-verification: google1234.html")
    report = process_site(tmp_path)
    assert report.skipped == {"empty file": 1, "verification file": 1}
    assert codes(report) == []


@pytest.mark.parametrize(
    "name", ["shop", "index.html.de", "index.de", "page.1", ".hidden", "x.y-z"]
)
def test_pages_by_another_name(tmp_path: Path, name: str) -> None:
    """A file without a known suffix is a page when it begins like one."""
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf<!-- x -->\n" + LINK)
    (tmp_path / f"{name}-not").write_bytes(b"<p>" + LINK)
    report = process_site(tmp_path)
    assert (report.pages, report.links) == (1, 1)
    assert TAGS in (tmp_path / name).read_bytes()


@pytest.mark.parametrize("name", ["a.txt", "layout.j2", "a.php", "README.md"])
def test_files_that_look_like_pages(tmp_path: Path, name: str) -> None:
    """A source or a page that a server runs stays as it is and is reported."""
    (tmp_path / name).write_bytes(LINK)
    (tmp_path / "a.html").write_bytes(PAGE)
    report = process_site(tmp_path)
    assert [(found.code, found.file) for found in report.findings] == [("TN304", name)]
    assert (tmp_path / name).read_bytes() == LINK


@pytest.mark.parametrize("name", ["a.css", "a.json", "a.svg", "a.js", "a.xml"])
def test_other_files_are_not_looked_into(tmp_path: Path, name: str) -> None:
    """What a site is made of besides pages costs nothing."""
    (tmp_path / name).write_bytes(LINK if name != "a.json" else json.dumps("x").encode())
    (tmp_path / "a.html").write_bytes(PAGE)
    assert codes(process_site(tmp_path)) == []
