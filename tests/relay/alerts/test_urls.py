"""The variable that holds Apprise URLs, and the file that may hold them instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.relay.operate.parts import environment, run
from tracknow_static.errors import SettingsError
from tracknow_static.relay.config import RelayConfig

if TYPE_CHECKING:
    from pathlib import Path

MAIL = "mailtos://user:planted@example.com?to=a@example.com,b@example.com"


def read(**more: str) -> RelayConfig:
    """Read an environment."""
    return RelayConfig.from_environ(environment("sqlite:////tmp/x.sqlite3", **more))


@pytest.mark.parametrize("separator", [",", ", ", " ", "\n", ",\n"])
def test_urls_are_separated_by_commas_or_white_space(separator: str) -> None:
    """A comma inside a URL belongs to it."""
    assert read(alerts=separator.join([MAIL, "ntfy://x", MAIL])).alerts == (MAIL, "ntfy://x")


def test_a_file_has_one_url_a_line(tmp_path: Path) -> None:
    """Comments and empty lines do not count."""
    file = tmp_path / "alerts"
    file.write_text(f"# the team\n{MAIL}\n\n  # at night: ntfy://planted\nntfy://x\n")
    assert read(alerts_file=str(file)).alerts == (MAIL, "ntfy://x")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("planted@example.com", "Part 1 of it does not start with a scheme."),
        (f"{MAIL} planted", "Part 2 of it does not start with a scheme."),
        ("json://", "Part 1 of it does not start with a scheme."),
        ("# planted", "It is empty."),
    ],
)
def test_what_is_no_url_is_refused_and_not_shown(value: str, words: str) -> None:
    """At the start, with the place of the mistake."""
    with pytest.raises(SettingsError) as caught:
        read(alerts=value)
    text = str(caught.value)
    assert text.startswith("TRACKNOW_RELAY_ALERTS: its value is not accepted.")
    assert words in text
    assert "planted" not in text


def test_commands_that_send_nothing_need_no_url(sqlite_url: str, tmp_path: Path) -> None:
    """A user who may not read the file can look at the relay."""
    environ = environment(sqlite_url, alerts_file=str(tmp_path / "nowhere"))
    run(environ, "migrate")
    run(environ, "status")
    assert "TRACKNOW_RELAY_ALERTS_FILE" in run(environ, "drain", code=2).stderr


def test_no_representation_shows_a_url() -> None:
    """Neither the configuration's nor the list of variables."""
    assert "planted" not in repr(read(alerts=MAIL))
    listed = run(environment("sqlite:////tmp/x.sqlite3", alerts=MAIL), "variables").stdout
    assert "TRACKNOW_RELAY_ALERTS = set" in listed
    assert "planted" not in listed
