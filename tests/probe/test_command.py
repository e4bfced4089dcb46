"""`tracknow-static probe`: what it refuses, and its exit codes and formats."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.probe.test_servers import build
from tests.servers import free_port
from tests.web_servers import serving
from tracknow_static.cli import cli
from tracknow_static.page.site import process_site
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(*arguments: str, stdin: str = "") -> Result:
    """Run the command."""
    return CliRunner().invoke(cli, ["probe", "--timeout=250", *arguments], input=stdin)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shop.example"], "'shop.example' is not accepted. Accepted: the address"),
        (["file:///etc/passwd"], "is not accepted"),
        (["https://user@shop.example/"], "is not accepted"),
        (["https://shop.example/?a=1"], "is not accepted"),
        (["https://shop.example:99999/"], "is not accepted"),
        (["https://[shop.example/"], "is not accepted"),
        (["https://shop.example/", "--resolve", "shop.example=127.0.0.1:99999"], "is not accepted"),
        (["https://shop.example/", "--resolve", "shop.example"], "HOST=ADDRESS:PORT"),
        (["https://shop.example/", "--list", "-"], "--list -: it names no page."),
        (["https://shop.example/", "--pages", "0"], "0 is not in the range"),
    ],
)
def test_wrong_usage_is_named(arguments: list[str], words: str) -> None:
    """Exit code 2, and what is accepted; nothing is asked for."""
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in done.output


def test_a_list_of_another_site_is_refused() -> None:
    """Only pages of the site itself are asked for."""
    done = run("https://shop.example/", "--list", "-", stdin="/a/\nhttps://other.example/b/\n")
    assert done.exit_code == 2
    assert "https://other.example/b/ is not on shop.example" in done.output
    done = run("https://shop.example/", "--list", "-", stdin="https://[x/\n")
    assert done.exit_code == 2
    assert "--list -: " in done.output


def test_a_site_that_does_not_answer() -> None:
    """The reason and the address, and exit code 3: nothing was probed."""
    done = run(f"http://127.0.0.1:{free_port()}/")
    assert done.exit_code == 3
    assert "TN691" in done.output
    assert "refused" in done.output.lower()


def test_a_site_without_a_sitemap(tmp_path: Path) -> None:
    """It is reported that the start page alone was looked at."""
    site = build(tmp_path)
    (site / "sitemap.xml").unlink()
    with serving("nginx", tmp_path, site, server="error_page 404 /404.html;") as port:
        done = run(f"http://127.0.0.1:{port}/")
    assert done.exit_code == 0
    assert "info TN695" in done.stdout
    assert "1 page: 1 carries the script as it should" in done.stdout


def test_formats_and_severities(tmp_path: Path) -> None:
    """The same finding as annotation, SARIF result and text; its severity decides."""
    site = build(tmp_path)
    lost = "error_page 404 /404.html; location = /guide { return 301 /guide/; }"
    with serving("nginx", tmp_path, site, server=lost) as port:
        url = f"http://127.0.0.1:{port}/"
        pages = ["--list", "-"]
        github = run(url, *pages, "--format", "github", stdin="/guide/")
        sarif = run(url, *pages, "--format", "sarif", stdin="/guide/")
        text = run(url, *pages, stdin="/guide/")
        never = run(url, *pages, "--fail-on", "never", stdin="/guide/")
        config = tmp_path / "tracknow.toml"
        config.write_text('[severity]\nTN601 = "info"\n')
        mild = run(url, *pages, "--config", str(config), stdin="/guide/")
    assert github.stdout.startswith(f"::error title=tracknow TN601::{url}guide?click_id=")
    (result,) = json.loads(sarif.stdout)["runs"][0]["results"]
    location = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert location.startswith(f"{url}guide?click_id=")
    assert "error TN601: redirect loses the click id: dropped by 301" in text.stdout
    assert "2 pages: 2 carry the script as they should" in text.stdout
    codes = [done.exit_code for done in (github, sarif, text, never, mild)]
    assert codes == [1, 1, 1, 0, 0]


def test_a_preview_of_a_site_with_a_public_address(tmp_path: Path) -> None:
    """Its sitemap and its 404 page name the public host; the probe asks for the preview's pages."""
    site = build(tmp_path)
    assert not process_site(site, Settings(), site_url="https://shop.example/docs/").failures
    names = ("docs/", "docs/guide/", "blog/")
    urls = "".join(f"<url><loc>https://shop.example/{name}</loc></url>" for name in names)
    (site / "sitemap.xml").write_text(f"<urlset>{urls}</urlset>")
    with serving("nginx", tmp_path, site, server="error_page 404 /404.html;") as port:
        url = f"http://127.0.0.1:{port}/"
        done = run(url, "--json")
    report = json.loads(done.stdout)
    assert report["pages"] == {url: "current", f"{url}guide/": "current"}
    (left,) = report["findings"]
    assert left["code"] == "TN694"
    assert "1 page of shop.example" in left["message"]
    assert done.exit_code == 0


def test_settings_come_from_the_live_manifest(tmp_path: Path) -> None:
    """A site built with other options is compared with those; a flag beats them."""
    site = build(tmp_path, Settings(window_days=30, exclude=("guide/**",)))
    with serving("nginx", tmp_path, site, server="error_page 404 /404.html;") as port:
        url = f"http://127.0.0.1:{port}/"
        right = run(url, "--list", "-", "--json", stdin="/guide/")
        other = run(url, "--list", "-", "--json", "--window-days", "31", stdin="/guide/")
    report = json.loads(right.stdout)
    assert report["pages"] == {url: "current", f"{url}guide/": "excluded"}
    assert report["settings"] == f"{url}assets/tracknow.json"
    assert json.loads(other.stdout)["pages"][url] == "stale"
