"""Files replaced whole: whenever the process is killed, a page is the old one or the new one.

The new bytes go to a temporary file beside the page, which then takes the page's place. A hard or
symbolic link is thereby cut loose: what else it leads to (an author's source) is never written.

On Linux the two are exchanged (renameat2, RENAME_EXCHANGE) and the old one removed. Both kinds of
rename are atomic, but ext4 flushes a file to the disk when ``os.replace`` puts it over another,
which costs several times as much as everything else together. A crash of the whole machine can
therefore lose what was written last, as with any file that is not flushed; a build is made again.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import re
import stat
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Name of a temporary file: the process that makes it, and a number.
_TEMPORARY = re.compile(r"\.tracknow-([0-9]{1,10})-[0-9]{1,10}\.tmp")
_ABANDONED = 3600  # seconds after which a temporary file is nobody's, whoever has its number now
_NUMBERS = itertools.count()

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# What a kernel or a file system that cannot exchange answers.
_UNSUPPORTED = frozenset((errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM))


def _renameat2() -> Callable[[bytes, bytes], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # a C library older than glibc 2.28 or musl 1.2.6
        return None
    function.argtypes = (
        *(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint),
    )

    def exchange(one: bytes, other: bytes) -> int:
        done = function(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE)
        return 0 if done == 0 else ctypes.get_errno()

    return exchange


_exchange = _renameat2()


def replace_file(path: str | Path, content: bytes, old: os.stat_result | None = None) -> None:
    """Put ``content`` in the place of the file ``path``, or make it; atomically.

    ``old`` is the status of what is there, whose mode and owner the new file takes; without it the
    file gets the mode that the process gives to new ones. Raises ``OSError`` and leaves the old
    file as it was.
    """
    target = os.fspath(path)
    temporary = os.path.join(  # noqa: PTH118 - one string operation for each page of a site
        os.path.dirname(target),  # noqa: PTH120
        f".tracknow-{os.getpid()}-{next(_NUMBERS)}.tmp",
    )
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            _write(handle, content)
            if old is not None:
                _like(handle, old)
        finally:
            os.close(handle)
        _take_place(temporary, target, existing=old is not None)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise


def _write(handle: int, content: bytes) -> None:
    written = os.write(handle, content)
    while written < len(content):
        written += os.write(handle, memoryview(content)[written:])


def _like(handle: int, old: os.stat_result) -> None:
    made = os.fstat(handle)
    if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):
        with contextlib.suppress(OSError):  # only root gives files away
            os.fchown(handle, old.st_uid, old.st_gid)
    if stat.S_IMODE(made.st_mode) != stat.S_IMODE(old.st_mode):
        os.fchmod(handle, stat.S_IMODE(old.st_mode))


def _take_place(temporary: str, target: str, *, existing: bool) -> None:
    if existing and _exchange is not None:
        failed = _exchange(os.fsencode(temporary), os.fsencode(target))
        if not failed:
            os.unlink(temporary)  # noqa: PTH108 - the old file, by now
            return
        if failed not in _UNSUPPORTED and failed != errno.ENOENT:
            raise OSError(failed, os.strerror(failed), target)
    os.replace(temporary, target)  # noqa: PTH105


def is_temporary(name: str) -> bool:
    """Say whether a file's name is that of a temporary file of ours."""
    return name.startswith(".tracknow-") and _TEMPORARY.fullmatch(name) is not None


def left_over(entry: os.DirEntry[str]) -> bool:
    """Say whether a temporary file was left by a run that was killed, and is nobody's."""
    match = _TEMPORARY.fullmatch(entry.name)
    if match is None or not entry.is_file(follow_symlinks=False):
        return False
    owner = int(match.group(1))
    if owner == os.getpid():
        return False
    try:
        os.kill(owner, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED
