"""``check`` for people, for scripts, for GitHub and for code scanning."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from tests.audit.conftest import LINK, page
from tools.engines import npm
from tracknow_static.page.codes import CODES

if TYPE_CHECKING:
    from tests.audit.conftest import Site

# Microsoft's package of matchers for SARIF carries the schema that OASIS published.
_PACKAGE, _MEMBER = (
    "@microsoft/jest-sarif@1.0.0-beta.0",
    "package/lib/schemas/sarif-2.1.0-rtm.5.json",
)


@pytest.fixture(scope="module")
def sarif_schema() -> dict[str, Any]:
    """The published schema of SARIF 2.1.0, fetched from npm the first time."""
    schema = npm.FOLDER / "sarif-2.1.0.json"
    npm.FOLDER.mkdir(parents=True, exist_ok=True)
    with (npm.FOLDER / "sarif.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not schema.exists():
            npm.call("pack", _PACKAGE, cwd=npm.FOLDER)
            packed = npm.FOLDER / "microsoft-jest-sarif-1.0.0-beta.0.tgz"
            with tarfile.open(packed) as archive:
                member = archive.extractfile(_MEMBER)
                assert member is not None
                schema.write_bytes(member.read())
            packed.unlink()
    found: dict[str, Any] = json.loads(schema.read_text())
    return found


@pytest.fixture
def faulty(site: Site) -> Site:
    """A site with an error, a warning and an info."""
    body = f'<a href="https://buy.stripe.com/test_x">1</a>\n<i onclick="go(\'{LINK}\')">2</i>'
    site.write("a.html", page(body)).inject().write("sub/new, 100%.html", page())
    return site


def test_a_file_name_neither_steers_a_terminal_nor_fakes_a_line(site: Site) -> None:
    """What a name has of line ends and control characters is replaced in text, kept in JSON."""
    name = "a\nb.html: \x1b[2Jerror.html"
    site.write(name, page(f'<a href="{LINK}">1</a>'))
    text = site.check("--verbose", code=1).stdout
    assert "\x1b" not in text
    assert not [line for line in text.splitlines() if line.startswith("b.html")]
    (found,) = json.loads(site.check("--format json", code=1).stdout)["pages"]
    assert found["file"] == name


def test_github_commands_hold_what_a_host_file_contains(site: Site) -> None:
    """Half of a surrogate pair and control characters are replaced; a line end stays inside."""
    rules = [{"source": "/\ud800\x1b[2J\n::error::", "destination": LINK}]
    site.write("vercel.json", json.dumps({"redirects": rules})).write("a%,.html", page()).inject()
    (line,) = site.check("--format github", code=1).stdout.splitlines()
    assert "/?\ufffd[2J%0A::error:: to https" in line
    assert "\\ud800" not in site.check("--format sarif", code=1).stdout


def test_sarif_is_valid(faulty: Site, sarif_schema: dict[str, Any]) -> None:
    """The log satisfies the published schema; rules, levels and places are there."""
    log = json.loads(faulty.check("--format sarif", code=1).stdout)
    jsonschema.validate(log, sarif_schema)
    (run,) = log["runs"]
    results = [(result["ruleId"], result["level"]) for result in run["results"]]
    assert results == [("TN101", "warning"), ("TN106", "note"), ("TN401", "error")]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    place = run["results"][2]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "site/sub/new%2C%20100%25.html"
    assert place["region"]["startLine"] == 1


def test_sarif_of_a_site_without_findings(site: Site, sarif_schema: dict[str, Any]) -> None:
    """No results is a valid log too."""
    site.write("a.html", page()).inject()
    log = json.loads(site.check("--format sarif").stdout)
    jsonschema.validate(log, sarif_schema)
    assert log["runs"][0]["results"] == []


def test_github_annotations(faulty: Site) -> None:
    """A command for each finding, the worst first, with file and line; escaped."""
    lines = faulty.check("--format github", code=1).stdout.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::notice"]
    assert lines[0].startswith(
        "::error file=site/sub/new%2C 100%25.html,line=1,title=tracknow TN401::"
    )
    assert lines[1].startswith("::warning file=site/a.html,line=3,title=tracknow TN101::")


def test_github_shows_ten(site: Site) -> None:
    """What is the same on many pages is one annotation."""
    for number in range(20):
        site.write(f"{number}.html", page())
    (line,) = site.check("--format github", code=1).stdout.splitlines()
    assert line.endswith("(here and on 19 more pages)")


def test_json(faulty: Site) -> None:
    """Every page with state, routes to Stripe and findings; then the site's findings and counts."""
    found = faulty.json(code=1)
    assert [page["file"] for page in found["pages"]] == ["a.html", "sub/new, 100%.html"]
    assert found["summary"]["pages"] == {"current": 1, "missing": 1}
    assert found["summary"]["surfaces"] == {"handler": 1, "link": 1}
    assert [found["summary"][name] for name in ("errors", "warnings", "infos")] == [1, 1, 1]
    assert found["csp_hash"].startswith("sha256-")


def test_text_on_a_terminal_has_colours(faulty: Site) -> None:
    """Colours are for terminals: a pipe gets none."""
    assert "\x1b[" not in faulty.check(code=1).output
    command = f"{sys.executable} -m tracknow_static check site"
    shown = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        cwd=faulty.root.parent,
        capture_output=True,
        text=True,
        timeout=110,
        stdin=subprocess.DEVNULL,
    )
    assert shown.returncode == 1
    assert "\x1b[31m\x1b[1merror\x1b[0m TN401" in shown.stdout


def test_text_is_ranked_and_ends_with_the_summary(faulty: Site) -> None:
    """Errors first, then warnings and infos; the routes to Stripe; the counts last."""
    output = faulty.check(code=1).output
    found = [output.index(word) for word in ("error TN401", "warning TN101", "info TN106")]
    assert found == sorted(found)
    assert output.rstrip().endswith("1 error, 1 warning, 1 info")
    assert output.index("What leads to Stripe") > found[-1]


def test_places_can_be_jumped_to(faulty: Site) -> None:
    """FILE:LINE: at the beginning of a line, from where the command runs."""
    assert re.search(r"^site/a\.html:3: ", faulty.check(code=1).output, re.MULTILINE)


def test_verbose_tells_every_page(faulty: Site) -> None:
    """--verbose names each page with its state."""
    output = faulty.check("--verbose", code=1).output
    assert re.search(r"^current +site/a\.html$", output, re.MULTILINE)
    assert re.search(r"^missing +site/sub/new, 100%\.html$", output, re.MULTILINE)


@pytest.mark.parametrize(("level", "code"), [("never", 0), ("error", 1), ("warning", 1)])
def test_what_fails(faulty: Site, level: str, code: int) -> None:
    """--fail-on decides from which severity on the exit code is 1."""
    faulty.check(f"--fail-on {level}", code=code)


def test_warnings_fail_when_asked(site: Site) -> None:
    """A warning alone is exit code 0, and 1 with --fail-on warning."""
    site.write("a.html", page('<a href="https://buy.stripe.com/test_x">1</a>')).inject()
    site.check()
    site.check("--fail-on warning", code=1)


def test_severity_by_code(faulty: Site) -> None:
    """[severity] makes a finding worse, milder, or no finding at all."""
    faulty.beside("tracknow.toml", "[severity]\nTN401 = 'warning'\nTN101 = 'error'\nTN106 = 'off'")
    found = faulty.json(code=1)
    findings = [finding for each in found["pages"] for finding in each["findings"]]
    assert [(finding["code"], finding["severity"]) for finding in findings] == [
        ("TN101", "error"),
        ("TN401", "warning"),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("TN40l = 'error'", "severity.TN40l: unknown code. Did you mean TN4"),
        ("TN401 = 'fatal'", "'fatal' is not accepted. Accepted: off, info, warning, error."),
    ],
)
def test_severity_that_does_not_exist(site: Site, line: str, expected: str) -> None:
    """A code or a severity that does not exist is wrong usage, named with its file."""
    site.beside("tracknow.toml", f"[severity]\n{line}\n")
    output = site.check(code=2).output
    assert expected in output
    assert "tracknow.toml" in output


def test_codes_are_listed(site: Site) -> None:
    """--codes names every code with its usual severity; no site is needed."""
    site.root.rmdir()
    lines = site.check("--codes").stdout.splitlines()
    assert len(lines) == len(CODES)
    assert "TN101  warning  payment link of Stripe's test mode" in lines


def test_codes_are_well_formed() -> None:
    """Every code has a meaning that reads on, and no two of them the same."""
    meanings = [code.meaning for code in CODES.values()]
    assert len(set(meanings)) == len(meanings)
    for name, code in CODES.items():
        assert name == code.name
        assert not code.meaning.endswith(".")
        assert not code.fix or code.fix.endswith(".")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_site(site: Site) -> None:
    """Ten times the pages take the same memory, in text and in JSON, as the kernel counts it."""
    site.write("0.html", page(f'<a href="{LINK}">buy</a>' * 15)).inject()
    peaks: dict[tuple[int, str], int] = {}
    for start, pages in ((1, 200), (200, 2500)):
        for number in range(start, pages):
            (site.root / f"{number}.html").hardlink_to(site.root / "0.html")
        for form in ("text", "json"):
            code = (
                "import sys; from tracknow_static.audit.commands import check\n"
                "try: check.main(sys.argv[1:], standalone_mode=False)\n"
                "except SystemExit: pass\n"
                "status = open('/proc/self/status').read()\n"
                "print(status.split('VmHWM:')[1].split()[0], file=sys.stderr)"
            )
            command = [sys.executable, "-c", code, "site", "--format", form]
            done = subprocess.run(
                command, cwd=site.root.parent, capture_output=True, text=True, timeout=100
            )
            peaks[pages, form] = int(done.stderr.split()[-1])
    for form in ("text", "json"):
        assert peaks[2500, form] < peaks[200, form] + 2300  # kilobytes: one for each page more
