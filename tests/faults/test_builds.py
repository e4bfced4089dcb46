"""Builds in which the script was missing, stale or in the way."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import brotli  # type: ignore[import-untyped]
import pytest
from Crypto.Hash import SHA512
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from tests.faults.test_manifest import INPUTS, codes
from tests.page.parts import count
from tests.plugins.builds import files, run, write
from tracknow_static.page.splice import remove

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str], Path]:
    """Copy one of the inputs; return its folder."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(INPUTS / name, tmp_path / name))

    return copy


def scripts(site: Path, path: str) -> int:
    """Count our scripts in a page, or in the page that a compressed copy contains."""
    content = (site / path).read_bytes()
    return count(gzip.decompress(content) if path.endswith(".gz") else content)


def test_a_dirty_build_keeps_opt_outs(project: Callable[[str], Path]) -> None:
    """A page that a dirty build passes over keeps what its front matter decided."""
    folder = project("mkdocs-dirty")
    run("mkdocs", "build", "-q", cwd=folder).ok()
    later = (folder / "site" / "index.html").stat().st_mtime + 10
    os.utime(folder / "docs" / "index.md", (later, later))
    run("mkdocs", "build", "-q", "--dirty", cwd=folder).ok()
    assert scripts(folder / "site", "privacy/index.html") == 0
    assert scripts(folder / "site", "index.html") == 2


def test_a_dirty_build_without_the_plugin_is_clean(project: Callable[[str], Path]) -> None:
    """``enabled: false`` takes the script out of pages that are not built again."""
    folder = project("mkdocs-dirty")
    run("mkdocs", "build", "-q", cwd=folder).ok()
    (folder / "mkdocs.yml").write_text(
        (folder / "mkdocs.yml").read_text().replace("- tracknow", "- tracknow: {enabled: false}")
    )
    run("mkdocs", "build", "-q", "--dirty", cwd=folder).ok()
    assert scripts(folder / "site", "index.html") == 0
    assert not list((folder / "site").rglob("carry.*.js"))


def test_signed_pages_stay_valid(project: Callable[[str], Path]) -> None:
    """Encryptcontent signs the pages with the script in them."""
    folder = project("signed")
    run("mkdocs", "build", "-q", "-d", "site", cwd=folder).ok()
    key = ECC.import_key((folder / "k.key").read_text()).public_key()
    signatures = json.loads((folder / "site" / "signatures.json").read_text())
    assert len(signatures) > 1
    for url, signature in signatures.items():
        path = url.removeprefix("https://x.example/")
        page = folder / "site" / (f"{path}index.html" if path.endswith("/") else path)
        digest = SHA512.new(page.read_bytes())
        eddsa.new(key, "rfc8032").verify(digest, base64.b64decode(signature))
    assert scripts(folder / "site", "index.html") == 2


def test_the_plugin_may_be_first(project: Callable[[str], Path]) -> None:
    """print-site wants to be last: our place in the list makes no difference."""
    folder = project("last-plugin")
    config = (folder / "mkdocs.yml").read_text()
    first = config.replace("  - tracknow\n", "").replace("plugins:\n", "plugins:\n  - tracknow\n")
    (folder / "mkdocs.yml").write_text(first)
    run("mkdocs", "build", "--strict", "-d", "site", cwd=folder).ok()
    assert scripts(folder / "site", "print_page/index.html") == 2


@pytest.mark.parametrize("config", ["pelicanconf.py", "pelicanconf_own_gzip.py"])
def test_compressed_copies_follow_their_pages(config: str, project: Callable[[str], Path]) -> None:
    """What a server sends compressed is the page with the script, and check agrees."""
    folder = project("precompressed")
    run("pelican", "content", "-s", config, "-o", "output", "-q", cwd=folder).ok()
    site = folder / "output"
    pages = list(site.rglob("*.html"))
    assert pages
    for page in pages:
        path = page.relative_to(site).as_posix()
        assert gzip.decompress((site / f"{path}.gz").read_bytes()) == page.read_bytes()
        if (site / f"{path}.br").exists():
            assert brotli.decompress((site / f"{path}.br").read_bytes()) == page.read_bytes()
    assert [code for code in codes(site) if code.startswith("TN5")] == []
    run("tracknow-static", "remove", site).ok()
    for page in pages:
        assert count(page.read_bytes()) == 0
        copy = page.with_name(page.name + ".gz")
        assert gzip.decompress(copy.read_bytes()) == page.read_bytes()


def test_pages_without_suffix(tmp_path: Path) -> None:
    """Pelican's pages without a suffix carry the script, from the plugin and from ``inject``."""
    write(
        tmp_path,
        {
            "content/shop.md": "Title: Shop\nDate: 2026-01-01\nSlug: shop\n\ntext\n",
            "conf.py": "SITEURL = ''\nPATH = 'content'\nTIMEZONE = 'UTC'\nPLUGINS = ['tracknow']\n"
            "FEED_ALL_ATOM = CATEGORY_FEED_ATOM = None\n"
            "ARTICLE_SAVE_AS = '{slug}'\nARTICLE_URL = '{slug}'\n",
        },
    )
    run("pelican", "-s", "conf.py", "-o", "output", "-q", cwd=tmp_path).ok()
    site = tmp_path / "output"
    assert scripts(site, "shop") == 2
    assert codes(site) == []
    before = files(site)
    run("tracknow-static", "remove", site).ok()
    run("tracknow-static", "inject", site).ok()
    assert scripts(site, "shop") == 2
    assert {path for path in before if path.startswith("shop")} == {"shop"}


@pytest.mark.parametrize("builder", ["revealjs", "dirrevealjs", "dirhtml", "singlehtml"])
def test_builders_of_sites(builder: str, project: Callable[[str], Path]) -> None:
    """Whatever Sphinx builder writes HTML documents, they carry the script."""
    folder = project("sphinx-builder")
    run("sphinx-build", "-q", "-b", builder, ".", "out", cwd=folder).ok()
    assert scripts(folder / "out", "index.html") == 2


@pytest.mark.parametrize("builder", ["epub", "htmlhelp", "json"])
def test_builders_of_other_things(builder: str, project: Callable[[str], Path]) -> None:
    """HTML for another program carries none, and one line names the reason."""
    folder = project("sphinx-builder")
    ran = run("sphinx-build", "-b", builder, ".", "out", cwd=folder).ok()
    assert ran.text.count("tracknow:") == 1
    assert "writes no site" in ran.text
    assert not list((folder / "out").rglob("carry.*.js"))


def test_sphinx_switched_off_after_a_build(project: Callable[[str], Path]) -> None:
    """An incremental build with ``enabled`` false takes the script out of old pages."""
    folder = project("sphinx-404")
    run("sphinx-build", "-q", ".", "out", cwd=folder).ok()
    assert scripts(folder / "out", "index.html") == 2
    with (folder / "conf.py").open("a") as conf:
        conf.write('tracknow = {"enabled": False}\n')
    run("sphinx-build", "-q", ".", "out", cwd=folder).ok()
    assert scripts(folder / "out", "index.html") == 0


def test_the_404_page_of_notfound(project: Callable[[str], Path]) -> None:
    """Its script comes from where its own files come from."""
    folder = project("notfound")
    run("sphinx-build", "-q", ".", "out", cwd=folder).ok()
    page = (folder / "out" / "404.html").read_text()
    assert 'src="/en/latest/_static/' in page
    assert 'src="/en/latest/assets/carry.' in page
    assert codes(folder / "out") == []


def test_a_service_workers_list_made_too_early(project: Callable[[str], Path]) -> None:
    """A precache with the page as it was before the script is reported, with the order that works."""
    site = project("precache") / "site"
    page = (site / "index.html").read_bytes()
    revision = hashlib.md5(page).hexdigest()
    worker = f'workbox.precacheAndRoute([{{"revision":"{revision}","url":"index.html"}}],{{}});'
    (site / "sw.js").write_text(worker)
    run("tracknow-static", "inject", site).ok()
    assert codes(site) == ["TN441"]
    after = hashlib.md5((site / "index.html").read_bytes()).hexdigest()
    (site / "sw.js").write_text(worker.replace(revision, after))
    assert codes(site) == []
    assert remove((site / "index.html").read_bytes()) == page
