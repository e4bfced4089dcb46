"""Sites of six generators: built, injected, audited, opened in a browser, and restored."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.generators.sites import ELEVENTY, ELEVENTY_SITE, LINK, SITES, Site
from tests.plugins.builds import assert_only_added, files, run
from tools.engines import npm
from tools.engines.browser import Browser, BrowserError
from tools.engines.fake_stripe import serve_stripe
from tools.engines.fake_web import FakeWeb
from tools.engines.launch import launch
from tools.engines.sandbox import Sandbox, SandboxError
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("chromium")]
ID = "aff-7d1e_42"


@pytest.fixture(scope="module")
def chromium() -> Iterator[tuple[FakeWeb, Browser]]:
    """A browser, and a fake web that serves it."""
    try:
        sandbox = Sandbox()
        web = FakeWeb(sandbox)
        serve_stripe(web)
        browser = launch("chromium", sandbox)
    except (SandboxError, BrowserError) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    yield web, browser
    browser.quit()
    web.close()
    sandbox.close()


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_a_site_from_its_build_to_stripe_and_back(
    site: Site, chromium: tuple[FakeWeb, Browser], tmp_path: Path
) -> None:
    """Pages gain the snippet alone, nothing is to fix, the id arrives, every byte comes back."""
    if site is ELEVENTY_SITE:
        npm.read("@11ty/eleventy", ELEVENTY, "package.json")
    built = site.build(tmp_path / "source")
    plain = tmp_path / "plain"
    plain.mkdir()
    for path, content in files(built).items():
        (plain / path).parent.mkdir(parents=True, exist_ok=True)
        (plain / path).write_bytes(content)
    run("tracknow-static", "inject", built, cwd=tmp_path).ok()
    assert_only_added(plain, built, Settings())
    times = _times(built)
    run("tracknow-static", "inject", built, cwd=tmp_path).ok()
    assert _times(built) == times
    run("tracknow-static", "check", built, "--fail-on", "warning", cwd=tmp_path).ok()
    _buy(site, built, *chromium)
    run("tracknow-static", "remove", built, cwd=tmp_path).ok()
    assert files(built) == files(plain)


def _buy(site: Site, built: Path, web: FakeWeb, browser: Browser) -> None:
    """Land on the front page with a click id, walk to the payment link, and click it."""
    host = f"{site.name}.example"
    web.put_folder(host, built)
    browser.open(f"https://{host}/?click_id={ID}")
    browser.open(f"https://{host}{site.walk}")
    since = len(web.requests)
    browser.click(f'a[href^="{LINK}"]')
    asked = web.wait_for(lambda request: request.host == "buy.stripe.com", since)
    assert asked.url == f"{LINK}?prefilled_promo_code=SPRING&client_reference_id={ID}"


def _times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
