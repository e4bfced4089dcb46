"""Exit codes, which mean the same in every command of both programs."""

from __future__ import annotations

DONE = 0
ATTENTION = 1
MISUSE = 2
FAILED = 3
KEY = 4
STRIPE = 5
CONFLICT = 6
INTERRUPTED = 130

MEANINGS = {
    DONE: "done",
    ATTENTION: "done, but something needs your attention",
    MISUSE: "the command line, an option, the configuration or the folder is wrong; "
    "nothing was done",
    FAILED: "something could not be read, written or reached: files, the database, the live site or "
    "the browser; the rest is done",
    KEY: "the API key is missing, wrong, or lacks a permission",
    STRIPE: "Stripe cannot be reached, is busy, or refused the request",
    CONFLICT: "refused: a sale would count twice or be lost, or live and test mode would mix",
    INTERRUPTED: "interrupted",
}


def epilog(*codes: int, attention: str | None = None) -> str:
    """Return the end of a command's ``--help``: the exit codes that it can return.

    ``DONE`` and ``MISUSE`` are always listed. ``attention`` lists ``ATTENTION`` with what it means
    for this command ("a dead letter or a paused destination").
    """
    listed = {DONE, MISUSE, *codes} | ({ATTENTION} if attention else set())
    meanings = MEANINGS | ({ATTENTION: attention} if attention else {})
    rows = [f"  {code:<4} {meanings[code]}" for code in sorted(listed)]
    return "\n".join(["\b", "Exit codes:", *rows])
