"""The GitHub Action, the pre-commit hooks and the GitLab template do what they promise."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
_PAGE = (
    '<!doctype html><meta charset="utf-8"><title>Shop</title>'
    '<a href="https://buy.stripe.com/{link}">Buy</a>\n'
)
_INPUT = re.compile(r"\$\{\{ inputs\.([a-z-]+) \}\}")


def build(folder: Path, link: str = "live") -> Path:
    """Write a built site of one page."""
    site = folder / "my site"
    site.mkdir(parents=True)
    (site / "index.html").write_text(_PAGE.format(link=link))
    return site


@dataclass
class Runner:
    """Runs an action's steps one after the other, as a runner with bash does."""

    folder: Path
    inputs: Mapping[str, str]
    path: str = field(default_factory=lambda: f"{BIN}:{os.environ['PATH']}")
    summary: str = ""

    def run(self, *, install: bool = False) -> tuple[int, str]:
        """Run the steps up to the first that fails; returns its exit code and all output."""
        action = yaml.safe_load((ROOT / "action.yml").read_text())
        known = {name: given.get("default") for name, given in action["inputs"].items()}
        assert set(self.inputs) <= set(known)
        values = {**known, **self.inputs}
        output = ""
        for step in action["runs"]["steps"]:
            if step["name"] == "Install" and not install:
                continue
            if (condition := step.get("if")) is not None:
                name = re.fullmatch(r"inputs\.([a-z-]+) == 'true'", condition)
                assert name, condition
                if values[name[1]] != "true":
                    continue
            code, printed = self._step(step, values)
            output += printed
            if code:
                return code, output
        return 0, output

    def _step(self, step: dict[str, Any], values: Mapping[str, Any]) -> tuple[int, str]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]  # an input's text is never part of a script
        environ = {
            name: _INPUT.sub(lambda match: str(values[match[1]]), text)
            for name, text in step.get("env", {}).items()
        }
        if "EXTRA" in environ:
            environ["EXTRA"] = "[walk]" if values["walk"] == "true" else ""
        files = {name: self.folder / name for name in ("GITHUB_PATH", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.touch()
        # https://docs.github.com/en/actions/reference/workflow-syntax: bash's flags of a runner
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.folder,
            env={
                "PATH": self.path,
                "HOME": str(self.folder),
                # What `make` has fetched need not be fetched again.
                "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR") or str(Path.home() / ".cache/pip"),
                "RUNNER_TEMP": str(self.folder),
                "GITHUB_ACTION_PATH": str(ROOT),
                **{name: str(file) for name, file in files.items()},
                **environ,
            },
            capture_output=True,
            text=True,
        )
        added = files["GITHUB_PATH"].read_text().split()
        self.path = ":".join([*added, self.path])
        self.summary = files["GITHUB_STEP_SUMMARY"].read_text()
        return done.returncode, done.stdout + done.stderr


def test_the_action_injects_and_checks(tmp_path: Path) -> None:
    """The pages carry the script, the job succeeds, and the summary has the audit."""
    site = build(tmp_path)
    runner = Runner(tmp_path, {"site": str(site)})
    code, output = runner.run()
    assert code == 0, output
    assert "data-tracknow" in (site / "index.html").read_text()
    assert runner.summary.startswith("### tracknow-static check\n```text\n")
    assert "What leads to Stripe:" in runner.summary
    assert runner.summary.endswith("```\n")


def test_the_action_fails_with_annotations(tmp_path: Path) -> None:
    """Without the script an error is annotated; fail-on and args are passed on."""
    site = build(tmp_path, "test_abc")
    code, output = Runner(tmp_path, {"site": str(site), "inject": "false"}).run()
    assert code == 1
    assert "::error file=" in output
    inputs = {"site": str(site), "fail-on": "warning"}
    code, output = Runner(tmp_path, inputs).run()
    assert code == 1
    assert "::warning file=" in output
    code, output = Runner(tmp_path, {**inputs, "args": "--test-links ignore"}).run()
    assert code == 0, output


def test_an_input_is_never_a_script(tmp_path: Path) -> None:
    """A folder's name that would be a command is a name."""
    inputs = {"site": "$(touch stolen); touch stolen", "args": "$(touch stolen) ; touch stolen"}
    code, _ = Runner(tmp_path, inputs).run()
    assert code == 2
    assert not (tmp_path / "stolen").exists()


@pytest.mark.slow
def test_the_action_installs_itself(tmp_path: Path) -> None:
    """Its own checkout becomes the command that the other steps call."""
    site = build(tmp_path)
    runner = Runner(tmp_path, {"site": str(site)})
    runner.path = f"{Path(shutil.which('python3') or sys.executable).parent}:/usr/bin:/bin"
    code, output = runner.run(install=True)
    assert code == 0, output
    assert runner.path.startswith(f"{tmp_path}/tracknow/bin:")


def test_the_gitlab_template(tmp_path: Path) -> None:
    """Its job injects and checks the site of another job."""
    head, job = yaml.safe_load_all((ROOT / "templates" / "check.yml").read_text())
    declared = head["spec"]["inputs"]
    given = {"site": str(build(tmp_path)), "needs": "build"}
    values = {name: given.get(name, (rest or {}).get("default")) for name, rest in declared.items()}
    assert None not in values.values()
    install, *script = job["tracknow"]["script"]
    assert install.startswith("pip install ")
    for line in script:
        command = re.sub(
            r"\$\[\[ inputs\.([a-z-]+) \]\]", lambda match: str(values[match[1]]), line
        )
        assert "$[[" not in command
        environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-ec", command], env=environ, cwd=tmp_path)
        assert done.returncode == 0, command


@pytest.mark.slow
def test_the_hooks_in_pre_commit(tmp_path: Path) -> None:
    """pre-commit installs the project and runs both hooks on a repository with a built site."""
    site = build(tmp_path / "work")
    config = {
        "repos": [
            {
                "repo": str(_clone(tmp_path / "hooks")),
                "rev": "HEAD",
                "hooks": [
                    {"id": "tracknow-inject", "args": [site.name]},
                    {"id": "tracknow-check", "args": [site.name]},
                ],
            }
        ]
    }
    work = site.parent
    (work / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    _git(work, "init", "-q")
    _git(work, "add", "-A")
    command = [sys.executable, "-W", "ignore", "-m", "pre_commit", "run", "--all-files"]
    environ = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "cache")}
    first = subprocess.run(command, cwd=work, env=environ, capture_output=True, text=True)
    assert "files were modified by this hook" in first.stdout, first.stdout + first.stderr
    _git(work, "add", "-A")
    second = subprocess.run(command, cwd=work, env=environ, capture_output=True, text=True)
    assert second.returncode == 0, second.stdout
    assert second.stdout.count("Passed") == 2


def _clone(folder: Path) -> Path:
    """Make a repository of the working tree's files, as a user's pre-commit would fetch it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if name.startswith(("tests/", "docs/")) or not (ROOT / name).is_file():
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    _git(folder, "init", "-q")
    _git(folder, "add", "-A")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    _git(folder, *identity, "commit", "-qm", "state")
    return folder


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
