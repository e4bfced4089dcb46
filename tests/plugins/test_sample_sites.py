"""The two sample shops: what the plugins do to them, and what the builds print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.plugins.builds import assert_only_added, files, run
from tracknow_static.settings import Settings

pytestmark = pytest.mark.xdist_group("sample-sites")

SAMPLES = Path(__file__).resolve().parents[2] / "sample_site"
MKDOCS = SAMPLES / "mkdocs" / "mkdocs.yml"
PELICAN = SAMPLES / "pelican" / "pelicanconf.py"
# Every route to a payment page that the core distinguishes, as its source looks.
SURFACES = {
    "link": '<a [^>]*href="https://buy.stripe.com/',
    "area": '<area [^>]*href="https://buy.stripe.com/',
    "booking": 'href="https://book.stripe.com/',
    "donation": 'href="https://donate.stripe.com/',
    "test mode": 'href="https://donate.stripe.com/test_',
    "GET form": '<form action="https://buy.stripe.com/[^>]*method="get"',
    "buy button": "<stripe-buy-button",
    "pricing table": "<stripe-pricing-table",
    "inline handler": 'onclick="[^"]*location[^"]*\'https://buy.stripe.com/',
    "link in a drawing": '<svg [^>]*>\\s*<a href="https://buy.stripe.com/',
}


class Shop:
    """One shop, built without and with the plugin; ``printed`` is what the latter build printed."""

    def __init__(self, folder: Path, plain: list[str], ours: list[str]) -> None:
        self.plain, self.ours = folder / "plain", folder / "ours"
        environment = {
            "SITE_URL": "https://example.com/shop/",
            "SITEURL": "https://example.com/shop",
        }
        run(*plain, self.plain, cwd=None, **environment, TRACKNOW="false").ok()
        self.printed = run(*ours, self.ours, cwd=None, **environment).ok().text


@pytest.fixture(scope="module")
def coffee(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Build Morrow Coffee for a sub-path."""
    command = ["mkdocs", "build", "-f", str(MKDOCS), "-d"]
    return Shop(tmp_path_factory.mktemp("coffee"), command, command)


@pytest.fixture(scope="module")
def prints(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Build Tidewater Press for a sub-path."""
    content = str(PELICAN.parent / "content")
    command = ["pelican", content, "--settings", str(PELICAN), "--log-handler", "plain"]
    without = [*command, "--extra-settings", "PLUGINS=[]", "--output"]
    return Shop(tmp_path_factory.mktemp("prints"), without, [*command, "--output"])


def test_the_mkdocs_shop_gains_the_snippet_alone(coffee: Shop) -> None:
    """Instant navigation, consent, blog, redirects, 404, a page written by hand, opt-outs."""
    config = yaml.load(MKDOCS.read_text(encoding="utf-8"), _Loose)
    options = next(each["tracknow"] for each in config["plugins"] if "tracknow" in each)
    settings = Settings.from_mapping({**options, "enabled": True})
    without = ["privacy/index.html", "press/kit.html"]
    pages = assert_only_added(coffee.plain, coffee.ours, settings, root="/shop/", without=without)
    assert {"404.html", "go/spring/index.html", "lookbook.html", "blog/index.html"} <= set(pages)


def test_the_pelican_shop_gains_the_snippet_alone(prints: Shop) -> None:
    """Lists, tags, drafts, 404, a page written by hand, an opt-out."""
    settings = Settings(window_days=90, clean_url=True)
    without = ["privacy/index.html"]
    pages = assert_only_added(prints.plain, prints.ours, settings, root="/shop/", without=without)
    assert {"404.html", "workshop.html", "all/index.html", "tag/sea/index.html"} <= set(pages)


def test_each_build_warns_of_the_test_link_alone(coffee: Shop, prints: Shop) -> None:
    """What the samples' comments announce is what a reader sees, and nothing else."""
    assert re.findall(r"\[TN\d+\]", coffee.printed) == ["[TN106]", "[TN101]"]
    assert coffee.printed.count("WARNING -") == 1
    assert re.findall(r"\[TN\d+\]", prints.printed) == ["[TN101]"]


def test_the_shops_know_every_way_to_pay(coffee: Shop, prints: Shop) -> None:
    """Links, forms, Stripe's elements, handlers, test mode: all are there to be tried."""
    built = [*files(coffee.plain).values(), *files(prints.plain).values()]
    text = b"\n".join(built).decode("utf-8", "replace")
    assert [name for name, form in SURFACES.items() if not re.search(form, text)] == []


class _Loose(yaml.SafeLoader):
    """Reads mkdocs.yml with its tags."""


_Loose.add_multi_constructor("!", lambda loader, suffix, node: None)
