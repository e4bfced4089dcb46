"""The audit names every payment address, with what becomes of it in a browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mike  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner

from tests.faults.test_manifest import INPUTS
from tracknow_static.audit.commands import check
from tracknow_static.page.commands import inject


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def audit(name: str, folder: Path, options: str = "") -> dict[str, Any]:
    """Inject one of the inputs and audit it; return the JSON."""
    shutil.copytree(INPUTS / name / "site", folder / "site", dirs_exist_ok=True)
    CliRunner().invoke(inject, ["site", *options.split()], catch_exceptions=False)
    result = CliRunner().invoke(check, ["site", "--json"], catch_exceptions=False)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def routes(found: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return kind and reach of each surface by its file."""
    return {
        page["file"]: [(surface["kind"], surface["reaches"]) for surface in page["surfaces"]]
        for page in found["pages"]
        if page["surfaces"]
    }


def codes(found: dict[str, Any]) -> dict[str, list[str]]:
    """Return the codes by file, without those of the whole site."""
    return {
        page["file"]: [finding["code"] for finding in page["findings"]]
        for page in found["pages"]
        if page["findings"]
    }


# Without options: kind, and whether the id reaches Stripe.
ROUTES = {
    "attached-blank-removed.html": [("script", "some")],
    "bare-frame.txt.html": [("handler", "some")],
    "closed-shadow-blank.html": [("script", "some")],
    "closed-shadow.html": [("script", "some")],
    "competitor-poll.html": [("link", "always")],
    "data-json-go.html": [("data", "some")],
    "data-url-go.html": [("data", "some")],
    "data-url-open.html": [("data", "some")],
    "detached-blank.html": [("script", "never")],
    "detached-self.html": [("script", "some")],
    "form-made-get-blank.html": [("script", "some")],
    "form-made-get.html": [("script", "some")],
    "form-made-post-blank.html": [("script", "some")],
    "js-href-go.html": [("handler", "some")],
    "js-href-open.html": [("handler", "never")],
    "linker-click-blank.html": [("link", "always"), ("script", "some")],
    "linker-click-bubble.html": [("link", "always"), ("script", "some")],
    "linker-mousedown.html": [("link", "always")],
    "meta-refresh-0.html": [("refresh", "some")],
    "meta-refresh.html": [("refresh", "some")],
    "open-listener.html": [("script", "never")],
    "open-onclick.html": [("handler", "never")],
    "prevent-then-go.html": [("link", "always")],
    "srcdoc-blank.html": [("link", "always")],
    "srcdoc-top.html": [("link", "always")],
    "stale-invalid.html": [("link", "always")],
    "stale-slash.html": [("link", "always")],
}


def test_every_route_is_named(folder: Path) -> None:
    """Each page with a payment address, of whatever shape, is there with what becomes of it."""
    assert routes(audit("roads", folder)) == ROUTES


def test_windows_with_the_option(folder: Path) -> None:
    """With ``window_open`` the windows that scripts open carry the id, and nothing is lost."""
    found = audit("roads", folder, "--window-open")
    assert found["summary"]["surfaces_that_lose_the_click_id"] == 0
    for file in ("open-listener.html", "open-onclick.html", "js-href-open.html"):
        assert routes(found)[file] == [(ROUTES[file][0][0], "always")]


def test_the_option_is_named_without_it(folder: Path) -> None:
    """What is lost for want of an option names it."""
    found = audit("roads", folder)
    messages = [finding["message"] for page in found["pages"] for finding in page["findings"]]
    opened = [message for message in messages if "in a window" in message]
    assert len(opened) == 4
    assert all("window_open" in message for message in opened)


def test_other_tools_are_reported(folder: Path) -> None:
    """A script of the page that writes a reference itself is pointed at."""
    assert "TN203" in codes(audit("roads", folder))["competitor-poll.html"]


def test_frameworks(folder: Path) -> None:
    """Addresses in attributes of Alpine, in templates, and on pages for Turbo."""
    assert routes(audit("alpine", folder)) == {
        "alpine-bind.html": [("link", "always"), ("link", "always")],
        "alpine-click-open.html": [("handler", "never")],
        "alpine-click.html": [("data", "some"), ("handler", "some")],
        "alpine-for-element.html": [("pricing-table", "always")],
        "alpine-if.html": [("link", "always")],
        "turbo-b.html": [("link", "always"), ("buy-button", "always")],
        "turbo-form.html": [("form", "always")],
        "turbo-piece.html": [("link", "always")],
    }


def test_redirects_at_once(folder: Path) -> None:
    """With ``split`` a redirect while the page is parsed loses the id; one second later it passes."""
    found = audit("interstitial", folder)
    assert routes(found) == {
        "docs.html": [("parameter", "some")],
        "pay.html": [("script", "never")],
        "soon.html": [("script", "some")],
    }
    assert "TN109" in codes(found)["pay.html"]
    assert "TN112" in codes(found)["docs.html"]


@pytest.mark.parametrize("delivery", ["inline", "file"])
def test_redirects_at_once_with_another_delivery(folder: Path, delivery: str) -> None:
    """With the whole script first the redirect is caught, in browsers that can."""
    found = audit("interstitial", folder, f"--delivery {delivery}")
    assert routes(found)["pay.html"] == [("script", "some")]


def test_a_stub_that_passes_the_query_on(folder: Path) -> None:
    """Nothing is lost on it, with or without our script."""
    shutil.copytree(INPUTS / "redirect-keeps-query" / "site", folder / "site")
    (folder / "site" / "index.html").write_text("<!doctype html><title>x</title>")
    CliRunner().invoke(inject, ["site", "--exclude", "old.html"], catch_exceptions=False)
    for options in ([], ["--exclude", "none"]):
        result = CliRunner().invoke(check, ["site", "--json", *options])
        found = json.loads(result.stdout)
        assert codes(found) == {}


def test_the_alias_of_a_version(folder: Path) -> None:
    """Mike writes its redirects after the build: they pass the query on, so nothing is missing."""
    template = Path(mike.__file__).parent / "templates" / "redirect.html"
    stub = template.read_text().replace("{{href}}", "../1.0/")
    (folder / "site" / "1.0").mkdir(parents=True)
    (folder / "site" / "1.0" / "index.html").write_text("<!doctype html><title>x</title>")
    CliRunner().invoke(inject, ["site"], catch_exceptions=False)
    (folder / "site" / "latest").mkdir()
    (folder / "site" / "latest" / "index.html").write_text(stub)
    result = CliRunner().invoke(check, ["site", "--json"], catch_exceptions=False)
    assert codes(json.loads(result.stdout)) == {}
    assert result.exit_code == 0


def test_redirects_of_hosts(folder: Path) -> None:
    """Each file's redirect to a payment page is an error that shows what to write."""
    found = audit("host-redirects", folder)
    findings = [finding for finding in found["site_findings"] if finding["code"] == "TN425"]
    assert [(finding["file"], finding["line"]) for finding in findings] == [
        ("_redirects", 1),
        ("_redirects", 2),
        ("netlify.toml", 3),
        ("vercel.json", 1),
    ]
    assert all("client_reference_id=:id" in finding["message"] for finding in findings)
    (folder / "site" / "netlify.toml").unlink()
    (folder / "site" / "vercel.json").unlink()
    (folder / "site" / "_redirects").write_text(
        "/buy click_id=:id https://buy.stripe.com/h1?client_reference_id=:id 302\n"
        "/old https://shop.example/new 301 # https://buy.stripe.com/h1\n"
    )
    result = CliRunner().invoke(check, ["site", "--json"])
    assert json.loads(result.stdout)["site_findings"] == []
