"""Whatever happens to a pass, every page is whole: the old one or the new one."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.page.parts import SCRIPT, make_site, transform

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0

# Put the hand-made script into a site; used where a process of its own is harmed. An unprivileged
# user may not be able to read what the interpreter is made of, so it becomes one late.
PASS = """
import os, sys
from tests.page.parts import process_site
if len(sys.argv) > 3 and os.geteuid() == 0:
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[3]))
report = process_site(sys.argv[1], jobs=int(sys.argv[2]))
print(*report.failures, sep='\\n')
"""


def command(site: Path, jobs: int = 1) -> list[str]:
    """Return the command that passes over a site."""
    return [sys.executable, "-c", PASS, str(site), str(jobs)]


def assert_whole(site: Path, made: dict[str, bytes]) -> int:
    """Check that each page is the old one or the new one; return the number of new ones."""
    changed = 0
    for path, old in made.items():
        new = transform(old, SCRIPT, "../" * path.count("/")).page
        content = (site / path).read_bytes()
        assert content in (old, new), path
        changed += content == new
    return changed


def leftovers(site: Path) -> list[Path]:
    """Return the temporary files in a site."""
    return list(site.rglob(".tracknow-*"))


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """Return a folder for thousands of files: in memory, if there is such a place."""
    shared = "/dev/shm"
    place = shared if os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder)


def kill_after(process: subprocess.Popen[bytes], page: Path) -> None:
    """Kill a pass, all its processes, just after it replaced a page."""
    before = page.stat().st_ino
    while process.poll() is None and page.stat().st_ino == before:
        time.sleep(0.001)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_again_and_again(memory_folder: Path, jobs: int) -> None:
    """SIGKILL at any moment leaves every page whole, and the next run finishes the work."""
    made = make_site(memory_folder, 2000)
    partial = 0
    for attempt in range(40):
        left = [path for path, old in made.items() if (memory_folder / path).read_bytes() == old]
        page = random.Random(attempt).choice(left)
        process = subprocess.Popen(command(memory_folder, jobs), cwd=ROOT, start_new_session=True)
        kill_after(process, memory_folder / page)
        changed = assert_whole(memory_folder, made)
        partial += 0 < changed < len(made)
        if partial > 2:
            break
        if changed == len(made):
            # The whole run went by before this process was given a turn: begin anew.
            made = make_site(memory_folder, 2000)
    assert partial > 0, "never killed in the middle"
    subprocess.run(command(memory_folder, jobs), cwd=ROOT, check=True)
    assert assert_whole(memory_folder, made) == len(made)
    assert leftovers(memory_folder) == []


def test_workers_end_with_the_first_process(memory_folder: Path) -> None:
    """When only the first process is killed the others do not stay behind."""
    make_site(memory_folder, 2000)
    process = subprocess.Popen(command(memory_folder, 2), cwd=ROOT, start_new_session=True)
    while process.poll() is None and not leftovers(memory_folder):
        time.sleep(0.001)
    process.kill()
    process.wait()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail("a worker is still there")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Return a folder on a file system of 2 MB."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if not AS_ROOT or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a small file system here; the file size limit is tested")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_disk_full(tmp_path: Path) -> None:
    """On a full disk pages stay whole, each failure is named, and there is no rubbish."""
    with small_disk(tmp_path / "disk") as disk:
        made = make_site(disk, 40)
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)
        done = subprocess.run(command(disk), cwd=ROOT, capture_output=True, text=True, check=True)
        assert "No space left on device" in done.stdout
        assert_whole(disk, made)
        assert leftovers(disk) == []
        (disk / "filler").unlink()
        subprocess.run(command(disk), cwd=ROOT, check=True)
        assert assert_whole(disk, made) == 40


def test_file_size_limit(tmp_path: Path) -> None:
    """A write that stops half-way leaves the page as it was; the others are done."""
    made = make_site(tmp_path, 4)
    made["p0.html"] += b"x" * 100_000
    (tmp_path / "p0.html").write_bytes(made["p0.html"])

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = subprocess.run(
        command(tmp_path), cwd=ROOT, capture_output=True, text=True, check=True, preexec_fn=limit
    )
    assert done.stdout.strip() == "p0.html: File too large"
    assert (tmp_path / "p0.html").read_bytes() == made["p0.html"]
    assert assert_whole(tmp_path, made) == 3
    assert leftovers(tmp_path) == []


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Return a folder that an unprivileged user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_nobody(site: Path) -> list[str]:
    """Pass over a site as a user without privileges; return the failures."""
    done = subprocess.run(
        [*command(site), "65534"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_permission_denied(public_folder: Path) -> None:
    """A folder that cannot be written or a page that cannot be read fails alone, by name."""
    made = make_site(public_folder, 6)
    if AS_ROOT:
        for path in (public_folder, *public_folder.rglob("*")):
            os.chown(path, 65534, 65534)
    (public_folder / "sub").chmod(0o555)
    (public_folder / "p2.html").chmod(0o000)
    try:
        failures = as_nobody(public_folder)
    finally:
        (public_folder / "sub").chmod(0o755)
    (public_folder / "p2.html").chmod(0o644)
    assert sorted(failures) == [
        "p2.html: Permission denied",
        *(f"sub/p{number}.html: Permission denied" for number in (1, 3, 5)),
    ]
    assert assert_whole(public_folder, made) == 2
    assert leftovers(public_folder) == []


def test_read_only_site(public_folder: Path) -> None:
    """In a folder that cannot be written nothing changes, and the asset is the one thing named."""
    made = make_site(public_folder)
    public_folder.chmod(0o555)
    failures = as_nobody(public_folder)
    public_folder.chmod(0o755)
    (failure,) = failures
    assert "Permission denied; no page was changed" in failure
    assert assert_whole(public_folder, made) == 0


def test_folder_that_cannot_be_listed(public_folder: Path) -> None:
    """A folder that cannot be read is named; the rest is done."""
    make_site(public_folder, 4)
    if AS_ROOT:
        for path in (public_folder, *public_folder.rglob("*")):
            os.chown(path, 65534, 65534)
    (public_folder / "sub").chmod(0o000)
    failures = as_nobody(public_folder)
    (public_folder / "sub").chmod(0o755)
    assert failures == ["sub/: Permission denied"]


# The kernel's ru_maxrss begins with the memory of whoever started the process, VmHWM does not.
MEMORY = """
import sys
from tests.page.parts import process_site
report = process_site(sys.argv[1])
with open('/proc/self/status') as status:
    print(report.pages, status.read().split('VmHWM:')[1].split()[0])
"""


def test_memory_does_not_grow_with_the_site(memory_folder: Path) -> None:
    """Ten times as many pages need about the same memory."""
    peaks = []
    for pages in (500, 5_000):
        site = memory_folder / str(pages)
        link = b"<a href=https://buy.stripe.com/1>x</a>"
        for path, content in make_site(site, pages).items():
            if path.endswith("0.html"):
                (site / path).write_bytes(content + link + b"x" * 10_000)
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, site], cwd=ROOT, capture_output=True, check=True
        )
        seen, peak = map(int, done.stdout.split())
        assert seen == pages
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 4_000, peaks  # KiB; the names of one folder take a few hundred
