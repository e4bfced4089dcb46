"""Real builds audited: settings from the generator's own file, pages as its plugin leaves them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.audit.conftest import LINK, page
from tracknow_static import config
from tracknow_static.audit.generator import with_generators_settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.audit.conftest import Site


def build(folder: Path, *words: str) -> None:
    """Run a generator as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_site_of_mkdocs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build with the plugin's options in mkdocs.yml, one of them from the environment, is fine."""
    site.beside(
        "mkdocs.yml",
        "site_name: Shop\nsite_url: https://shop.example/docs/\nsite_dir: site\n"
        "markdown_extensions:\n  - toc:\n      slugify: !!python/name:markdown.extensions.toc.slugify\n"
        "plugins:\n  - tracknow:\n      param: !ENV [SHOP_PARAM, aff]\n"
        "      payment_hosts: [pay.shop.example]\n",
    )
    (site.root.parent / "docs").mkdir()
    text = f"[buy]({LINK}) [own](https://pay.shop.example/b/1)\n"
    (site.root.parent / "docs" / "index.md").write_text(text)
    monkeypatch.setenv("SHOP_PARAM", "partner")
    build(site.root.parent, "mkdocs", "build", "--quiet")
    found = site.json()
    assert found["settings"] == "mkdocs.yml"
    assert found["summary"]["pages"] == {"current": 2}
    assert found["summary"]["surfaces"] == {"link": 2}
    monkeypatch.delenv("SHOP_PARAM")
    assert set(site.states(code=1).values()) == {"stale"}


@pytest.mark.slow
def test_a_site_of_mkdocs_with_a_base_file(site: Site) -> None:
    """What a base file says counts where the site's own says nothing, as in the build itself."""
    (site.root.parent / "shared").mkdir()
    (site.root.parent / "shared" / "base.yml").write_text(
        "site_url: https://shop.example/\nplugins:\n  tracknow:\n"
        "    param: aff\n    window_days: 30\n"
    )
    site.beside(
        "mkdocs.yml",
        "INHERIT: shared/base.yml\nsite_name: Shop\nplugins:\n  tracknow:\n    window_days: 60\n",
    )
    (site.root.parent / "docs").mkdir()
    (site.root.parent / "docs" / "index.md").write_text(f"[buy]({LINK})\n")
    build(site.root.parent, "mkdocs", "build", "--quiet")
    assert site.json()["summary"]["pages"] == {"current": 2}


@pytest.mark.slow
def test_a_site_of_pelican(site: Site) -> None:
    """A build with TRACKNOW in pelicanconf.py is fine."""
    site.beside(
        "pelicanconf.py",
        "SITEURL = ''\nPATH = 'content'\nOUTPUT_PATH = 'site'\nTIMEZONE = 'UTC'\n"
        "FEED_ALL_ATOM = CATEGORY_FEED_ATOM = None\nPLUGINS = ['tracknow']\n"
        "TRACKNOW = {'delivery': 'inline'}\n",
    )
    (site.root.parent / "content").mkdir()
    article = f"Title: Shop\nDate: 2026-01-01\n\n[buy]({LINK})\n"
    (site.root.parent / "content" / "shop.md").write_text(article)
    build(site.root.parent, "pelican", "-s", "pelicanconf.py", "-q")
    found = site.json()
    assert found["settings"] == "pelicanconf.py"
    assert set(found["summary"]["pages"]) == {"current"}
    assert found["summary"]["surfaces"]["link"] >= 1


def test_settings_of_sphinx(site: Site) -> None:
    """Tracknow in conf.py is read without running the file."""
    site.beside("conf.py", "import nowhere\ntracknow: dict = {'param': 'aff'}\n")
    site.write("a.html", page()).inject(param="aff")
    assert site.states() == {"a.html": "current"}


def test_options_of_the_command_come_first(site: Site) -> None:
    """An option on the command line overrules the generator's file."""
    site.beside("conf.py", "tracknow = {'param': 'aff', 'window_days': 30}\n")
    site.write("a.html", page()).inject(param="partner", window_days=30)
    assert site.states("--param partner") == {"a.html": "current"}


def test_tracknow_toml_comes_first(site: Site) -> None:
    """A file of this project's own is all that counts where there is one."""
    site.beside("conf.py", "tracknow = {'param': 'aff'}\n").beside("tracknow.toml", "param = 'x'\n")
    site.write("a.html", page()).inject(param="x")
    assert site.json()["settings"] == "tracknow.toml"


def test_severities_leave_the_generators_settings_alone(site: Site) -> None:
    """A tracknow.toml that says what findings are worth gives no options."""
    site.beside("conf.py", "tracknow = {'param': 'aff'}\n")
    site.beside("tracknow.toml", "[severity]\nTN401 = 'warning'\n")
    site.write("a.html", page()).inject(param="aff").write("b.html", page())
    assert site.codes() == ["b.html:1 TN401"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("conf.py", "tracknow = dict(param='aff')\n", "is computed"),
        ("conf.py", "tracknow = {\n", "cannot be read"),
        ("conf.py", "tracknow = {'parm': 'x'}\n", "Did you mean param?"),
        ("mkdocs.yml", "plugins:\n  - tracknow:\n      window_days: many\n", "window_days: 'many'"),
        ("mkdocs.yml", "plugins: [\n", "cannot be read"),
        ("mkdocs.yml", "INHERIT: nowhere.yml\n", "nowhere.yml"),
        ("mkdocs.yml", "INHERIT: ./mkdocs.yml\n", "leads back to itself"),
    ],
)
def test_settings_that_cannot_be_read(site: Site, file: str, text: str, said: str) -> None:
    """Wrong usage, with the file's name."""
    output = site.beside(file, text).check(code=2).output
    assert said in output
    assert file in output


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("conf.py", "project = 'x'\n"),
        ("mkdocs.yml", "site_name: x\n"),
        ("mkdocs.yml", "site_name: x\nplugins: [search]\n"),
        ("mkdocs.yml", "- just\n- a list\n"),
    ],
)
def test_generators_without_the_plugin(site: Site, file: str, text: str) -> None:
    """Then the defaults count, as for any injected site."""
    site.beside(file, text).write("a.html", page()).inject()
    assert site.json()["settings"] == "defaults"


@pytest.mark.parametrize(
    ("flags", "own_file", "param", "days"),
    [
        ("", "", "aff", 30),
        ("--param click_id", "", "click_id", 30),
        ("--window-days 365", "", "aff", 365),
        ("", "window_days = 365\n", "click_id", 365),
        ("", "[severity]\nTN101 = 'error'\n", "aff", 30),
    ],
)
def test_a_given_value_that_is_a_default_counts(
    site: Site, monkeypatch: pytest.MonkeyPatch, flags: str, own_file: str, param: str, days: int
) -> None:
    """A flag beats the generator's file, and options of our own file replace it."""
    site.beside("pelicanconf.py", "TRACKNOW = {'param': 'aff', 'window_days': 30}\n")
    if own_file:
        site.beside("tracknow.toml", own_file)
    monkeypatch.chdir(site.root.parent)
    given = dict([flags.split()]) if flags else {}
    options = {name[2:].replace("-", "_"): value for name, value in given.items()}
    project = with_generators_settings(config.load(options), str(site.root))
    assert (project.settings.param, project.settings.window_days) == (param, days)
