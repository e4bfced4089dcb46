"""A network of its own for browsers and servers, in which every host name leads to this machine.

Linux keeps namespaces per thread: the sandbox is one thread that left the machine's network and
mount namespaces. Sockets it opens and processes it starts belong to the sandbox; the rest of the
process goes on as before, and other processes notice nothing. It needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

# linux/sched.h, linux/mount.h, linux/sockios.h, linux/if.h
_CLONE_NEWNS = 0x00020000
_CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_IFF_UP_RUNNING = 0x41


class SandboxError(RuntimeError):
    """The namespaces cannot be made; the text names what is needed."""


class Sandbox:
    """A thread in network and mount namespaces of its own; ``call`` runs a function there."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox")
        self._folder = tempfile.TemporaryDirectory(prefix="tracknow-sandbox-")
        self._hosts = Path(self._folder.name, "hosts")
        self._known: set[str] = set()
        self._hosts.write_text("127.0.0.1 localhost\n", encoding="ascii")
        try:
            self._network = self.call(self._enter)
        except BaseException:
            self._thread.shutdown()
            self._folder.cleanup()
            raise

    def call(self, function: Callable[..., T], *args: object, **named: object) -> T:
        """Run a function in the sandbox; return its result or raise what it raises."""
        return self._thread.submit(function, *args, **named).result()

    def add_hosts(self, *hosts: str) -> None:
        """Resolve host names to this machine from now on."""
        new = [host for host in hosts if host not in self._known]
        self._known.update(new)
        # Appended in place: a bind mount shows the file, not whatever replaces it.
        with self._hosts.open("a", encoding="ascii") as file:
            file.writelines(f"127.0.0.1 {host}\n" for host in new)

    def processes(self) -> list[int]:
        """Return the ids of all processes in the sandbox's network, except our own."""
        return [pid for pid in _all_processes() if _network_of(pid) == self._network]

    def kill_all(self, program: str = "", but: Iterable[int] = ()) -> None:
        """End the sandbox's processes ``but`` some, or those alone that a program's folder holds."""
        for pid in set(self.processes()) - set(but):
            # One that is gone, or on its way out, has no program.
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                if not program or program in Path(f"/proc/{pid}/exe").readlink().parts:
                    os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """End what runs in the sandbox, and the sandbox."""
        self.kill_all()
        self._thread.shutdown()
        self._folder.cleanup()

    def _enter(self) -> str:
        if not sys.platform.startswith("linux"):
            raise SandboxError(
                f"browsers are tested on Linux, which has namespaces; here is {sys.platform}"
            )
        _system("unshare", _CLONE_NEWNET | _CLONE_NEWNS)
        _system("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        _system("mount", os.fsencode(self._hosts), b"/etc/hosts", None, _MS_BIND, None)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))
            # Resolvers that ask for AI_ADDRCONFIG (WebKit's) find no name on a machine whose only
            # address is a loopback one. This one, of RFC 5737, is nobody's.
            address = socket.inet_aton("192.0.2.1")
            fcntl.ioctl(
                control, _SIOCSIFADDR, struct.pack("16sHH4s8x", b"lo:1", socket.AF_INET, 0, address)
            )
        return Path("/proc/thread-self/ns/net").readlink().name


def _system(name: str, *args: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*args) == 0:
        return
    code = ctypes.get_errno()
    hint = " Run as root (in a container: with CAP_SYS_ADMIN)." if code == errno.EPERM else ""
    raise SandboxError(f"cannot make a network namespace: {name}: {os.strerror(code)}.{hint}")


def _all_processes() -> Iterable[int]:
    own = os.getpid()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != own:
            yield int(entry.name)


def _network_of(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/ns/net").readlink().name
    except OSError:
        return None
