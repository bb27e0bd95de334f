"""A progress bar for what takes longer than a second, on standard error, where someone looks."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable

from sqlwright.cli import output

PATIENCE_SECONDS = 1.0
FRAME_SECONDS = 0.1


class _Work:
    """How far something is."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.done = 0
        self.total: int | None = None

    def advance(self, label: str, done: int, total: int) -> None:
        self.label, self.done, self.total = label, done, total


@contextlib.asynccontextmanager
async def progress(label: str) -> AsyncIterator[Callable[[str, int, int], None]]:
    """Gives a function to call as work goes on: with what is being done, how much is done, and of how much."""
    work = _Work(label)
    if not output.someone_looks(sys.stderr):
        yield work.advance
        return
    drawing = asyncio.get_running_loop().create_task(_draw(work))
    try:
        yield work.advance
    finally:
        drawing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await drawing


async def _draw(work: _Work) -> None:
    await asyncio.sleep(PATIENCE_SECONDS)
    from rich.progress import Progress

    with Progress(console=output.console(sys.stderr), transient=True) as bar:
        task = bar.add_task(work.label, total=None)
        while True:
            bar.update(task, description=work.label, completed=work.done, total=work.total)
            await asyncio.sleep(FRAME_SECONDS)
