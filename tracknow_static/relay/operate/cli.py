"""The ``tracknow-relay`` command, what its subcommands work on, and how long they wait for it.

Each subcommand is imported only when it is called.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracknow_static import __version__
from tracknow_static.click_options import format_option
from tracknow_static.errors import SettingsError, StorageError
from tracknow_static.exit_codes import epilog
from tracknow_static.lazy_group import LazyGroup, Place
from tracknow_static.relay import logs
from tracknow_static.tracknow import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dotenv.parser import Original

    from tracknow_static.options import Option
    from tracknow_static.relay.config import RelayConfig
    from tracknow_static.relay.store.database import Database

_HERE = "tracknow_static.relay.operate"

# Seconds for each step of what changes the store.
CHANGING = 600.0
# Seconds of silence before a person reads what is waited for.
_PATIENCE = 2.0
# Errors of SQLite about its file, which it does not name.
_OF_THE_FILE = frozenset({"disk_full", "database_readonly", "not_a_database"})

# The order is that of a relay's life.
COMMANDS = {
    "variables": Place(f"{_HERE}.cli", "List every variable, its default and its value here."),
    "check": Place(f"{_HERE}.check", "Check configuration, database and every destination."),
    "migrate": Place(f"{_HERE}.repair", "Bring the database's schema to this version."),
    "serve": Place(f"{_HERE}.run", "Receive events and deliver them."),
    "worker": Place(f"{_HERE}.run", "Deliver until stopped."),
    "drain": Place(f"{_HERE}.run", "Deliver what is due and return: for cron."),
    "status": Place(f"{_HERE}.inspect", "Show what waits, and what needs your attention."),
    "list": Place(f"{_HERE}.inspect", "List events.", attribute="list_"),
    "show": Place(f"{_HERE}.inspect", "Show one event and every attempt."),
    "sales": Place(f"{_HERE}.sales", "List sales and what became of each commission."),
    "explain": Place(f"{_HERE}.explain", "Print the story of one sale and its verdict."),
    "report": Place(f"{_HERE}.report", "Sum up a period, and list what to reverse."),
    "mark-reversed": Place(
        f"{_HERE}.mark_reversed", "Take refunds off the list.", attribute="mark_reversed"
    ),
    "backfill": Place(f"{_HERE}.backfill", "Fetch events that Stripe has and the relay does not."),
    "replay": Place(f"{_HERE}.repair", "Deliver events again."),
    "resume": Place(f"{_HERE}.repair", "Deliver to a paused destination again."),
    "retire": Place(f"{_HERE}.repair", "Move or give up what waits for a former destination."),
    "purge": Place(f"{_HERE}.repair", "Remove old payloads."),
}


@click.group(
    cls=LazyGroup,
    places={name: place._replace(extra="relay") for name, place in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="tracknow-relay")
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read variables from a file of NAME=VALUE lines; the environment's own win.",
)
def cli(env_file: Path | None) -> None:
    """Receive Stripe's events, keep them safe, and deliver them to Tracknow.

    Everything is configured by environment variables: at least TRACKNOW_NAMESPACE and
    STRIPE_WEBHOOK_SECRET. `tracknow-relay check` shows what is set and whether it works.
    """
    if env_file is not None:
        _read(env_file)


def _read(file: Path) -> None:
    """Set the variables of a file. Raises :class:`SettingsError`, which shows no text of it."""
    from dotenv.parser import parse_stream

    where = f"--env-file: {str(file)!r}"
    accepted = "Accepted: NAME=VALUE lines, and comments that begin with #."
    try:
        with file.open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError([f"{where} cannot be read: {reason}. {accepted}"]) from None
    wrong = [entry for entry in bindings if entry.error or "\0" in entry.original.string]
    wrong += [entry for entry in bindings if entry.key and entry.value is None]
    if wrong:
        numbers = sorted({_line(entry.original) for entry in wrong})
        raise SettingsError(
            [f"{where}, line {number} is not accepted. {accepted}" for number in numbers]
        )
    for name, value in {entry.key: entry.value for entry in bindings}.items():
        if name and value is not None:
            os.environ.setdefault(name, value)


def _line(original: Original) -> int:
    """Return the number of the line that a statement is on; it begins with the blank ones before."""
    text = original.string
    return original.line + text.count("\n", 0, len(text) - len(text.lstrip()))


@click.command(epilog=epilog())
@format_option()
def variables(output_format: str) -> None:
    """List every variable with its default, its meaning, and its value here.

    Secrets are shown as "set".
    """
    from tracknow_static.relay.config import VARIABLES
    from tracknow_static.relay.operate import output

    if output_format == "json":
        rows = [
            {
                "name": variable.name,
                "default": variable.shown or variable.default_text,
                "value": _value(variable),
                "accepts": variable.accepts,
                "meaning": variable.doc,
            }
            for variable in VARIABLES.values()
        ]
        output.print_json(rows)
        return
    for variable in VARIABLES.values():
        value = _value(variable)
        shown = clean(value or variable.shown or variable.default_text)
        name = click.style(variable.name, bold=bool(value))
        click.echo(f"{name} = {shown}" if shown else name)
        click.echo(click.wrap_text(variable.doc, 100, "    ", "    "))


def _value(variable: Option) -> str | None:
    """Return what the environment sets, or None; of a secret only that it is set, or its file."""
    from tracknow_static.options import is_set

    if not is_set(variable, os.environ):
        return None
    value = os.environ.get(variable.name)
    if variable.secret:
        return "set" if value else os.environ[f"{variable.name}_FILE"]
    return value


def configured(
    *, needs_secrets: bool = False, needs_key: bool = False, needs_alerts: bool = False
) -> RelayConfig:
    """Read the configuration and set up the log.

    Only what verifies signatures needs the signing secret, only what asks Stripe needs the API
    key, and only what sends alerts needs their URLs: the other commands work without them, also
    for a user who may not read their files. Raises :class:`SettingsError`.
    """
    from tracknow_static.relay.config import RelayConfig

    config = RelayConfig.from_environ(
        needs_secrets=needs_secrets, needs_key=needs_key, needs_alerts=needs_alerts
    )
    logs.setup(config, everything=True)
    return config


@contextlib.contextmanager
def opened(
    config: RelayConfig, *, create: bool = False, seconds: float = 30.0, whole: bool = True
) -> Iterator[Database]:
    """Open the database within ``seconds``, and close it at the end.

    The limit holds for the ``whole`` block, or for opening alone.
    Without ``create`` one that is not there is an error: on a volume that is away for a while, a
    command that only looks would make an empty one, which a running relay might store into.
    """
    from tracknow_static.relay.store.database import Database

    database = Database.from_config(config, create=create)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(limited(database, seconds))
            database.open()
            if not whole:
                stack.close()
            yield database
    except UnicodeEncodeError:
        # No database can be asked for it; what is stored has been checked.
        raise SettingsError(["An argument is not UTF-8. Accepted: text in UTF-8."]) from None
    except StorageError as error:
        if error.code in _OF_THE_FILE and database.path and str(database.path) not in str(error):
            raise StorageError(error.code, f"{database.path}: {error}") from error.__cause__
        raise
    finally:
        database.close()


class _Limit:
    """A time-out that a signal enforces: locks and answers are waited for in system calls."""

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._reported = False

    def restart(self) -> None:
        first = min(_PATIENCE, self._seconds)
        self._reported = False
        signal.setitimer(signal.ITIMER_REAL, first)

    def ring(self, _number: int, _frame: Any) -> None:
        what = waited_for(self._database)
        if self._reported or self._seconds <= _PATIENCE:
            raise StorageError("timeout", f"gave up after {self._seconds:g} s: waiting for {what}")
        self._reported = True
        click.echo(f"Waiting for {what} …", err=True)
        signal.setitimer(signal.ITIMER_REAL, self._seconds - _PATIENCE)


_current: _Limit | None = None


@contextlib.contextmanager
def limited(database: Database, seconds: float) -> Iterator[None]:
    """Allow the block ``seconds``, and again after each call of :func:`restart`.

    Raises :class:`StorageError` when they are over. Only a main thread can be interrupted, and
    Windows has no such signal: elsewhere there is no limit.
    """
    global _current  # noqa: PLW0603 - a process has one timer
    if not hasattr(signal, "setitimer") or (
        threading.current_thread() is not threading.main_thread()
    ):
        yield
        return
    limit, outer = _Limit(database, seconds), _current
    handler = signal.signal(signal.SIGALRM, limit.ring)
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    _current = limit
    limit.restart()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)
        _current = outer


def restart() -> None:
    """Start the time of the current limit anew: there is progress."""
    if _current is not None:
        _current.restart()


def waited_for(database: Database) -> str:
    """Return what a command can only be waiting for, in words."""
    if database.path is None:
        where = logs.hide(database.url.render_as_string(hide_password=True))
        return f"{where}: its server is slow to answer, or another session holds a lock"
    lock = database.path.with_name(database.path.name + "-turn")
    if _is_held(str(lock)):
        return f"{lock}, a lock that another process holds (`fuser {lock}` lists it)"
    return f"{database.path}: another program locks it, or its disk is slow to answer"


def _is_held(lock: str) -> bool:
    import fcntl

    with contextlib.suppress(FileNotFoundError, PermissionError), open(lock, "rb") as file:  # noqa: PTH123
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    # Only a user's terminal knows in which encoding it can show what is not ASCII.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    cli.main(args=args, prog_name="tracknow-relay")
