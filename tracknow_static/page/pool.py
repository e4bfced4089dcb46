"""Pages processed in several processes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import parent_process
from typing import TYPE_CHECKING

from tracknow_static.errors import SiteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tracknow_static.page.report import PageResult
    from tracknow_static.page.site import Worker
    from tracknow_static.page.walk import Entry

_BATCH = 256  # pages that a process takes at a time


_worker: Worker | None = None


def pooled(worker: Worker, pages: Iterator[Entry], jobs: int) -> Iterator[PageResult]:
    """Process pages in several processes, a few batches ahead of the reader, in order."""
    waiting: deque[Future[list[PageResult]]] = deque()
    with ProcessPoolExecutor(jobs, initializer=_start, initargs=(worker,)) as pool:
        try:
            while True:
                while len(waiting) < 4 * jobs and (batch := list(islice(pages, _BATCH))):
                    with _uninterrupted():
                        waiting.append(pool.submit(_batch, batch))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        except BrokenProcessPool:
            problem = "a process was killed, perhaps for want of memory; every page is whole."
            raise SiteError(f"{problem} Run it again with one job.") from None
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait: a process that begins now has not learned yet to ignore it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(worker: Worker) -> None:
    global _worker  # noqa: PLW0603 - what a worker process is
    _worker = worker
    # Ctrl-C reaches every process of a terminal; the first one decides, the others finish a batch.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The queue of a pool does not end when the first process is killed.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _batch(pages: list[Entry]) -> list[PageResult]:
    assert _worker is not None  # noqa: S101
    with _worker.files:
        return [_worker.process(page) for page in pages]
