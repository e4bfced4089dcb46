"""A site on the disk, and the audit run on it from the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tracknow_static.audit.commands import check, csp
from tracknow_static.cli import cli
from tracknow_static.page.site import process_site
from tracknow_static.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

LINK = "https://buy.stripe.com/aEU14A9PY"


def page(body: str = "", head: str = "") -> str:
    """Return a whole page; ``head`` is on line 2, ``body`` on line 3."""
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>t</title>\n"
        f"{head}</head><body>\n{body}</body></html>\n"
    )


@dataclass
class Site:
    """A folder of pages, in a project folder of its own."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, path: str, content: str | bytes) -> Site:
        """Write a file into the site."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def beside(self, path: str, content: str) -> Site:
        """Write a file beside the site's folder, where the command runs."""
        (self.root.parent / path).write_text(content)
        return self

    def inject(self, **options: object) -> Site:
        """Put the script into every page."""
        url = options.pop("site_url", None)
        settings = Settings.from_mapping({"manifest": False, **options})
        process_site(self.root, settings, site_url=url)  # type: ignore[arg-type]
        return self

    def check(self, line: str = "", *, code: int = 0) -> Result:
        """Run ``check``, insist on its exit code and on nothing being changed."""
        files = [file for file in self.root.rglob("*") if file.is_file() and not file.is_symlink()]
        before = {file: file.read_bytes() for file in files}
        result = self._run(check, line, code)
        assert before == {file: file.read_bytes() for file in before}
        return result

    def csp(self, line: str = "") -> Result:
        """Run ``csp`` and insist on its success."""
        return self._run(csp, line, 0)

    def _run(self, command: Any, line: str, code: int) -> Result:
        result = CliRunner().invoke(cli, [command.name, "site", *line.split()], env=self.environ)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def json(self, line: str = "", *, code: int = 0) -> dict[str, Any]:
        """Run ``check --format json`` and read what it printed."""
        found: dict[str, Any] = json.loads(self.check(f"--format json {line}", code=code).stdout)
        return found

    def codes(self, line: str = "", *, code: int = 0) -> list[str]:
        """Return each finding as "FILE:LINE CODE", in order."""
        found = self.json(line, code=code)
        findings = [finding for each in found["pages"] for finding in each["findings"]]
        findings += found["site_findings"]
        return [f"{finding['file']}:{finding['line']} {finding['code']}" for finding in findings]

    def states(self, line: str = "", *, code: int = 0) -> dict[str, str]:
        """Return the state of every page."""
        return {page["file"]: page["state"] for page in self.json(line, code=code)["pages"]}

    def attributions(self, line: str = "", *, code: int = 0) -> list[tuple[str, int, str]]:
        """Return kind, line and attribution of every payment surface."""
        return [
            (surface["kind"], surface["line"], surface["attribution"])
            for each in self.json(line, code=code)["pages"]
            for surface in each["surfaces"]
        ]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An empty site in the folder ``site`` of the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site").mkdir()
    return Site(tmp_path / "site")
