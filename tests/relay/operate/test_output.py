"""What commands print of text from outside, and of the commands that they suggest."""

from __future__ import annotations

import csv
import io
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from tests.relay.operate.parts import environment, run
from tests.relay.sales.shapes import charge, dispute, new, refund, session
from tracknow_static.relay.sales.ledger import Ledger
from tracknow_static.relay.store import destinations
from tracknow_static.relay.store.database import Database
from tracknow_static.relay.store.events import store

if TYPE_CHECKING:
    from pathlib import Path

DESTINATION = "http://127.0.0.1:9/hook"
STEERS = "\x1b[2J"
LONG = "x" * 300


def filled(url: str) -> dict[str, str]:
    """Sell with ids that steer a terminal, are formulas, or are long, each refunded or disputed."""
    bodies: list[dict[str, Any]] = []
    for name, reference in {
        "=1+1": "=2+2",
        f"a{STEERS}": f"b{STEERS}",
        "-1": "\t=3",
        "l": LONG,
    }.items():
        own: dict[str, Any] = {"payment_intent": f"pi_{len(bodies)}", "currency": f"e{STEERS}r"}
        bodies += [
            session(
                str(len(bodies)), id=name, client_reference_id=reference, payment_link=name, **own
            ),
            charge(str(len(bodies)), id=f"@{name}", at=5, **own),
            refund(str(len(bodies)), 500, 60),
        ]
        bodies[-1]["data"]["object"].update(id=f"@{name}", **own)
    bodies.append(dispute("x", "created", "needs_response", charge="@-1", id=f"du{STEERS}"))
    database = Database(url, [DESTINATION])
    store(database, [new(body) for body in bodies])
    Ledger(database).catch_up(60)
    destinations.pause(database, DESTINATION, f"it answered {STEERS}")
    database.close()
    return environment(url)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each command prints."""
    environ = filled(f"sqlite:///{tmp_path_factory.mktemp('database')}/relay.sqlite3")
    commands = ["status", "list", "show evt_0_completed", "sales", "sales --limit 1"]
    commands += ["sales --format csv", "report", "report --format csv", "report --format html"]
    commands += [
        f"report --by {by} --format {how}"
        for by in ("payment-link", "reference")
        for how in ("csv", "text")
    ]
    commands += [f"report --refunds --format {how}" for how in ("text", "csv", "html")]
    found = {line: run(environ, *line.split()).output for line in commands}
    for name in ("=1+1", f"a{STEERS}", "-1"):
        found[f"explain {name!r}"] = run(environ, "explain", "--", name).output
    found["explain of none"] = run(environ, "explain", f"none{STEERS}", code=1).output
    return found


def test_no_command_prints_what_steers_a_terminal(outputs: dict[str, str]) -> None:
    """Ids, currencies, reasons and answers are text, whatever characters they have."""
    assert [line for line, text in outputs.items() if "\x1b" in text or "\t" in text] == []
    assert "\N{REPLACEMENT CHARACTER}[2J" in outputs["report"]


def test_no_cell_is_a_formula(outputs: dict[str, str]) -> None:
    """A spreadsheet program takes a quote at the beginning for text; numbers stay numbers."""
    rows = [
        row
        for line, text in outputs.items()
        if "csv" in line
        for row in csv.reader(io.StringIO(text.partition("To see why")[0]))
    ]
    cells = [cell for row in rows for cell in row]
    assert [cell for cell in cells if cell[:1] in {*"=+-@\t\r"} and not cell.startswith("- ")] == []
    assert {"'=2+2", "'@=1+1", "'=1+1", "'-1", "500"} <= {*cells}


def test_a_long_reference_widens_no_table(outputs: dict[str, str]) -> None:
    """Its beginning is shown; CSV has all of it."""
    for line in ("sales", "list"):
        assert max(map(len, outputs[line].splitlines()[1:-1])) < 300
        assert "x" * 59 + "…" in outputs[line]
    assert LONG in outputs["sales --format csv"]


def test_suggested_commands_have_the_same_file(sqlite_url: str, tmp_path: Path) -> None:
    """What `--env-file` was given for one command is needed for the next one, too."""
    file = tmp_path / "an env"
    lines = [f"{name}={value}" for name, value in filled(sqlite_url).items()]
    file.write_text("\n".join(lines), encoding="utf-8")
    nothing = dict.fromkeys(environment(sqlite_url))
    text = run(nothing, "--env-file", str(file), "status").output  # type: ignore[arg-type]
    assert f"`tracknow-relay --env-file {shlex.quote(str(file))} resume {DESTINATION}`" in text


@pytest.mark.parametrize(
    "args",
    [
        ("show", "evt_\udcff"),
        ("explain", "ch_\udcff"),
        ("mark-reversed", "ch_\udcff"),
        ("replay", "evt_\udcff", "--dry-run"),
        ("list", "--reference", "a\udcff"),
        ("sales", "--reference", "a\udcff"),
        ("purge", "--customer", "cus_\udcff"),
    ],
    ids=lambda args: str(args[0]),
)
def test_an_argument_that_is_not_utf_8(either: dict[str, str], args: tuple[str, ...]) -> None:
    """No database can be asked for it, which is an error and no traceback."""
    assert (
        run(either, *args, code=2).stderr
        == "Error: An argument is not UTF-8. Accepted: text in UTF-8.\n"
    )
