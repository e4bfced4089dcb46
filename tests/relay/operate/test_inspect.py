"""What `status`, `list` and `show` print of events that were really received."""

from __future__ import annotations

import contextlib
import ctypes
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.events import charge, encode, purchase
from tests.relay.operate.parts import (
    accept,
    database_of,
    environment,
    run,
    run_json,
    whole_environment,
)
from tests.relay.store.parts import dead, delivered, release
from tests.relay.store.test_faults import mounted
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.store import leases

if TYPE_CHECKING:
    from collections.abc import Mapping

ONE, TWO = "https://one.example/hook?token=planted", "https://two.example/hook"


def settle_some(environ: Mapping[str, str]) -> None:
    """Deliver event 0 everywhere; put event 1 to the dead letters of the first destination."""
    database = database_of(environ)
    for claimed in leases.claim(database, limit=100, lease_seconds=60):
        if claimed.event_id == "evt_0":
            delivered(database, claimed, status=200, took_ms=7)
        elif claimed.event_id == "evt_1" and claimed.destination == ONE:
            dead(database, claimed, status=400, error="http_400", took_ms=9)
        else:
            release(database, [claimed])
    database.close()


def filled(database_url: str) -> dict[str, str]:
    """Store four events for two destinations, and settle some."""
    environ = environment(database_url, ONE, TWO)
    accept(
        environ,
        encode(purchase(0)),
        encode(purchase(1)),
        encode(charge(0, id="evt_2")),
        encode(purchase(3, type="invoice.paid")),
    )
    settle_some(environ)
    return environ


def ids(environ: Mapping[str, str], *args: str) -> list[str]:
    """List the ids of events, in their order."""
    found = run_json(environ, "list", *args)
    return [one["id"] for one in found["events"]]


def test_status_counts_for_each_destination(either: dict[str, str]) -> None:
    """Pending, dead and delivered are those of the destination, kept events are counted by reason."""
    found = run_json(either, "status")
    first, second = found["destinations"]
    assert (first["destination"], second["destination"]) == (ONE, TWO)
    assert (first["pending"], first["dead"], first["delivered"]) == (1, 1, 1)
    assert (second["pending"], second["dead"], second["delivered"]) == (2, 0, 1)
    assert found["accepted"] == 4
    assert found["kept"] == {"type": 1}


def test_the_keys_of_status_are_stable(environ: dict[str, str]) -> None:
    """A script may rely on these."""
    found = run_json(environ, "status")
    assert {
        "now",
        "schema_version",
        "newest_event_at",
        "accepted",
        "duplicate",
        "kept",
        "refused",
        "destinations",
        "attention",
    } <= set(found)
    assert {
        "destination",
        "state",
        "paused_because",
        "paused_at",
        "down",
        "pending",
        "retrying",
        "in_flight",
        "dead",
        "delivered",
        "oldest_pending_age",
    } <= set(found["destinations"][0])


def test_a_table_is_for_people_and_hides_a_query(environ: dict[str, str]) -> None:
    """A destination's query can hold a token: a table does not show it."""
    text = run(environ, "status").stdout
    assert "https://one.example/hook" in text
    assert "planted" not in text


def test_strict_status_fails_for_a_dead_letter(environ: dict[str, str]) -> None:
    """A monitor needs the exit code alone."""
    run(environ, "status")
    run(environ, "status", "--strict", code=1)


def test_list_by_state(either: dict[str, str]) -> None:
    """A state is found if at least one delivery is in it."""
    assert ids(either, "--state", "dead") == ["evt_1"]
    assert ids(either, "--state", "delivered") == ["evt_0"]
    assert ids(either, "--state", "pending") == ["evt_1", "evt_2"]
    assert ids(either, "--state", "kept") == ["evt_3"]


def test_list_by_type_and_destination(environ: dict[str, str]) -> None:
    """Conditions restrict together."""
    assert ids(environ, "--type", "charge.succeeded", "--type", "invoice.paid") == [
        "evt_2",
        "evt_3",
    ]
    assert ids(environ, "--state", "dead", "--destination", TWO) == []
    assert ids(environ, "--destination", "https://one.example/hook") == ["evt_0", "evt_1", "evt_2"]


def test_list_by_reference_finds_the_charge_too(either: dict[str, str]) -> None:
    """A charge has no reference of its own; its payment intent leads to the session's."""
    assert ids(either, "--reference", "click_0") == ["evt_0", "evt_2"]


def test_list_by_time(environ: dict[str, str]) -> None:
    """Times are ages or dates, and bound the time of receipt."""
    assert len(ids(environ, "--since", "1h")) == 4
    assert ids(environ, "--until", "1h") == []
    assert (
        ids(environ, "--since", time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(time.time() + 120)))
        == []
    )


def test_pages_meet_without_gap_and_repetition(either: dict[str, str]) -> None:
    """The cursor of a page begins the next one."""
    whole = run_json(either, "list")["events"]
    first = run_json(either, "list", "--limit", "3")
    second = run_json(either, "list", "--limit", "3", "--after", first["next"])
    assert second["next"] is None
    assert first["events"] + second["events"] == whole
    assert len(whole) == 4


def test_the_oldest_come_first(environ: dict[str, str]) -> None:
    """Events are listed in the order in which they came."""
    received = [one["received_at"] for one in run_json(environ, "list")["events"]]
    assert received == sorted(received)


def test_newest_first(either: dict[str, str]) -> None:
    """A list can begin with what came last, with filters and page by page."""
    whole = ids(either, "--newest")
    assert whole == ids(either)[::-1]
    assert ids(either, "--newest", "--state", "pending") == ["evt_2", "evt_1"]
    first = run_json(either, "list", "--newest", "--limit", "3")
    assert [one["id"] for one in first["events"]] == whole[:3]
    assert ids(either, "--newest", "--limit", "3", "--after", first["next"]) == whole[3:]


@pytest.mark.parametrize("order", [[], ["--newest"]])
def test_a_list_says_how_it_goes_on(environ: dict[str, str], order: list[str]) -> None:
    """The last line is what to add to the same command for the rest."""
    text = run(environ, "list", *order, "--limit", "3").stdout
    rest = shlex.split(text.splitlines()[-1].removeprefix("More:"))
    assert ids(environ, "--limit", "3", *rest) == ids(environ, *order)[3:]


def test_going_on_in_the_other_order_is_refused(environ: dict[str, str]) -> None:
    """It would list what was seen already: the error names the cursor's order."""
    cursor = run_json(environ, "list", "--newest", "--limit", "3")["next"]
    result = run(environ, "list", "--after", cursor, code=2)
    assert "--after" in result.stderr
    assert "newest first" in result.stderr


def test_show_has_every_attempt(either: dict[str, str]) -> None:
    """Status, error and time of each attempt are there."""
    found = run_json(either, "show", "evt_1")
    history = {one["destination"]: one["history"] for one in found["deliveries"]}
    assert [(it["status"], it["error"], it["took_ms"]) for it in history[ONE]] == [
        (400, "http_400", 9)
    ]
    assert found["payload_bytes"] == len(encode(purchase(1)))
    assert "payload" not in found


def test_show_payload_gives_the_bytes(either: dict[str, str]) -> None:
    """What Stripe sent comes out as it came in, with nothing around it."""
    assert run(either, "show", "evt_2", "--payload").stdout_bytes == encode(charge(0, id="evt_2"))


def test_show_says_why_an_event_is_not_forwarded(environ: dict[str, str]) -> None:
    """The reason names the variable that decides."""
    assert "TRACKNOW_RELAY_EVENTS" in run(environ, "show", "evt_3").stdout


def test_a_full_disk_can_be_read_and_left(tmp_path: Path) -> None:
    """Without a relay that has made it, the index of SQLite's log is in memory: it has no room.

    A purge has some, that was set aside, also for what the ledger has not read yet.
    """
    folder = tmp_path / "small"
    with mounted(folder, "24m"):
        environ = environment(f"sqlite:///{folder}/relay.sqlite3")
        accept(environ, encode(purchase(1)))
        database = database_of(environ)
        Ledger(database).catch_up(60)
        database.close()
        accept(environ, encode(purchase(2)))
        with (folder / "rest").open("wb", buffering=0) as rest, contextlib.suppress(OSError):
            while rest.write(bytes(4096)):
                pass
        assert not (folder / "relay.sqlite3-shm").exists()
        for command in (["status"], ["list"], ["show", "evt_1"], ["sales"], ["report"]):
            assert run(environ, *command).stdout
        assert run(environ, "explain", "cs_1").stdout
        assert "database or disk is full" in run(environ, "migrate", code=3).stderr
        run(environ, "purge")
        assert run(environ, "explain", "cs_2").stdout


def test_show_of_an_unknown_event(environ: dict[str, str]) -> None:
    """It is an error that a script sees."""
    assert "evt_404" in run(environ, "show", "evt_404", code=1).stderr


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["list", "--since", "yesterday"], "'yesterday'"),
        (["list", "--state", "lost"], "'lost'"),
        (["list", "--after", "nonsense"], "'nonsense'"),
        (["list", "--destination", "https://three.example/"], "https://three.example/"),
        (["list", "--limit", "0"], "--limit"),
        (["resume"], "--all"),
        (["replay"], "--all"),
    ],
)
def test_a_wrong_option_is_named(sqlite_url: str, args: list[str], named: str) -> None:
    """The text names the value, and the exit code means that nothing was done."""
    environ = environment(sqlite_url)
    run(environ, "migrate")
    result = run(environ, *args, code=2)
    assert named in result.stderr
    assert "Traceback" not in result.output


def test_text_from_outside_cannot_steer_a_terminal(sqlite_url: str) -> None:
    """Control characters in an event do not reach the terminal."""
    environ = environment(sqlite_url)
    accept(environ, encode(purchase(1, session={"client_reference_id": "\x1b[2J\x9b31mred"})))
    database = database_of(environ)
    Ledger(database).catch_up(60)
    database.close()
    for args in (["list"], ["show", "evt_1"], ["report", "--by", "reference"]):
        text = run(environ, *args).stdout
        assert "\x1b" not in text
        assert "\x9b" not in text


def test_json_is_one_document(environ: dict[str, str]) -> None:
    """Nothing else is printed beside it."""
    json.loads(run(environ, "list", "--json").stdout)


LOOKS = """
import contextlib, sys
from tracknow_static.relay.operate.cli import main
for line in sys.argv[1:]:
    with contextlib.suppress(SystemExit):
        main(line.split())
"""
# Root may write everywhere but for these (capabilities(7): CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH).
PR_CAPBSET_DROP, OVERRIDES = 24, (1, 2)


def without_overrides() -> None:
    """Heed the modes of files from the next program on."""
    for capability in OVERRIDES:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability)


@pytest.mark.parametrize("mode", [0o644, 0o444])
def test_a_copy_that_is_read_only_can_be_looked_at(
    environ: dict[str, str], tmp_path: Path, mode: int
) -> None:
    """A backup in a folder that nobody may write to: nothing is made beside it."""
    file = tmp_path / "backup" / "relay.sqlite3"
    file.parent.mkdir()
    shutil.copy(environ["TRACKNOW_RELAY_DATABASE"].removeprefix("sqlite:///"), file)
    file.chmod(mode)
    file.parent.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", LOOKS, "status", "list", "show evt_1", "sales", "replay --all"],
        env=whole_environment({**environ, "TRACKNOW_RELAY_DATABASE": f"sqlite:///{file}"}),
        preexec_fn=without_overrides,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert [*file.parent.iterdir()] == [file]
    file.parent.chmod(0o755)
    assert "accepted 4" in done.stdout
    assert "payload          " in done.stdout
    assert "Error: " in done.stderr.splitlines()[-1]
    assert "readonly" in done.stderr.splitlines()[-1]
    assert done.stderr.count("Error: ") == 1


def test_a_damaged_database_is_named(sqlite_url: str) -> None:
    """SQLite does not name the file that is none of its own: the command does."""
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    file.parent.mkdir(exist_ok=True)
    file.write_text("not a database " * 100)
    found = run(environment(sqlite_url), "status", code=3).output
    assert found == f"Error: {file}: file is not a database\n"
