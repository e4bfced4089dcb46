"""`check`, `variables`, and the errors of a wrong configuration."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.relay.operate.parts import environment, run, run_json
from tests.relay.sales.test_inventory import manifest
from tracknow_static.options import markdown_table
from tracknow_static.relay.config import VARIABLES
from tracknow_static.relay.operate.cli import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.relay.deliver.stand_in import StandIn


def check(environ: Mapping[str, str], code: int = 0) -> dict[str, tuple[str, str]]:
    """Return what `check` finds, by what was looked at."""
    found = run_json(environ, "check", code=code)
    assert found["ok"] is (code == 0)
    return {one["what"]: (one["result"], one["text"]) for one in found["checks"]}


def test_check_reaches_a_destination_without_an_event(
    sqlite_url: str, destination: StandIn
) -> None:
    """A connection is made, and no request."""
    environ = environment(sqlite_url, destination.url)
    run(environ, "migrate")
    found = check(environ)
    assert {result for result, _ in found.values()} == {"ok"}
    assert destination.wait_for(lambda: destination.connections == 1)
    assert destination.requests == []


def test_check_makes_no_database(sqlite_url: str, destination: StandIn) -> None:
    """On a volume that is away, a running relay would store into one that a command made."""
    assert check(environment(sqlite_url, destination.url))["database"][0] == "warning"
    assert not Path(sqlite_url.removeprefix("sqlite:///")).exists()


def test_check_finds_an_unreachable_destination(sqlite_url: str) -> None:
    """The failure names the destination and what was wrong."""
    result, text = check(environment(sqlite_url, "http://127.0.0.1:1/hook"), 1)["destination"]
    assert result == "failed"
    assert "http://127.0.0.1:1/hook" in text
    assert "connect" in text


def test_check_finds_a_site_that_is_none(sqlite_url: str, tmp_path: Path) -> None:
    """The reasons of sales would stay coarse, and nobody would know why."""
    environ = environment(sqlite_url, site="nonsense")
    result, text = check(environ, 1)["site"]
    assert (result, text.partition(":")[0]) == ("failed", "TRACKNOW_RELAY_SITE")
    assert "no such file or folder" in text
    (tmp_path / "tracknow.json").write_bytes(manifest())
    environ["TRACKNOW_RELAY_SITE"] = str(tmp_path / "tracknow.json")
    assert check(environ, 1)["site"][1].endswith("has 1 route to Stripe")


def test_check_finds_a_full_disk(sqlite_url: str, destination: StandIn) -> None:
    """Less room than the floor is a failure before it is one for Stripe."""
    environ = environment(sqlite_url, destination.url, min_free_mb="900000")
    assert check(environ, 1)["disk"][0] == "failed"


def test_check_warns_of_a_secret_that_others_may_read(
    sqlite_url: str, destination: StandIn, tmp_path: Path
) -> None:
    """The mode of the secret's file is looked at; its content is not shown."""
    file = tmp_path / "secret"
    file.write_text("whsec_planted_secret\n")
    environ = environment(sqlite_url, destination.url)
    del environ["STRIPE_WEBHOOK_SECRET"]
    environ["STRIPE_WEBHOOK_SECRET_FILE"] = str(file)
    file.chmod(0o644)
    assert check(environ)["secret file"][0] == "warning"
    file.chmod(0o600)
    found = check(environ)
    assert found["secret file"][0] == "ok"
    assert "planted" not in str(found)


def test_check_finds_a_database_that_cannot_be_made(tmp_path: Path, destination: StandIn) -> None:
    """A folder that is a file holds no database."""
    (tmp_path / "state").write_text("")
    environ = environment(f"sqlite:///{tmp_path}/state/relay.sqlite3", destination.url)
    assert check(environ, 1)["database"][0] == "failed"
    # Nor is the folder itself one, whoever may use it.
    found = check(environment(f"sqlite:///{tmp_path}", destination.url), 1)
    assert "it is a folder" in found["database"][1]
    assert "database file" not in found


def test_the_database_is_for_its_user_alone(sqlite_url: str) -> None:
    """The folder is made with mode 0700, the file with 0600: they hold personal data."""
    run(environment(sqlite_url), "migrate")
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("command", ["status", "drain", "worker", "serve", "check", "migrate"])
def test_a_wrong_configuration_is_said_at_once(sqlite_url: str, command: str) -> None:
    """Every mistake is named in one go, without a traceback, and nothing is done."""
    environ = environment(sqlite_url, livemode="maybe", concurency="3")
    result = run(environ, command, code=2)
    assert "TRACKNOW_RELAY_LIVEMODE: 'maybe'" in result.stderr
    assert "Did you mean TRACKNOW_RELAY_CONCURRENCY?" in result.stderr
    assert "Traceback" not in result.output
    assert not Path(sqlite_url.removeprefix("sqlite:///")).exists()


def test_an_env_file_configures_a_command(sqlite_url: str, tmp_path: Path) -> None:
    """A service's file serves its operator too; the environment counts first."""
    file = tmp_path / "env"
    lines = [f"{k}={v}" for k, v in environment("sqlite:////nowhere/x").items()]
    file.write_text("# comment\n" + "\n".join(lines) + "\n")
    environ = {"TRACKNOW_RELAY_DATABASE": sqlite_url}
    run_json(environ, "--env-file", str(file), "migrate")
    found = run_json(environ, "--env-file", str(file), "status")
    assert found["accepted"] == 0


@pytest.mark.parametrize(
    "line", ["whsec_planted", "STRIPE_WEBHOOK_SECRET whsec_planted", 'A="whsec_planted', "A=b\0c"]
)
def test_an_env_file_with_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    """File, line and what is accepted, but no text of the file: it may be a secret."""
    file = tmp_path / "env"
    file.write_text(f"STRIPE_WEBHOOK_SECRET=whsec_planted\n\n  {line}\nTRACKNOW_NAMESPACE=acme\n")
    result = run({}, "--env-file", str(file), "variables", code=2)
    assert f"{file}', line 3 is not accepted. Accepted: NAME=VALUE lines" in result.stderr
    assert "planted" not in result.output


def test_variables_shows_what_is_set_and_no_secret(sqlite_url: str) -> None:
    """Every variable is listed with its default; a secret's value is not shown."""
    environ = environment(sqlite_url, livemode="both")
    found = {one["name"]: one for one in run_json(environ, "variables")}
    assert set(found) == {one.name for one in VARIABLES.values()}
    assert found["TRACKNOW_RELAY_LIVEMODE"]["value"] == "both"
    assert found["TRACKNOW_RELAY_LIVEMODE"]["default"] == "live"
    assert found["STRIPE_WEBHOOK_SECRET"]["value"] == "set"
    assert "whsec_test" not in run(environ, "variables").output


def test_the_readme_table_has_every_variable() -> None:
    """It is made from the declaration."""
    table = markdown_table(VARIABLES, noun="variable")
    assert all(f"| `{one.name}` |" in table for one in VARIABLES.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    """The short help is whole, and every option has a text."""
    (line,) = re.findall(rf"^  {name} .*", run({}, "--help").stdout, re.MULTILINE)
    assert "..." not in line
    for line in run({}, name, "--help").stdout.splitlines():
        # An option without a text would end after its name.
        assert not re.fullmatch(r"  (-\w, )?--[a-z-]+", line)
