"""Opening a connection where a URL names several hosts: the first one, in their order, that will do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

C = TypeVar("C")

HEAD_START_SECONDS = 0.2
"""How long a host may take before the next one is asked beside it: a dead machine does not answer at all."""


async def open_first(urls: Sequence[str], open_one: Callable[[str], Awaitable[C]], terminate: Callable[[C], None]) -> C:
    """Raises the last host's error when none will do."""
    if len(urls) == 1:
        return await open_one(urls[0])
    openings: list[asyncio.Future[C]] = []
    taken: asyncio.Future[C] | None = None
    try:
        for url in urls:
            openings.append(asyncio.ensure_future(open_one(url)))
            taken = await _first_of(openings, HEAD_START_SECONDS)
            if taken is not None:
                break
        taken = taken or await _first_of(openings, None)
    finally:
        for opening in openings:
            if opening is not taken:
                opening.cancel()
                opening.add_done_callback(lambda done: _end(done, terminate))
    taken = taken or openings[-1]
    try:
        return taken.result()
    finally:
        del taken, openings, opening  # their errors lead back here: a cycle would keep them


async def _first_of(openings: Sequence[asyncio.Future[C]], seconds: float | None) -> asyncio.Future[C] | None:
    """One that succeeded; None when all have failed, or at the end of the time."""
    end = None if seconds is None else asyncio.get_running_loop().time() + seconds
    while True:
        good = next((o for o in openings if o.done() and o.exception() is None), None)
        open_still = [opening for opening in openings if not opening.done()]
        left = None if end is None else end - asyncio.get_running_loop().time()
        if good is not None or not open_still or (left is not None and left <= 0):
            return good
        await asyncio.wait(open_still, timeout=left, return_when=asyncio.FIRST_COMPLETED)


def _end(opening: asyncio.Future[C], terminate: Callable[[C], None]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        terminate(opening.result())
