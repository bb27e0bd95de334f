"""Time limits of many tasks, kept by one timer.

`asyncio.timeout` makes a timer for each use, which is about 5 µs of every call; nearly all are cancelled unused. Here
a use is an entry in a dictionary, and one timer looks at all of them while there are any. So a limit is kept a little
late, at most by `LOOK_SECONDS`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any

LOOK_SECONDS = 0.02
"""Between two looks."""


class Limited(ABC):
    """What ends at a time of the loop's clock."""

    __slots__ = ("ends_at",)

    ends_at: float

    @abstractmethod
    def expire(self) -> None:
        """Called once, when the time is up."""


class TimeLimits:
    """Everything that is limited now. Of one event loop at a time."""

    __slots__ = ("_loop", "_running", "_timer")

    def __init__(self) -> None:
        self._running: dict[Limited, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running one, which is asked for once: asking is a system call."""
        loop = self._loop
        if loop is None or loop.is_closed():
            loop = self._loop = asyncio.get_running_loop()
            self._timer = None
        return loop

    def add(self, limited: Limited, seconds: float) -> None:
        """Until `discard`, which always has to follow."""
        loop = self.loop
        if self._timer is None:
            self._timer = loop.call_later(LOOK_SECONDS, self._look)
        limited.ends_at = loop.time() + seconds
        self._running[limited] = None

    def discard(self, limited: Limited) -> None:
        self._running.pop(limited, None)

    def limit(self, seconds: float | None) -> TimeLimit:
        """`with limits.limit(2.0) as limit: await …`. None is no limit."""
        return TimeLimit(self, seconds)

    def _look(self) -> None:
        self._timer = None
        if not self._running or self._loop is None:
            return
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        now = self._loop.time()
        for limited in [limited for limited in self._running if limited.ends_at <= now]:
            self._running.pop(limited, None)
            limited.expire()


class TimeLimit(Limited):
    """As `asyncio.timeout`: the task is cancelled when the time is up, and TimeoutError comes out of the block."""

    __slots__ = ("_cancelling", "_limits", "_seconds", "_task", "expired")

    def __init__(self, limits: TimeLimits, seconds: float | None) -> None:
        self._limits = limits
        self._seconds = seconds
        self.expired = False

    def __enter__(self) -> TimeLimit:
        if self._seconds is not None:
            self._task: asyncio.Task[Any] | None = asyncio.current_task(self._limits.loop)
            assert self._task is not None, "there is no task to cancel"
            self._cancelling = self._task.cancelling()
            self._limits.add(self, self._seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._seconds is None:
            return
        self._limits.discard(self)
        is_cancelled = False
        if self.expired:
            assert self._task is not None
            is_cancelled = self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError
        self._task = None  # which may end with what is raised here, and would be kept by its trace
        if is_cancelled:
            raise TimeoutError from error

    def expire(self) -> None:
        self.expired = True
        if self._task is not None:
            self._task.cancel()
