"""``tracknow.json``: what is in it, who reads it, and what it never does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.page.parts import PAGE, count, make_site, state
from tracknow_static.audit.commands import check, csp
from tracknow_static.cli import cli
from tracknow_static.page.commands import inject, remove

LINK = "https://buy.stripe.com/aEU14A9PY"


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work beside a small built site, ``site``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").mkdir()
    make_site(tmp_path / "site", 3)
    return tmp_path / "site"


def run(command: Any, line: str, *, code: int = 0) -> Result:
    """Run a command in this process and insist on its exit code."""
    result = CliRunner().invoke(cli, [command.name, *line.split()])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def document(site: Path, folder: str = "assets") -> dict[str, Any]:
    """Return what the manifest of a site contains."""
    found: dict[str, Any] = json.loads((site / folder / "tracknow.json").read_text())
    return found


def states(line: str = "site", *, code: int = 0) -> dict[str, str]:
    """Return the state of each page under ``check``."""
    found = json.loads(run(check, f"{line} --format json", code=code).stdout)
    return {page["file"]: page["state"] for page in found["pages"]}


def test_content(site: Path) -> None:
    """Version, settings, address, script, skipped pages with reasons, surfaces with pages, counts."""
    (site / "shop.html").write_bytes(PAGE + f"<a href={LINK}>".encode() * 2)
    (site / "part.html").write_bytes(b"<p>part</p>" + f"<a href={LINK}>".encode())
    (site / "p0.html").write_bytes(PAGE + f"<a href={LINK}2>".encode())
    run(inject, "site --site-url https://shop.example/x/ --param aff --exclude p0.html")
    found = document(site)
    assert (found["tool"], found["format"], found["generator"]) == ("tracknow-static", 1, "inject")
    assert found["site_url"] == "https://shop.example/x/"
    assert (found["settings"]["param"], found["settings"]["exclude"]) == ("aff", ["p0.html"])
    assert found["pages"] == {"carries": 3, "excluded": 1, "skipped": 1}
    assert found["skipped"] == {"part.html": "fragment"}
    assert found["surfaces"] == [
        {
            "kind": "link",
            "url": LINK,
            "count": 3,
            "pages": ["part.html", "shop.html"],
            "without_script": ["part.html"],
        },
        {
            "kind": "link",
            "url": f"{LINK}2",
            "count": 1,
            "pages": ["p0.html"],
            "without_script": ["p0.html"],
        },
    ]
    assert (site / found["script"]["file"]).is_file()


def test_bytes_depend_on_the_site_alone(site: Path, tmp_path: Path) -> None:
    """No time and no path of the machine: another copy elsewhere gives the same bytes."""
    make_site(tmp_path / "deep" / "other", 3)
    run(inject, "site")
    run(inject, "deep/other --jobs 2")
    first = (site / "assets" / "tracknow.json").read_bytes()
    assert first == (tmp_path / "deep" / "other" / "assets" / "tracknow.json").read_bytes()
    assert str(tmp_path).encode() not in first


def test_written_only_when_it_changes(site: Path) -> None:
    """A second run leaves the file alone, and --check would change nothing."""
    run(inject, "site")
    before = state(site / "assets" / "tracknow.json")
    run(inject, "site")
    assert state(site / "assets" / "tracknow.json") == before
    run(inject, "site --check")
    run(inject, "site --check --param other", code=1)


@pytest.mark.parametrize("delivery", ["split", "inline", "file"])
def test_removed_with_everything_else(site: Path, tmp_path: Path, delivery: str) -> None:
    """``remove`` restores every byte and leaves no file of ours."""
    make_site(tmp_path / "plain", 3)
    run(inject, f"site --delivery {delivery} --asset-dir static/js")
    assert document(site, "static/js")["settings"]["delivery"] == delivery
    run(remove, "site")
    assert {path.relative_to(site) for path in site.rglob("*")} == {
        path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*")
    }


def test_the_option_switches_it_off(site: Path) -> None:
    """``--no-manifest`` writes none, and deletes the one of an earlier run."""
    run(inject, "site")
    run(inject, "site --no-manifest")
    assert [path.name for path in (site / "assets").iterdir()] != ["tracknow.json"]
    assert not (site / "assets" / "tracknow.json").exists()


def test_a_foreign_file_of_that_name_stays(site: Path) -> None:
    """Another tool's tracknow.json is neither read nor deleted."""
    (site / "data").mkdir()
    (site / "data" / "tracknow.json").write_text('{"theirs": true}')
    run(inject, "site")
    run(remove, "site")
    assert (site / "data" / "tracknow.json").read_text() == '{"theirs": true}'


def test_every_command_knows_the_settings(site: Path) -> None:
    """Check and csp need no options for a site that was injected with some."""
    run(inject, "site --param aff --delivery inline --site-url https://shop.example/")
    assert set(states().values()) == {"current"}
    assert run(csp, "site").stdout.startswith("script-src 'sha256-")


def test_inject_keeps_what_it_was_not_told(site: Path) -> None:
    """Options given now replace those of the manifest; the others stay, and are named."""
    assert run(inject, "site --param aff --window-days 30").stderr == ""
    result = run(inject, "site --window-days 60")
    assert result.stderr == "tracknow: kept from assets/tracknow.json: param 'aff'\n"
    settings = document(site)["settings"]
    assert (settings["param"], settings["window_days"]) == ("aff", 60)


def test_flag_then_file_then_manifest(site: Path) -> None:
    """A flag beats tracknow.toml, which beats the manifest, also with values that are defaults."""
    run(inject, "site --param aff --window-days 30 --storage-name kept")
    Path("tracknow.toml").write_text("param = 'click_id'\nwindow_days = 60\n")
    run(inject, "site --window-days 365")
    settings = document(site)["settings"]
    values = (settings["param"], settings["window_days"], settings["storage_name"])
    assert values == ("click_id", 365, "kept")
    assert set(states("site --window-days 365").values()) == {"current"}
    assert set(states(code=1).values()) == {"stale"}


def test_without_one_the_settings_have_to_be_named(site: Path) -> None:
    """A site of unknown origin: the finding names --config and --site-url."""
    (site / "404.html").write_bytes(PAGE)
    run(inject, "site --no-manifest --site-url https://shop.example/shop/")
    output = run(check, "site", code=1).output
    assert "TN414" in output
    assert "--site-url" in output
    run(check, "site --site-url https://shop.example/shop/")


def test_options_that_contradict_the_manifest(site: Path) -> None:
    """A flag that does not fit the site's settings is refused, and nothing changes."""
    run(inject, "site --integrity")
    result = run(inject, "site --delivery inline", code=2)
    assert "integrity" in result.output
    assert document(site)["settings"]["delivery"] == "split"


def test_a_manifest_of_a_newer_version(site: Path) -> None:
    """It is refused by name, and nothing is changed."""
    run(inject, "site")
    file = site / "assets" / "tracknow.json"
    file.write_text(file.read_text().replace('"format": 1', '"format": 2'))
    before = (site / "p0.html").read_bytes()
    for command in (check, csp, inject):
        output = run(command, "site --param x", code=2).output
        assert "assets/tracknow.json" in output
        assert "Upgrade" in output
    assert (site / "p0.html").read_bytes() == before


@pytest.mark.parametrize("text", ['{"tool": "tracknow-static", "format": 1}', "[" * 10_000, "{"])
def test_a_damaged_manifest(site: Path, text: str) -> None:
    """It gives an error or counts as none; there is no traceback."""
    (site / "assets").mkdir()
    (site / "assets" / "tracknow.json").write_text(text)
    result = CliRunner().invoke(cli, ["check", "site"])
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)


def test_a_site_inside_a_site(site: Path) -> None:
    """A folder with a manifest of its own stays as it was built; check points at it."""
    make_site(site / "v1", 2)
    run(inject, "site/v1 --param aff")
    before = (site / "v1" / "p0.html").read_bytes()
    run(inject, "site")
    assert (site / "v1" / "p0.html").read_bytes() == before
    found = json.loads(run(check, "site --format json").stdout)
    assert [page["file"] for page in found["pages"]] == ["p0.html", "p2.html", "sub/p1.html"]
    assert [finding["code"] for finding in found["site_findings"]] == ["TN415"]
    run(remove, "site")
    assert count((site / "v1" / "p0.html").read_bytes()) == 2


def test_two_sites_side_by_side(site: Path) -> None:
    """Each is audited with its own settings from the same folder."""
    make_site(site.parent / "other", 2)
    run(inject, "site --param one")
    run(inject, "other --param two")
    run(check, "site")
    run(check, "other")
