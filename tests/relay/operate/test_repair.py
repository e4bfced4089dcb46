"""Replaying, resuming, retiring, purging and migrating."""

from __future__ import annotations

import contextlib
import itertools
import os
import pty
import sqlite3
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.events import encode, purchase
from tests.relay.operate.parts import (
    accept,
    command,
    database_of,
    environment,
    run,
    run_json,
    whole_environment,
)
from tests.relay.store.parts import dead, delivered
from tracknow_static.relay.config import RelayConfig
from tracknow_static.relay.store import destinations, leases, queries
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.model import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ONE, TWO = "https://one.example/hook", "https://two.example/hook"


def settle(environ: Mapping[str, str], *, refusing: str = "") -> None:
    """Deliver everything, except that ``refusing`` refuses what it gets."""
    database = database_of(environ)
    for claimed in leases.claim(database, limit=1000, lease_seconds=60):
        if claimed.destination == refusing:
            dead(database, claimed, status=400, error="http_400")
        else:
            delivered(database, claimed, status=200)
    database.close()


def pending(environ: Mapping[str, str]) -> dict[str, int]:
    """Count what waits for each destination."""
    found = run_json(environ, "status")["destinations"]
    return {one["destination"]: one["pending"] for one in found}


def filled(database_url: str) -> dict[str, str]:
    """Store five events: the second destination has them, for the first they are dead."""
    environ = environment(database_url, ONE, TWO)
    accept(environ, *(encode(purchase(number)) for number in range(5)))
    settle(environ, refusing=ONE)
    return environ


def test_replay_by_state_leaves_other_deliveries_alone(either: dict[str, str]) -> None:
    """What another destination accepted is not sent there again."""
    found = run_json(either, "replay", "--state", "dead", "--rate", "0")
    assert (found["events"], found["deliveries"]) == (5, 5)
    assert pending(either) == {ONE: 5, TWO: 0}


def test_replay_by_state_and_destination_means_its_deliveries(environ: dict[str, str]) -> None:
    """What is dead for one destination is not replayed to another that has it."""
    found = run_json(environ, "replay", "--state", "dead", "--destination", TWO, code=1)
    assert (found["events"], found["deliveries"]) == (0, 0)
    assert run_json(environ, "replay", "--state", "dead", "--destination", ONE)["deliveries"] == 5
    assert pending(environ) == {ONE: 5, TWO: 0}


def test_the_rate_is_that_of_all_destinations(sqlite_url: str) -> None:
    """The rate counts all deliveries: the last one is due when the command announces it."""
    environ = environment(sqlite_url, ONE, TWO)
    accept(environ, *(encode(purchase(number)) for number in range(3)))
    database = database_of(environ)
    for claimed in leases.claim(database, limit=100, lease_seconds=60):
        dead(database, claimed, status=400, error="rejected")
    assert (
        "the last one in 50 s" in run(environ, "replay", "--state", "dead", "--rate", "0.1").stdout
    )
    due = [d.due_at for it in queries.find(database, Filter()).events for d in it.deliveries]
    database.close()
    assert 49 < max(due) - min(due) < 51


def test_replay_of_an_event_goes_where_it_went(environ: dict[str, str]) -> None:
    """Without a state every delivery of the event is made due again."""
    assert run_json(environ, "replay", "evt_3")["deliveries"] == 2
    assert pending(environ) == {ONE: 1, TWO: 1}


def test_replay_by_id_reaches_delivered_events(environ: dict[str, str]) -> None:
    """An event that was delivered goes out again as long as its payload is there."""
    found = run_json(environ, "replay", "evt_3", "--destination", TWO)
    assert (found["events"], found["deliveries"]) == (1, 1)
    assert pending(environ) == {ONE: 0, TWO: 1}


def test_replay_names_an_id_that_is_not_stored(environ: dict[str, str]) -> None:
    """The others are replayed all the same; the exit code shows that something is wrong."""
    result = run(environ, "replay", "evt_3", "evt_nope", code=1)
    assert result.stderr == "No event 'evt_nope' is stored.\n"
    assert pending(environ) == {ONE: 1, TWO: 1}
    found = run_json(environ, "replay", "evt_nope", "evt_0", "--state", "rejected", code=1)
    assert (found["deliveries"], found["unknown"]) == (0, ["evt_nope"])


def test_a_dry_run_changes_nothing(environ: dict[str, str]) -> None:
    """It reports what would be done."""
    found = run_json(environ, "replay", "--state", "dead", "--dry-run")
    assert found == {
        "dry_run": True,
        "events": 5,
        "deliveries": 5,
        "not_replayed": {
            "purged": 0,
            "thin": 0,
            "in_flight": 0,
            "unconfigured": 0,
            "unsigned": 0,
            "unattributed": 0,
        },
        "unknown": [],
    }
    assert pending(environ) == {ONE: 0, TWO: 0}


def test_replay_is_oldest_first_at_the_rate(either: dict[str, str]) -> None:
    """Due times follow the times of receipt, at the rate."""
    run(either, "replay", "--state", "dead", "--rate", "0.01")
    database = database_of(either)
    events = queries.find(database, Filter(), limit=10).events
    database.close()
    due = [next(d.due_at for d in it.deliveries if d.destination == ONE) for it in events]
    gaps = [later - earlier for earlier, later in itertools.pairwise(due)]
    assert all(99 < gap < 101 for gap in gaps)


def test_replay_says_what_was_purged(environ: dict[str, str]) -> None:
    """An event without its payload cannot be replayed, and that is reported."""
    run(environ, "purge", "--delivered-days", "0", "--dead-days", "0")
    result = run(environ, "replay", "--state", "dead", code=1)
    assert "Not replayed: 5 events (payload purged)." in result.stdout
    assert pending(environ) == {ONE: 0, TWO: 0}


def test_replay_restricts_by_type_and_time(environ: dict[str, str]) -> None:
    """Filters count together."""
    run(environ, "replay", "--type", "charge.succeeded", code=1)
    run(environ, "replay", "--state", "dead", "--until", "1h", code=1)
    assert run_json(environ, "replay", "--state", "dead", "--since", "1h")["events"] == 5


def test_purge_keeps_what_recognises_a_duplicate(either: dict[str, str]) -> None:
    """After a purge the event is known still, and is not delivered a second time."""
    dry = run_json(either, "purge", "--delivered-days", "0", "--dead-days", "0", "--dry-run")
    assert (dry["payloads"], dry["bytes"]) == (
        5,
        sum(len(encode(purchase(number))) for number in range(5)),
    )
    assert run_json(either, "show", "evt_1")["payload_bytes"] is not None
    done = run_json(either, "purge", "--delivered-days", "0", "--dead-days", "0")
    assert done["payloads"] == 5
    accept(either, encode(purchase(1)))
    assert run_json(either, "status")["duplicate"] == 1
    assert pending(either) == {ONE: 0, TWO: 0}
    run(either, "show", "evt_1", "--payload", code=1)


def test_purge_spares_what_waits(environ: dict[str, str]) -> None:
    """A payload that is still to be delivered stays, however old."""
    run(environ, "replay", "evt_2", "--destination", ONE, "--rate", "0")
    run(environ, "purge", "--delivered-days", "0", "--dead-days", "0")
    assert run(environ, "show", "evt_2", "--payload").stdout_bytes == encode(purchase(2))


def test_the_retention_is_configured(environ: dict[str, str]) -> None:
    """Without options the variables count."""
    assert run_json(environ, "purge")["payloads"] == 0
    environ["TRACKNOW_RELAY_RETENTION_DEAD_DAYS"] = "0"
    environ["TRACKNOW_RELAY_RETENTION_DELIVERED_DAYS"] = "0"
    assert run_json(environ, "purge")["payloads"] == 5


def test_resume_lets_deliveries_go_on(environ: dict[str, str]) -> None:
    """A paused destination is shown, resumed by its URL, and then no longer paused."""
    database = database_of(environ)
    destinations.pause(database, ONE, "it answered 401", open_for=60)
    database.close()
    assert "it answered 401" in run(environ, "status", "--strict", code=1).stdout
    assert run_json(environ, "resume", ONE) == {"resumed": [ONE]}
    assert run_json(environ, "status")["destinations"][0]["state"] == "active"
    run(environ, "resume", "--all", code=1)


def test_migrate_makes_the_schema_once(database_url: str) -> None:
    """The second time there is nothing to do."""
    environ = environment(database_url)
    first = run_json(environ, "migrate")
    assert first["before"] == 0
    assert run_json(environ, "migrate") == {"before": first["after"], "after": first["after"]}


def test_a_newer_schema_is_refused(sqlite_url: str) -> None:
    """An old program leaves a newer database alone and reports it, with an exit code of its own."""
    environ = environment(sqlite_url)
    run(environ, "migrate")
    with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("UPDATE schema_version SET version = 999")
        connection.commit()
    assert "999" in run(environ, "status", code=3).stderr


def test_a_database_out_of_reach(tmp_path: Path) -> None:
    """The text names the reason, without a traceback and without a password."""
    url = f"postgresql://relay:planted@/none?host={tmp_path}"
    result = run(environment(url), "status", code=3)
    assert "Error:" in result.stderr
    assert "planted" not in result.output
    assert "Traceback" not in result.output


# -- long tasks


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["replay", "--state", "dead", "--rate", "0"], b"replaying: 5"),
        (["resume", ONE], b"resuming: 4"),
        (["purge", "--dead-days", "0"], b"purging: 5"),
    ],
)
def test_a_long_task_shows_its_progress_on_a_terminal(
    sqlite_url: str, arguments: list[str], shown: bytes
) -> None:
    """A person sees how far it is; nothing of it goes to standard output."""
    environ = filled(sqlite_url)
    if arguments[0] == "resume":
        # The first one is due at once.
        run(environ, "replay", "--state", "dead", "--rate", "0.01")
    database = database_of(environ)
    destinations.pause(database, ONE, "it answered 401", open_for=60)
    database.close()
    terminal, end = pty.openpty()
    done = subprocess.run(
        command(*arguments),
        env=whole_environment(environ),
        stdout=subprocess.PIPE,
        stderr=end,
        timeout=100,
    )
    os.close(end)
    written = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while part := os.read(terminal, 4096):
            written += part
    os.close(terminal)
    assert shown in written
    assert shown not in done.stdout


# -- destinations that are no longer configured

NEW = "https://new.example/hook"


def without_first(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment after ONE was replaced by NEW."""
    return {**environ, "TRACKNOW_RELAY_DESTINATIONS": f"{NEW},{TWO}"}


def waiting(url: str) -> dict[str, str]:
    """Store five events: three wait for ONE, two are dead letters there; TWO accepted all."""
    environ = filled(url)
    run(environ, "replay", "evt_0", "evt_1", "evt_2", "--destination", ONE, "--rate", "0")
    return environ


def test_retire_moves_what_a_former_destination_did_not_accept(database_url: str) -> None:
    """Pending deliveries and dead letters are due for the new destination, and nothing is left."""
    environ = without_first(waiting(database_url))
    dry = run_json(environ, "retire", ONE, "--to", NEW, "--dry-run")
    assert dry == {"dry_run": True, "moved": 5, "given_up": 0, "in_flight": 0}
    done = run_json(environ, "retire", ONE, "--to", NEW)
    assert done == {**dry, "dry_run": False}
    assert pending(environ) == {ONE: 0, NEW: 5, TWO: 0}
    run(environ, "retire", ONE, "--to", NEW, code=1)
    run(environ, "status", "--strict")


def test_replay_leaves_a_former_destination_alone(sqlite_url: str) -> None:
    """Nobody would deliver there: it is reported, and not called a success."""
    environ = without_first(filled(sqlite_url))
    result = run(environ, "replay", "--state", "dead", code=1)
    assert "5 deliveries (destination not configured" in result.stdout
    assert "tracknow-relay retire" in result.stdout
    assert pending(environ) == {ONE: 0, NEW: 0, TWO: 0}
    found = run_json(environ, "replay", "evt_1", "--rate", "0")
    assert (found["deliveries"], found["not_replayed"]["unconfigured"]) == (1, 1)
    assert ONE in run(environ, "replay", "--all", "--destination", ONE, code=2).stderr


def test_a_replay_that_is_spread_over_hours_does_not_stall(environ: dict[str, str]) -> None:
    """A delivery waits since it was due, not since the replay was asked for."""
    run(environ, "replay", "--state", "dead", "--rate", "0.0001")
    settle(environ)
    # The next one is due 10,000 seconds after the first.
    config = RelayConfig.from_environ(environ)
    for later, age in ((0, 0), (9_000, 0), (15_000, 5_000)):
        database = Database.from_config(config, clock=lambda: time.time() + later)  # noqa: B023
        (first, _) = queries.status(database).destinations
        database.close()
        assert (first.oldest_pending_age or 0) == pytest.approx(age, abs=60)


def test_retire_moves_no_event_twice(sqlite_url: str) -> None:
    """An event that the other destination has already is not sent there again."""
    environ = without_first(waiting(sqlite_url))
    run(environ, "replay", "evt_1", "--destination", NEW, "--rate", "0")
    done = run_json(environ, "retire", ONE, "--to", NEW)
    assert (done["moved"], done["given_up"]) == (4, 1)
    assert pending(environ) == {ONE: 0, NEW: 5, TWO: 0}


def test_retire_gives_up(database_url: str) -> None:
    """What nobody wants any more is removed, and its payloads can be purged."""
    environ = without_first(waiting(database_url))
    assert run_json(environ, "retire", ONE, "--give-up")["given_up"] == 5
    assert pending(environ) == {ONE: 0, NEW: 0, TWO: 0}
    assert run_json(environ, "purge", "--delivered-days", "0")["payloads"] == 5


def test_retire_leaves_alone_what_is_in_flight(sqlite_url: str) -> None:
    """A worker that still runs with the old configuration settles what it holds."""
    environ = waiting(sqlite_url)
    database = database_of(environ)
    leases.claim(database, limit=1, lease_seconds=600, destinations=[ONE])
    database.close()
    done = run_json(without_first(environ), "retire", ONE, "--to", NEW)
    assert (done["moved"], done["in_flight"]) == (4, 1)


def test_retire_refuses_a_configured_destination(environ: dict[str, str]) -> None:
    """Its deliveries are on their way; and a target has to be configured."""
    assert "still configured" in run(environ, "retire", ONE, "--give-up", code=2).stderr
    result = run(without_first(environ), "retire", ONE, "--to", "https://x.example/", code=2)
    assert NEW in result.stderr
    run(without_first(environ), "retire", ONE, code=2)


# -- erasing


def test_purge_erases_one_customers_payloads(either: dict[str, str]) -> None:
    """Whatever their state, and no others; duplicates are recognised, and delivered nowhere."""
    run(either, "replay", "evt_1", "--destination", ONE, "--rate", "0")
    body = encode(purchase(1))
    dry = run_json(either, "purge", "--customer", "cus_1", "--dry-run")
    assert dry == {"dry_run": True, "payloads": 1, "bytes": len(body), "not_delivered": 1}
    assert run_json(either, "purge", "--customer", "cus_1") == {**dry, "dry_run": False}
    assert run_json(either, "show", "evt_1")["payload_bytes"] is None
    assert run_json(either, "show", "evt_2")["payload_bytes"] is not None
    accept(either, body)
    assert pending(either) == {ONE: 0, TWO: 0}
    assert run_json(either, "status")["destinations"][0]["dead"] == 4
    run(either, "purge", "--customer", "cus_1", code=1)


def test_purge_erases_events_by_id(environ: dict[str, str]) -> None:
    """For buyers without a customer id."""
    assert run_json(environ, "purge", "--event", "evt_2", "--event", "evt_3")["payloads"] == 2
    assert run_json(environ, "list", "--state", "dead")["events"][0]["id"] == "evt_0"
    run(environ, "purge", "--event", "evt_2", "--dead-days", "1", code=2)
