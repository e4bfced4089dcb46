"""What all plugins share: pages' own opt-outs, and a report in a generator's log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.plugins.builds import LIVE, TEST, tag, write
from tracknow_static.page.plugin_build import OptOuts, finish
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

PAGE = f"<!doctype html><title>x</title><a href={TEST}>Buy</a>"


class Strict:
    """A log that raises at each warning, as strict generators' logs do."""

    def __init__(self) -> None:
        self.printed: list[tuple[int, str]] = []

    def log(self, level: int, msg: str, /) -> None:
        """Keep the line, then raise if it is a warning."""
        self.printed.append((level, msg))
        if level >= logging.WARNING:
            raise RuntimeError(msg)


@pytest.mark.parametrize("value", [False, "false", " No ", "off", "0"])
def test_a_page_opts_out_in_every_spelling(value: object) -> None:
    """Front matter gives a flag or a text, as its format has them."""
    opt_outs = OptOuts()
    opt_outs.note("a.html", value, "a.md")
    assert opt_outs.paths == {"a.html"}
    assert opt_outs.remarks == {}


@pytest.mark.parametrize("value", [None, True, "true", "YES", "1"])
def test_a_page_that_wants_the_script_gets_it(value: object) -> None:
    """No metadata and a yes are the same."""
    opt_outs = OptOuts()
    opt_outs.note("a.html", value, "a.md")
    assert opt_outs.paths == set()
    assert opt_outs.remarks == {}


def test_a_page_can_change_its_mind_between_rebuilds() -> None:
    """What was noted before an edit is forgotten: the opt-out, and the remark."""
    opt_outs = OptOuts()
    for value in (False, "hm", None):
        opt_outs.note("a.html", value, "a.md")
    assert opt_outs.paths == set()
    assert opt_outs.remarks == {}


def test_everything_is_written_and_said_before_a_strict_log_stops_the_build(
    tmp_path: Path,
) -> None:
    """The first error of the log goes on, after the last line: the summary."""
    write(tmp_path, {"index.html": PAGE, "two.html": PAGE.replace("3cs", "4ds")})
    log = Strict()
    with pytest.raises(RuntimeError, match=r"index\.html"):
        finish(tmp_path, Settings(), log, generator="test")
    assert [level for level, _ in log.printed] == [30, 30, 10, 20]
    assert log.printed[-1][1] == ("tracknow: 2 pages carry the script; 2 payment links on 2 pages")
    assert tag("two.html", Settings()) in (tmp_path / "two.html").read_bytes()


@pytest.mark.parametrize(
    ("site_url", "root"),
    [
        (None, "/"),
        ("", "/"),
        ("/shop", "/shop/"),
        ("https://example.com", "/"),
        ("https://example.com/shop/", "/shop/"),
        ("//example.com/a/b", "/a/b/"),
    ],
)
def test_a_page_shown_at_any_depth_uses_the_sites_path(
    site_url: str | None, root: str, tmp_path: Path
) -> None:
    """404.html works at each address of the site, also in a preview on another host."""
    write(tmp_path, {"404.html": f"<!doctype html><title>x</title><a href={LIVE}>Buy</a>"})
    log = logging.getLogger(__name__)
    assert finish(tmp_path, Settings(), log, generator="test", site_url=site_url) is None
    assert tag("404.html", Settings(), root) in (tmp_path / "404.html").read_bytes()
