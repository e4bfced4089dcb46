"""Whole builds of Sphinx with and without the extension, compared file by file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugins.builds import LIVE, TEST, Ran, assert_only_added, files, run, tag, write
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("sphinx")

SOURCE = {
    "index.rst": f"Shop\n====\n\n`Buy <{LIVE}>`_\n\n.. toctree::\n\n   guide/deep\n   secret\n",
    "guide/deep.rst": "Deep\n====\n\n.. raw:: html\n\n   <script>/* data-tracknow */</script>\n",
    "secret.rst": ":tracknow: false\n\nSecret\n======\n",
    "raw/hand.html": f"<!doctype html><title>x</title><a href={LIVE}>Buy</a>",
    "raw/404.html": "<!doctype html><title>Lost</title>",
}
CONF = (
    "project = 'Shop'\n"
    "html_theme = 'basic'\n"
    "html_extra_path = ['raw']\n"
    "html_baseurl = 'https://example.com/shop/'\n"
    "html_last_updated_fmt = None\n"
)


def site(folder: Path, source: dict[str, str] | None = None, options: str = "{}") -> Path:
    """Write a site with two configurations, in the folders plain/ and ours/."""
    write(folder / "source", SOURCE if source is None else source)
    write(folder, {"plain/conf.py": CONF})
    write(folder, {"ours/conf.py": f"{CONF}extensions = ['sphinx_tracknow']\ntracknow = {options}"})
    for name in ("plain", "ours"):
        (folder / name / "raw").symlink_to(folder / "source/raw")
    return folder


def build(folder: Path, name: str = "ours", *flags: str, builder: str = "html") -> Ran:
    """Build into ``built-NAME``."""
    arguments = ("-q", "-b", builder, "-c", name, "source", f"built-{name}")
    return run("sphinx-build", *arguments, *flags, cwd=folder)


@pytest.mark.parametrize("builder", ["html", "dirhtml", "singlehtml"])
def test_a_build_gains_the_snippet_alone(builder: str, tmp_path: Path) -> None:
    """Documents, search, index, 404 and extra files: each gets it once; opt-outs hold."""
    folder = site(tmp_path)
    for name in ("plain", "ours"):
        build(folder, name, "-W", "-j", "2", builder=builder).ok()
    without = {"html": ["secret.html"], "dirhtml": ["secret/index.html"], "singlehtml": []}
    pages = assert_only_added(
        *(folder / "built-plain", folder / "built-ours"),
        root="/shop/",
        without=without[builder],
        differing=[".doctrees/environment.pickle", ".buildinfo"],
    )
    assert {"index.html", "404.html", "hand.html"} <= set(pages)


def test_other_builders_are_left_alone(tmp_path: Path) -> None:
    """What is no site (here: JSON of pages) has no script and no script file."""
    folder = site(tmp_path)
    build(folder, builder="json").ok()
    assert not any("assets/" in path for path in files(folder / "built-ours"))


def test_it_works_after_extensions_that_write_pages_late(tmp_path: Path) -> None:
    """A page that something else writes in ``build-finished``, connected later, is reached."""
    folder = site(tmp_path)
    late = (
        "\ndef write(app, exception):\n"
        "    (app.outdir / 'late.html').write_text('<!doctype html><title>x</title>')\n"
        "def setup(app):\n"
        "    app.connect('build-finished', write)\n"
    )
    conf = folder / "ours/conf.py"
    conf.write_text(conf.read_text(encoding="utf-8") + late, encoding="utf-8")
    build(folder).ok()
    assert tag("late.html", Settings()) in (folder / "built-ours/late.html").read_bytes()


def test_an_incremental_build_keeps_one_snippet(tmp_path: Path) -> None:
    """Pages that Sphinx does not write again keep the bytes that they have."""
    folder = site(tmp_path)
    build(folder).ok()
    before = files(folder / "built-ours")
    write(folder, {"source/guide/deep.rst": "Deep\n====\n\nbrand new\n"})
    build(folder).ok()
    after = files(folder / "built-ours")
    assert after["guide/deep.html"].count(tag("guide/deep.html", Settings())) == 1
    assert b"brand new" in after["guide/deep.html"]
    assert after["index.html"] == before["index.html"]


def test_a_link_in_test_mode_fails_a_strict_build_that_is_complete(tmp_path: Path) -> None:
    """``-W`` counts the warning, and every page has been written before it is reported."""
    folder = site(tmp_path, {"index.rst": f"Shop\n====\n\n`Buy <{TEST}>`_\n"})
    ran = build(folder, "ours", "-W")
    assert ran.code == 1
    assert "WARNING: tracknow: index.html:" in ran.text
    assert tag("index.html", Settings()) in (folder / "built-ours/index.html").read_bytes()


def test_test_links_can_be_an_error(tmp_path: Path) -> None:
    """test_links: error fails the build after all pages are written."""
    source = {"index.rst": f"Shop\n====\n\n`Buy <{TEST}>`_\n"}
    folder = site(tmp_path, source, "{'test_links': 'error'}")
    ran = build(folder)
    assert ran.code == 1
    assert "ERROR: tracknow: 1 payment link of Stripe's test mode, and the option" in ran.text
    assert tag("index.html", Settings()) in (folder / "built-ours/index.html").read_bytes()


def test_all_bad_options_are_told_at_once(tmp_path: Path) -> None:
    """Each names itself, shows its value and what is accepted; nothing is built."""
    folder = site(tmp_path, SOURCE, "{'window_days': 0, 'window_day': 7}")
    ran = build(folder)
    assert ran.code == 2
    assert "conf.py, tracknow: window_days: 0 is not accepted. Accepted: a whole num" in ran.text
    assert "conf.py, tracknow: window_day: unknown option. Did you mean window_days?" in ran.text
    assert not (folder / "built-ours/index.html").exists()


def test_metadata_that_are_not_understood_are_named(tmp_path: Path) -> None:
    """The warning names the source file, and the page carries the script."""
    folder = site(tmp_path, {"index.rst": ":tracknow: hm\n\nShop\n====\n"})
    ran = build(folder).ok()
    assert "WARNING: tracknow: index.rst: tracknow: 'hm' is not accepted." in ran.text
    assert tag("index.html", Settings()) in (folder / "built-ours/index.html").read_bytes()


def test_switched_off_it_leaves_no_trace(tmp_path: Path) -> None:
    """``enabled`` with False gives the pages of the build without the extension."""
    folder = site(tmp_path, SOURCE, "{'enabled': False}")
    for name in ("plain", "ours"):
        build(folder, name, "-d", "doctrees").ok()
    plain, ours = files(folder / "built-plain"), files(folder / "built-ours")
    assert {**plain, ".buildinfo": b""} == {**ours, ".buildinfo": b""}
