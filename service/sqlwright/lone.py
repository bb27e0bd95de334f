"""A read that runs by itself at once, without a task.

For the read of a lone caller a task is a good part of what it costs: one turn of the loop to begin it, and all that is
on the way to its first step. So its coroutine is taken to the first future it waits for where the call comes in, and on
from there by what the future calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from sqlwright.query import Result
from sqlwright.time_limit import Limited, TimeLimits

End = Callable[[Result | BaseException], None]


class Lone(Limited):
    """`end` is called once, with what the coroutine gives or raises, and not from in `start`."""

    __slots__ = ("_coroutine", "_end", "_future", "_limits")

    def __init__(self, limits: TimeLimits, coroutine: Coroutine[Any, None, Result], end: End) -> None:
        self._limits = limits
        self._coroutine = coroutine
        self._end = end
        self._future: asyncio.Future[Any] | None = None

    def start(self, limit_seconds: float) -> None:
        self._limits.add(self, limit_seconds)
        outcome = self._step()
        if outcome is not None:
            self._limits.loop.call_soon(self._finish, outcome)
        del outcome  # see `_go_on`

    def expire(self) -> None:
        """As with a task that is cancelled: what waits for the future is told."""
        if self._future is None or not self._future.cancel():
            self._limits.add(self, 0.0)  # it is about to go on, and to wait for the next one

    def _go_on(self, done: asyncio.Future[Any] | None = None) -> None:
        del done
        self._future = None
        outcome = self._step()
        try:
            if outcome is not None:
                self._finish(outcome)
        finally:
            del outcome  # an error's traceback leads back here: a cycle would keep all of the call

    def _finish(self, outcome: Result | BaseException) -> None:
        self._limits.discard(self)
        self._end(outcome)

    def _step(self) -> Result | BaseException | None:
        """What it ended with, or None when it waits for something."""
        try:
            future = self._coroutine.send(None)
        except StopIteration as end:
            result: Result = end.value
            return result
        except (Exception, asyncio.CancelledError) as error:
            return error
        self._future = future
        if future is None:  # it only lets others have their turn
            self._limits.loop.call_soon(self._go_on)
        else:
            future._asyncio_future_blocking = False  # a task would say so, too: that it has understood
            future.add_done_callback(self._go_on)
        return None
