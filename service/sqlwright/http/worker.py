"""A worker process of `serve`: who stops it, and that it does not outlive its parent."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PARENT_LOOK_SECONDS = 1.0


@asynccontextmanager
async def worker_process() -> AsyncIterator[None]:
    """Around the life of an application. Does nothing where the process is not a child of `serve`."""
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        yield
        return
    _leave_signals_to_parent()
    watching = asyncio.get_running_loop().create_task(_end_with(parent.pid))
    try:
        yield
    finally:
        watching.cancel()


def _leave_signals_to_parent() -> None:
    """Ctrl-C and a closed terminal reach a whole group of processes; the parent stops its workers in order."""
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


async def _end_with(parent: int) -> None:
    """A parent that was killed cannot stop its workers, and one left behind would hold the port."""
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells that a parent was killed
        await asyncio.sleep(PARENT_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
