"""Whole builds of MkDocs and ProperDocs with and without the plugin, compared file by file."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugins.builds import LIVE, assert_only_added, files, run, tag, write, write_yaml
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("mkdocs-builds")

DOCS = {
    "docs/index.md": f"# Shop\n\n[Buy]({LIVE})\n",
    "docs/guide/deep/page.md": "# Deep\n\n`<head>` and `data-tracknow` in text.\n",
    "docs/secret.md": "---\ntracknow: false\n---\n# Secret\n",
    "docs/raw/hand.html": f"<!doctype html><title>x</title><a href={LIVE}>Buy</a>",
    "docs/raw/part.html": "<p>A fragment</p>",
    "docs/raw/left-out.html": "<!doctype html><title>x</title>",
    "extra/more.html": "<!doctype html><html><head><title>{{ config.site_name }}</title></head>",
    "generate.py": (
        "import mkdocs_gen_files as gen\n"
        "with gen.open('made/page.md', 'w') as file: file.write('# Made')\n"
        "with gen.open('made/raw.html', 'w') as file: file.write('<!doctype html><title>m</title>')\n"
    ),
}
BLOG = {
    "docs/blog/index.md": "# News\n",
    "docs/blog/posts/one.md": f"---\ndate: 2026-01-02\ntags: [a]\n---\n# One\n\n[Buy]({LIVE})\n",
    "docs/tags.md": "# Tags\n\n<!-- material/tags -->\n",
}
REDIRECTS = {"redirects": {"redirect_maps": {"old/shop.md": "guide/deep/page.md"}}}
GENERATED = {"gen-files": {"scripts": ["generate.py"]}}
MINIFY = {"minify": {"minify_html": True, "minify_js": True, "minify_css": True}}
WITHOUT = ("secret/index.html", "raw/part.html", "raw/left-out.html")
OPTIONS: dict[str, Any] = {"exclude": ["raw/left-out.html"]}


def site(folder: Path, plugins: list[Any], docs: dict[str, str], **config: Any) -> Path:
    """Write a site with two configurations: plain.yml, and ours.yml with the plugin first."""
    write(folder, docs)
    options = config.pop("options", OPTIONS)
    base = {"site_name": "Shop", "site_url": "https://example.com/shop/", **config}
    write_yaml(folder / "plain.yml", {**base, "plugins": plugins})
    # First in the list: the order of plugins must not matter.
    write_yaml(folder / "ours.yml", {**base, "plugins": [{"tracknow": options}, *plugins]})
    return folder


def build_both(folder: Path, tool: str = "mkdocs") -> tuple[Path, Path]:
    """Build both; return the two folders."""
    for name in ("plain", "ours"):
        run(tool, "build", "-q", "-f", f"{name}.yml", "-d", f"built-{name}", cwd=folder).ok()
    return folder / "built-plain", folder / "built-ours"


@pytest.mark.parametrize(("tool", "theme"), [("mkdocs", "mkdocs"), ("properdocs", "material")])
def test_a_build_gains_the_snippet_alone(tool: str, theme: str, tmp_path: Path) -> None:
    """Pages, 404, raw HTML, generated files, templates and redirect stubs: each gets it once."""
    plugins = ["search", REDIRECTS, GENERATED]
    templates = ["404.html", "more.html"]
    look = {"name": theme, "custom_dir": "extra", "static_templates": templates}
    site(tmp_path, plugins, DOCS, theme=look)
    pages = assert_only_added(*build_both(tmp_path, tool), root="/shop/", without=WITHOUT)
    assert {
        "index.html",
        "404.html",
        "more.html",
        "guide/deep/page/index.html",
        "made/page/index.html",
        "made/raw.html",
        "old/shop/index.html",
        "raw/hand.html",
    } <= set(pages)


@pytest.mark.parametrize("minify", [False, True], ids=["plain", "minified"])
def test_a_material_build_gains_the_snippet_alone(minify: bool, tmp_path: Path) -> None:
    """Blog, tags, print page and redirects of a Material site, before and after a minifier."""
    plugins = ["search", "tags", {"blog": {"authors": False}}, REDIRECTS, GENERATED, "print-site"]
    plugins += [MINIFY] if minify else []
    site(tmp_path, plugins, DOCS | BLOG, theme={"name": "material", "font": False})
    pages = assert_only_added(*build_both(tmp_path), root="/shop/", without=WITHOUT)
    assert {
        "blog/2026/01/02/one/index.html",
        "blog/archive/2026/index.html",
        "tags/index.html",
        "print_page/index.html",
        "404.html",
        "old/shop/index.html",
    } <= set(pages)


def test_every_language_is_reached_and_told_of_once(tmp_path: Path) -> None:
    """mkdocs-static-i18n builds once for each language: opt-outs of all hold, one summary."""
    languages = [
        {"locale": "en", "name": "English", "default": True, "build": True},
        {"locale": "de", "name": "Deutsch", "build": True},
        {"locale": "pt", "name": "Português", "build": True},
    ]
    docs = {
        "docs/index.md": f"# Shop\n\n[Buy]({LIVE})\n",
        "docs/index.de.md": f"# Laden\n\n[Kaufen]({LIVE})\n",
        "docs/secret.md": "# Not secret\n",
        "docs/secret.de.md": "---\ntracknow: false\n---\n# Geheim\n",
    }
    i18n = {"i18n": {"docs_structure": "suffix", "languages": languages}}
    folder = site(tmp_path, ["search", i18n], docs, options={})
    run("mkdocs", "build", "-q", "-f", "plain.yml", "-d", "built-plain", cwd=folder).ok()
    ran = run("mkdocs", "build", "-f", "ours.yml", "-d", "built-ours", cwd=folder).ok()
    assert ran.text.count("carry the script") == 1
    pages = assert_only_added(
        *(folder / "built-plain", folder / "built-ours"),
        root="/shop/",
        without=["de/secret/index.html"],
    )
    assert {"de/index.html", "pt/secret/index.html", "secret/index.html"} <= set(pages)


@pytest.mark.parametrize("delivery", ["inline", "file"])
def test_each_delivery_adds_its_own_tag_alone(delivery: str, tmp_path: Path) -> None:
    """Without directory URLs, at the root of a host, with all of the script in a page or a file."""
    folder = site(
        *(tmp_path, ["search", REDIRECTS], DOCS),
        options={**OPTIONS, "delivery": delivery, "asset_dir": "static/js"},
        use_directory_urls=False,
        site_url="https://example.com",
    )
    settings = Settings(delivery=delivery, asset_dir="static/js")
    without = ("secret.html", *WITHOUT[1:])
    assert_only_added(*build_both(folder), settings, without=without)
    stub = (folder / "built-ours/old/shop.html").read_bytes()
    # The stub's script drops the query; the script that keeps it runs before, and at once.
    assert stub.index(tag("old/shop.html", settings)) < stub.index(b"window.location")
    assert b"defer" not in tag("old/shop.html", settings) or delivery == "inline"


def test_switched_off_by_the_environment_it_leaves_no_trace(tmp_path: Path) -> None:
    """``enabled: !ENV`` with false gives, byte for byte, the build without the plugin."""
    folder = site(tmp_path, ["search"], DOCS)
    config = (folder / "ours.yml").read_text()
    (folder / "ours.yml").write_text(
        config.replace("exclude:", "enabled: !ENV [TRACKNOW, true]\n    exclude:", 1)
    )
    for name in ("plain", "ours"):
        arguments = ("build", "-q", "-f", f"{name}.yml", "-d", name)
        run("mkdocs", *arguments, cwd=folder, TRACKNOW="false").ok()
    assert files(folder / "plain") == files(folder / "ours")


def test_a_version_deployed_by_mike_carries_the_script(tmp_path: Path) -> None:
    """What mike commits is the finished build, and its 404 names the script of its version."""
    folder = site(tmp_path, ["search"], DOCS, theme={"name": "material", "font": False})
    person = {
        f"GIT_{role}_{what}": "x@example.com"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }

    def git(*arguments: str) -> bytes:
        environment = {**os.environ, **person}
        return subprocess.check_output(["git", *arguments], cwd=folder, env=environment)

    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "x")
    run("mike", "deploy", "-F", "ours.yml", "1.0", cwd=folder, **person).ok()
    for path, root in (("guide/deep/page/index.html", ""), ("404.html", "/shop/1.0/")):
        assert git("show", f"gh-pages:1.0/{path}").count(tag(path, Settings(), root)) == 1
