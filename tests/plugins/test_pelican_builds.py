"""Whole builds of Pelican with and without the plugin, compared file by file."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugins.builds import (
    BIN,
    ENVIRONMENT,
    LIVE,
    TEST,
    Ran,
    assert_only_added,
    files,
    run,
    tag,
    write,
)
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("pelican")

ARTICLE = f"Title: One\nDate: 2026-01-02\nTags: a\nSlug: one\n\n[Buy]({LIVE})\n"
CONTENT = {
    "content/one.md": ARTICLE,
    "content/two.rst": "Two\n###\n\n:date: 2026-01-03\n:tracknow: false\n:slug: two\n\nText.\n",
    "content/three.md": "Title: Three\nDate: 2026-01-04\nSlug: three\nStatus: draft\n"
    "Tracknow: No\n\nText.\n",
    "content/pages/about.md": "Title: About\nSlug: about\nTracknow: yes\n\nText.\n",
    "content/pages/privacy.html": "<html><head><title>P</title><meta name=slug content=privacy>"
    "<meta name=tracknow content=false></head><body>Text</body></html>",
    "content/raw/hand.html": f"<!doctype html><title>x</title><a href={LIVE}>Buy</a>",
    "content/raw/part.html": "<p>A fragment</p>",
    "content/extra/lost.html": "<!doctype html><title>Lost</title>",
}
SETTINGS = {
    "SITENAME": "Shop",
    "SITEURL": "https://example.com/shop",
    "PATH": "content",
    "TIMEZONE": "UTC",
    "DEFAULT_DATE_FORMAT": "%Y-%m-%d",
    "STATIC_PATHS": ["raw", "extra"],
    "EXTRA_PATH_METADATA": {"extra/lost.html": {"path": "404.html"}},
    "ARTICLE_EXCLUDES": ["raw", "extra", "pages"],
    "FEED_ALL_ATOM": None,
    "CATEGORY_FEED_ATOM": None,
    "TRANSLATION_FEED_ATOM": None,
    "PLUGINS": [],
}
WITHOUT = ("two.html", "drafts/three.html", "pages/privacy.html", "raw/part.html")


def site(folder: Path, content: dict[str, str] | None = None, **settings: Any) -> Path:
    """Write a site with two settings files: plain.py, and ours.py with the plugin first."""
    write(folder, CONTENT if content is None else content)
    for name, ours in (("plain", []), ("ours", ["tracknow"])):
        values = {**SETTINGS, **settings}
        if values["PLUGINS"] is not None:
            values["PLUGINS"] = [*ours, *values["PLUGINS"]]
        if not ours:
            values.pop("TRACKNOW", None)
        lines = [f"{key} = {value!r}" for key, value in values.items()]
        (folder / f"{name}.py").write_text("\n".join(lines), encoding="utf-8")
    return folder


def build(folder: Path, name: str = "ours", *flags: str) -> Ran:
    """Build into ``built-NAME``."""
    common = ("-s", f"{name}.py", "-o", f"built-{name}", "--log-handler", "plain")
    return run("pelican", *common, *flags, cwd=folder)


def build_both(folder: Path) -> tuple[Path, Path]:
    """Build both; return the two folders."""
    build(folder, "plain").ok()
    build(folder, "ours").ok()
    return folder / "built-plain", folder / "built-ours"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"PLUGINS": ["minify"]},
        {"SITEURL": "", "RELATIVE_URLS": True, "PLUGINS": ["pelican.plugins.minify"]},
        {"STATIC_CREATE_LINKS": True, "TRACKNOW": {"delivery": "inline"}},
        {"TRACKNOW": {"delivery": "file", "asset_dir": "theme/js"}},
    ],
    ids=["plain", "minified", "relative", "linked", "file"],
)
def test_a_build_gains_the_snippet_alone(settings: dict[str, Any], tmp_path: Path) -> None:
    """Articles, pages, lists, drafts, 404 and static HTML: each gets it once; opt-outs hold."""
    folder = site(tmp_path, **settings)
    pages = assert_only_added(
        *build_both(folder),
        Settings.from_mapping(settings.get("TRACKNOW", {})),
        root="/" if settings.get("SITEURL") == "" else "/shop/",
        without=WITHOUT,
    )
    assert {"index.html", "one.html", "404.html", "tag/a.html", "raw/hand.html"} <= set(pages)
    assert {name: (folder / name).read_text() for name in CONTENT} == CONTENT


def test_hard_links_to_sources_are_cut_not_written_through(tmp_path: Path) -> None:
    """STATIC_CREATE_LINKS: the author's file is as it was, also after a second build."""
    folder = site(tmp_path, STATIC_CREATE_LINKS=True)
    source, output = folder / "content/raw/part.html", folder / "built-ours/raw/part.html"
    build(folder).ok()
    build(folder).ok()
    assert source.samefile(output)  # it needs no script: still a link
    assert (folder / "content/raw/hand.html").read_text() == CONTENT["content/raw/hand.html"]
    page = (folder / "built-ours/raw/hand.html").read_bytes()
    assert page.count(tag("raw/hand.html", Settings())) == 1


def test_what_an_earlier_build_left_is_replaced(tmp_path: Path) -> None:
    """STATIC_CHECK_IF_MODIFIED keeps old pages: new settings give a new snippet and one file."""
    folder = site(tmp_path, STATIC_CHECK_IF_MODIFIED=True)
    build(folder).ok()
    old = set(files(folder / "built-ours"))
    options = {"window_days": 7, "param": "ref"}
    site(tmp_path, STATIC_CHECK_IF_MODIFIED=True, TRACKNOW=options)
    build(folder).ok()
    settings = Settings.from_mapping(options)
    page = (folder / "built-ours/raw/hand.html").read_bytes()
    text = CONTENT["content/raw/hand.html"].encode()
    assert page.replace(tag("raw/hand.html", settings), b"", 1) == text
    new = set(files(folder / "built-ours"))
    assert len(old - new) == len(new - old) == 1  # the script file of the old settings is gone


def test_a_second_build_writes_no_static_page_again(tmp_path: Path) -> None:
    """An unchanged page that Pelican leaves alone is left alone by the plugin too."""
    folder = site(tmp_path, STATIC_CHECK_IF_MODIFIED=True)
    build(folder).ok()
    page = folder / "built-ours/raw/hand.html"
    first = page.stat()
    build(folder).ok()
    assert (page.stat().st_ino, page.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


def test_sites_within_a_site_share_one_script(tmp_path: Path) -> None:
    """i18n_subsites builds each language inside the first build: opt-outs of all hold."""
    content = {
        "content/one.md": ARTICLE.replace("Title", "Lang: en\nTitle"),
        "content/eins.md": ARTICLE.replace("Title: One", "Lang: de\nTitle: Eins"),
        "content/two.md": "Title: Two\nDate: 2026-01-03\nSlug: two\nLang: en\n\nText.\n",
        "content/zwei.md": "Title: Zwei\nDate: 2026-01-03\nSlug: two\nLang: de\n"
        "Tracknow: false\n\nText.\n",
    }
    folder = site(
        *(tmp_path, content),
        DEFAULT_LANG="en",
        PLUGINS=["i18n_subsites"],
        I18N_SUBSITES={"de": {}, "pt": {}},
    )
    build(folder, "plain").ok()
    ran = build(folder).ok()
    assert ran.text.count("carry the script") == 1
    pages = assert_only_added(
        *(folder / "built-plain", folder / "built-ours"), root="/shop/", without=["de/two.html"]
    )
    assert {"two.html", "de/one.html", "pt/index.html"} <= set(pages)


def test_it_is_found_without_being_named(tmp_path: Path) -> None:
    """With PLUGINS unset Pelican finds the plugin by its package."""
    folder = site(tmp_path, {"content/one.md": ARTICLE}, PLUGINS=None)
    build(folder).ok()
    assert b"data-tracknow" in (folder / "built-ours/one.html").read_bytes()


def test_it_works_last_wherever_it_is_named(tmp_path: Path) -> None:
    """A page that another plugin writes in ``finalized``, named before or after, is reached."""
    other = (
        "import pathlib\nfrom pelican import signals\n"
        "def late(pelican):\n"
        "    pathlib.Path(pelican.output_path, 'late.html').write_text('<title>x</title>')\n"
        "def register():\n"
        "    signals.finalized.connect(late)\n"
    )
    write(tmp_path, {"late_writer.py": other})
    folder = site(tmp_path, {"content/one.md": ARTICLE}, PLUGINS=["late_writer"])
    build(folder).ok()
    assert tag("late.html", Settings()) in (folder / "built-ours/late.html").read_bytes()


def test_the_summary_is_printed_beside_pelicans_own(tmp_path: Path) -> None:
    """Pelican shows no INFO by default: the line is printed as Pelican prints its own."""
    folder = site(tmp_path, {"content/one.md": ARTICLE})
    text = build(folder).ok().text
    line = (
        "tracknow: 8 pages carry the script; 4 payment links on 4 pages\nDone: Processed 1 article"
    )
    assert line in text
    assert "tracknow:" not in build(folder, "ours", "-q").ok().text


def test_fatal_warnings_come_after_the_writing(tmp_path: Path) -> None:
    """``--fatal warnings`` fails the build over a test link, and every page carries the script."""
    content = {"content/one.md": ARTICLE.replace(LIVE, TEST).replace("\n\n", "\nTracknow: hm\n\n")}
    folder = site(tmp_path, content)
    build(folder).ok()
    for path in (folder / "built-ours").rglob("*.html"):
        path.unlink()
    ran = build(folder, "ours", "--fatal", "warnings")
    assert ran.code == 1
    # Everything is logged, though the first of them stops the build.
    assert "[TN101]" in ran.text
    assert "one.md: tracknow: 'hm' is not accepted." in ran.text
    pages = {path: page for path, page in files(folder / "built-ours").items() if ".html" in path}
    assert pages
    assert all(tag(path, Settings()) in page for path, page in pages.items())


def test_test_links_can_be_an_error(tmp_path: Path) -> None:
    """test_links: error fails the build without a traceback, after all pages are written."""
    content = {"content/one.md": ARTICLE.replace(LIVE, TEST)}
    folder = site(tmp_path, content, TRACKNOW={"test_links": "error"})
    ran = build(folder)
    assert ran.code == 1
    assert "SiteError: 4 payment links of Stripe's test mode, and the option test_links" in ran.text
    assert "Traceback" not in ran.text
    assert tag("one.html", Settings()) in (folder / "built-ours/one.html").read_bytes()


def test_all_bad_options_are_told_at_once(tmp_path: Path) -> None:
    """Each names itself, shows its value and what is accepted; nothing is built."""
    options = {"window_days": 0, "window_day": 7}
    folder = site(tmp_path, {"content/one.md": ARTICLE}, TRACKNOW=options)
    ran = build(folder)
    assert ran.code == 1
    assert "TRACKNOW: window_days: 0 is not accepted. Accepted: a whole number" in ran.text
    assert "TRACKNOW: window_day: unknown option. Did you mean window_days?" in ran.text
    assert "Traceback" not in ran.text
    assert not (folder / "built-ours").exists()


def test_what_is_no_dictionary_is_refused(tmp_path: Path) -> None:
    """``TRACKNOW = False`` could mean several things: the error names what is accepted."""
    ran = build(site(tmp_path, {"content/one.md": ARTICLE}, TRACKNOW=False))
    assert ran.code == 1
    assert "SettingsError: TRACKNOW: False is not accepted. Accepted: " in ran.text
    assert "Traceback" not in ran.text


def test_switched_off_it_leaves_no_trace(tmp_path: Path) -> None:
    """``enabled`` with false gives, byte for byte, the build without the plugin."""
    folder = site(tmp_path, TRACKNOW={"enabled": "no"})
    plain, ours = build_both(folder)
    assert files(plain) == files(ours)


RELOAD = """
import sys
from pelican import signals
import pelican.plugins.tracknow as plugin
before = set(sys.modules)
plugin.register()
plugin.register()
print(*(len(list(signal.receivers_for(None))) for signal in (
    signals.initialized, signals.all_generators_finalized)))
"""


def test_registering_twice_changes_nothing() -> None:
    """Pelican registers plugins again at each reload: one receiver a signal stays one."""
    ran = subprocess.run([sys.executable, "-c", RELOAD], capture_output=True, text=True)
    assert ran.stdout.split() == ["1", "1"]


IMPORT = """
import sys
import pelican
before = set(sys.modules)
import pelican.plugins.tracknow
print(*sorted(set(sys.modules) - before))
"""


def test_importing_it_costs_next_to_nothing() -> None:
    """Pelican imports every installed plugin: ours brings no parser and no other generator."""
    ran = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) <= {
        "pelican.plugins",
        "pelican.plugins.tracknow",
        "tracknow_static",
        "tracknow_static.errors",
        "tracknow_static.exit_codes",
    }


def test_a_reload_keeps_the_script(tmp_path: Path) -> None:
    """``--autoreload``: after an edit the page is new and carries the script once."""
    folder = site(tmp_path)
    page = folder / "built-ours/one.html"
    command = [str(BIN / "pelican"), "-r", "-s", "ours.py", "-o", "built-ours"]
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
        try:
            wait_for(lambda: tag("one.html", Settings()) in page.read_bytes(), page)
            deadline = time.monotonic() + 60
            while b"brand new" not in page.read_bytes():
                # Again and again, since Pelican begins to watch a moment after its first build.
                write(folder, {"content/one.md": ARTICLE + f"brand new {time.monotonic()}"})
                time.sleep(1)
                assert time.monotonic() < deadline
            wait_for(lambda: page.read_bytes().count(tag("one.html", Settings())) == 1, page)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def wait_for(holds: Callable[[], bool], page: Path) -> None:
    """Wait until a page is there and a condition holds."""
    deadline = time.monotonic() + 60
    while not (page.exists() and holds()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
