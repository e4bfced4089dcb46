"""The relay's log: one line for each record, as text for people or as JSON for machines.

No payload, secret, signature or personal data is ever passed to a logger. The formatters here
make sure of what libraries would add: an exception is shown by its type and its place, not by its
text, and whatever looks like a secret or a mail address is hidden.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, TextIO

from tracknow_static.errors import TracknowError

if TYPE_CHECKING:
    from tracknow_static.relay.config import RelayConfig

_OURS = "tracknow_static"
_SERVER = "_granian"

# What a bare record has; everything else came by `extra`.
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Signing secrets, API keys, signatures, passwords in URLs, mail addresses. Linear in the length of
# the text: a run of characters is searched from its start only.
_HIDDEN = re.compile(
    r"""whsec_[A-Za-z0-9+/=_-]+
    | \b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9_]+
    | \bv[01]=[0-9a-fA-F]{16,}
    | (?<=://)[^\s/@:]*:[^\s/@]+(?=@)
    | (?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]++@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+
    """,
    re.VERBOSE,
)
_BARE = re.compile(r"[!#-<>-\[\]-~]+")  # printable ASCII without space, quote, = and backslash

# Characters of a message, and of each field, that are logged; and the frames of a traceback.
_LONGEST = 2000
_FRAMES = 30

# The server's advice about its number of threads. Ours wait for the disk and not for the
# processor, so there are more of them than it has cores.
_ADVICE = (
    "Configuration allows spawning up to",
    "Configured number of workers",
    # It is what runs one worker in one process; our own tests cover what is used of it.
    "Embedded server is experimental",
)


def setup(config: RelayConfig, *, everything: bool = False, stream: TextIO | None = None) -> None:
    """Send the relay's log to ``stream`` (standard error), once for a process.

    ``everything`` is for a process that is ours alone: other libraries' warnings go the same way,
    and so does what ends a thread. Inside a foreign server only the relay's own loggers are
    touched, and only if nobody has set them up.
    """
    ours = logging.getLogger(_OURS)
    if not everything and (ours.handlers or logging.getLogger().handlers):
        return
    level = getattr(logging, config.log_level.upper())
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if config.log_format == "json" else TextFormatter())
    handler.addFilter(_fit_to_print)
    ours.setLevel(level)
    if not everything:
        ours.addHandler(handler)
        ours.propagate = False
        return
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_SERVER).setLevel(max(level, logging.INFO))
    threading.excepthook = _thread_died


def server_config() -> dict[str, Any]:
    """Return the ``logging`` configuration that leaves the server's loggers to :func:`setup`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {},
        "handlers": {},
        "loggers": {_SERVER: {"propagate": True}},
    }


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what one of our loggers passed by ``extra``; other libraries' extras are not shown."""
    if not record.name.startswith(_OURS):
        return {}
    return {
        name: value
        for name, value in vars(record).items()
        if name not in _PLAIN and not name.startswith("_") and value is not None
    }


def _cut(value: object) -> Any:
    """Return a value for the log: short before anything searches it, and without secrets."""
    if isinstance(value, int | float):
        return value
    # Hidden before the final cut, which could leave the recognisable part of a secret behind.
    text = hide(str(value)[: 2 * _LONGEST])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


class TextFormatter(logging.Formatter):
    """``2026-03-01T12:00:00.000Z info deliver.worker: delivered event=evt_1 status=200``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; an exception follows in indented lines."""
        pairs = "".join(
            f" {name}={_bare(_cut(value))}" for name, value in sorted(fields_of(record).items())
        )
        head = f"{_time(record)} {record.levelname.lower()} {_short(record.name)}: "
        lines = [head + _one_line(_cut(record.getMessage())) + pairs]
        if record.exc_info and record.exc_info[1] is not None:
            kind, text, places = _exception(record.exc_info[1])
            lines.append(f"  {kind}: {_one_line(text)}" if text else f"  {kind}")
            lines.extend(f"    at {place}" for place in places)
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message`` and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        shown: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": _short(record.name),
            "message": _cut(record.getMessage()),
            **{name: _cut(value) for name, value in fields_of(record).items()},
        }
        if record.exc_info and record.exc_info[1] is not None:
            kind, text, places = _exception(record.exc_info[1])
            shown["exception"] = {"type": kind, "message": text, "at": places}
        # JSON leaves DEL as it is, the one control character among ASCII that it does.
        return json.dumps(shown).replace("\x7f", "\\u007f")


def hide(text: str) -> str:
    """Return the text with ``[hidden]`` in place of secrets, signatures and mail addresses."""
    return _HIDDEN.sub("[hidden]", text)


def _fit_to_print(record: logging.LogRecord) -> bool:
    """Keep libraries' chatter out: at debug level it holds headers, statements and payloads."""
    if record.name.startswith(_OURS):
        return True
    if record.name.startswith(_SERVER):
        return record.levelno >= logging.INFO and not str(record.msg).startswith(_ADVICE)
    return record.levelno >= logging.WARNING


def _exception(error: BaseException) -> tuple[str, str, list[str]]:
    """Return type, text and places; the text only of errors whose text we wrote ourselves."""
    kind = type(error)
    text = _cut(error) if isinstance(error, TracknowError) else ""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    return name, text, places


def _thread_died(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None:
        return
    name = args.thread.name if args.thread else "?"
    logging.getLogger(f"{_OURS}.relay").error(
        "thread %s ended by an error", name, exc_info=args.exc_value
    )


def _time(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _short(name: str) -> str:
    return "server" if name.startswith(_SERVER) else name.removeprefix(f"{_OURS}.relay.")


def _one_line(text: str) -> str:
    """Escape what would begin a line of its own or move a terminal's cursor."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _bare(value: object) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=True)
