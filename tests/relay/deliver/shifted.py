"""Run a relay command under a clock that a test sets: ``python -m …shifted OFFSET-FILE COMMAND …``.

The file holds a double: the seconds by which the clock is wrong, read at every look at it.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from pathlib import Path

OFFSET = struct.Struct("d")


def shift(path: Path) -> None:
    """Let ``time.time`` be wrong by what the file says."""
    with path.open("rb") as file:
        offset = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    right = time.time
    time.time = lambda: right() + OFFSET.unpack_from(offset)[0]


if __name__ == "__main__":
    shift(Path(sys.argv.pop(1)))
    from tracknow_static.relay.operate.cli import main

    main()
