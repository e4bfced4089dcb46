"""Files replaced whole: whenever the process is killed, a page is the old one or the new one.

The new bytes go to a temporary file, which then takes the page's place. A hard or symbolic link is
thereby cut loose: what else it leads to (an author's source) is never written.

On Linux the two are exchanged (renameat2, RENAME_EXCHANGE). Both kinds of rename are atomic, but
ext4 flushes a file to the disk when ``os.replace`` puts it over another, which costs several times
as much as everything else together; and making a file costs several times as much as writing one.
So what was a page a moment ago is the temporary file for the next one, unless another name leads
to it or somebody has it open. A crash of the whole machine can lose what was written last, as with any file that is
not flushed; a build is made again.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import re
import signal
import stat
import sys
import time
from typing import TYPE_CHECKING

if sys.platform.startswith("linux"):
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

# Name of a temporary file: the process that makes it, and a number.
_TEMPORARY = re.compile(r"\.tracknow-([0-9]{1,10})-[0-9]{1,10}\.tmp")
_ABANDONED = 3600  # seconds after which a temporary file is nobody's, whoever has its number now
_NUMBERS = itertools.count()

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# What a kernel or a file system that cannot exchange answers; EXDEV: another file system.
_UNSUPPORTED = frozenset((errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV))


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

    def exchange(first: bytes, other: bytes) -> int:
        done = function(_AT_FDCWD, first, _AT_FDCWD, other, _RENAME_EXCHANGE)
        return 0 if done == 0 else ctypes.get_errno()

    return exchange


_exchange = _renameat2()


class Replacer:
    """Replaces files one after the other, with one temporary file; use it in a ``with``.

    Not for several threads.
    """

    def __init__(self) -> None:
        self._spare: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file."""
        if self._spare is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._spare)  # noqa: PTH108
            self._spare = None

    def replace(self, path: str, content: bytes, old: os.stat_result) -> None:
        """Put ``content`` in the place of the file ``path``, atomically.

        ``old`` is the status of what is there, whose mode and owner the new file takes. Raises
        ``OSError`` and leaves the old file as it was.
        """
        if _exchange is None:
            replace_file(path, content, old)
            return
        try:
            handle = self._open_spare(path)
            try:
                _fill(handle, content, old)
            finally:
                os.close(handle)
            assert self._spare is not None  # noqa: S101
            failed = _exchange(os.fsencode(self._spare), os.fsencode(path))
        except BaseException:
            self.close()
            raise
        if failed:
            self.close()
            if failed not in _UNSUPPORTED:
                raise OSError(failed, os.strerror(failed), path)
            replace_file(path, content, old)

    def _open_spare(self, path: str) -> int:
        """Open the temporary file for writing: the page before this one, or a new file."""
        if self._spare is not None:
            with contextlib.suppress(OSError):
                # NOFOLLOW: what has just been a page may be a symbolic link.
                handle = os.open(self._spare, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    if _only_ours(handle):
                        return handle
                except OSError:
                    os.close(handle)
                    raise
                os.close(handle)
            self.close()
        self._spare, handle = _new_file(path)
        return handle


def _only_ours(handle: int) -> bool:
    """Whether a file has one name, no other user, and nothing that another page would inherit."""
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        return False
    # Access control lists and the like; the label of SELinux is that of the folder.
    if any(name != "security.selinux" for name in os.listxattr(handle)):
        return False
    # The kernel grants the lease only if nobody else has the file open: a web server may keep
    # pages open, and would go on to serve another page's bytes.
    fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)  # the usual signal would end the process
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True


def replace_file(path: str | Path, content: bytes, old: os.stat_result | None = None) -> None:
    """Put ``content`` in the place of the file ``path``, or make it; atomically.

    Without ``old`` the file gets the mode that the process gives to new ones; see
    :meth:`Replacer.replace`.
    """
    target = os.fspath(path)
    temporary, handle = _new_file(target)
    try:
        try:
            _fill(handle, content, old)
        finally:
            os.close(handle)
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise


def _new_file(beside: str) -> tuple[str, int]:
    folder = os.path.dirname(beside)  # noqa: PTH120 - one string operation for each page of a site
    name = f".tracknow-{os.getpid()}-{next(_NUMBERS)}.tmp"
    temporary = os.path.join(folder, name)  # noqa: PTH118
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return temporary, os.open(temporary, flags, 0o666)


def _fill(handle: int, content: bytes, old: os.stat_result | None) -> None:
    """Write a file, having given it mode and owner of an older one."""
    made = os.fstat(handle)
    if old is not None:
        if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):
            with contextlib.suppress(OSError):  # only root gives files away
                os.fchown(handle, old.st_uid, old.st_gid)
        if stat.S_IMODE(made.st_mode) != stat.S_IMODE(old.st_mode):
            os.fchmod(handle, stat.S_IMODE(old.st_mode))
    written = os.write(handle, content)
    while written < len(content):
        written += os.write(handle, memoryview(content)[written:])
    if made.st_size > written:  # only now: ext4 flushes what is cut first and written then
        os.ftruncate(handle, written)


def is_temporary(name: str) -> bool:
    """Whether a file's name is that of a temporary file of ours."""
    return name.startswith(".tracknow-") and _TEMPORARY.fullmatch(name) is not None


def left_over(file: Path) -> bool:
    """Whether a temporary file was left by a run that was killed, and belongs to nobody."""
    match = _TEMPORARY.fullmatch(file.name)
    status = file.lstat()
    if match is None or not stat.S_ISREG(status.st_mode):
        return False
    owner = int(match.group(1))
    if owner == os.getpid():
        return False
    return _gone(owner) or time.time() - status.st_mtime > _ABANDONED


def _gone(process: int) -> bool:
    try:
        os.kill(process, 0)
        # Dead, but nobody has asked for its exit code yet: field 3 of proc(5)'s stat.
        with open(f"/proc/{process}/stat", "rb") as status:  # noqa: PTH123
            return status.read().rpartition(b")")[2].split()[:1] == [b"Z"]
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
